"""Reads MCAP files (https://mcap.dev/spec), also those that hold topics of other systems than ROS 2.

rosbags refuses a whole file for one channel of an encoding that it does not know, for a header that does not say ``ros2``,
and for definitions that are no text. Nothing of that matters to the topics that are read.
"""

from __future__ import annotations

import heapq
import os
import struct
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

import lz4.frame

from mpvss_ros.bags.bag_storage import MCAP_MAGIC, Channel, StorageError, zstd

__all__ = ["McapStorage"]

FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, CHUNK_INDEX, STATISTICS, DATA_END = 0x02, 0x03, 0x04, 0x05, 0x06, 0x08, 0x0B, 0x0F
RECORD_HEAD = struct.Struct("<BQ")  # opcode, length of what follows
MESSAGE_HEAD = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time
FOOTER_BYTES = RECORD_HEAD.size + 20 + len(MCAP_MAGIC)
DECOMPRESSORS = {"": bytes, "lz4": lz4.frame.decompress, "zstd": zstd.decompress}

Message = tuple[int, int, bytes]  # channel, log time in nanoseconds, data


@dataclass(frozen=True)
class Chunk:
    """Where a run of messages is.

    Attributes:
        start_ns: Log time of its first message.
        position: Of the chunk's record in the file.
        channels: Numbers of the channels in it; empty if the file does not say.
    """

    start_ns: int
    position: int
    channels: frozenset[int]


class Fields:
    """Takes the fields of a record, one after the other."""

    def __init__(self, record: bytes) -> None:
        self._record = record
        self._position = 0

    def numbers(self, pattern: str) -> tuple[int, ...]:
        """Integers, by `struct` pattern."""
        values = struct.unpack_from("<" + pattern, self._record, self._position)
        self._position += struct.calcsize("<" + pattern)
        return values

    def block(self, size: int | None = None) -> bytes:
        """So many bytes, or as many as the number before them says."""
        size = self.numbers("I")[0] if size is None else size
        block = self._record[self._position : self._position + size]
        if len(block) != size:
            raise StorageError("a record ends too early")
        self._position += size
        return block

    def text(self) -> str:
        """UTF-8, as far as it is."""
        return self.block().decode(errors="replace")


class McapStorage:
    """One MCAP file. Its index is read at once, its messages chunk by chunk."""

    def __init__(self, path: Path) -> None:
        self.channels: list[Channel] = []
        self._file = path.open("rb")
        self._type_names: dict[int, str] = {}
        self._channel_fields: dict[int, tuple[str, str, str, str]] = {}
        self._chunks: list[Chunk] = []
        self._counts: Counter[int] | None = None
        self._has_loose_messages = False
        try:
            self._read_index()
        except struct.error as error:
            self._file.close()
            raise StorageError(f"its index is damaged: {error}") from error
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def messages(self, numbers: Collection[int]) -> Iterator[Message]:
        """The messages of some channels, by log time; in the order of the file where that has no chunks."""
        wanted = frozenset(numbers)
        if self._chunks and not self._has_loose_messages:
            return self._merged(wanted)
        return self._in_file_order(wanted)

    # -- the index ---------------------------------------------------------------------------------------------------

    def _read_index(self) -> None:
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(max(0, size - FOOTER_BYTES))
        footer = self._file.read()
        if len(footer) < FOOTER_BYTES or footer[0] != FOOTER or not footer.endswith(MCAP_MAGIC):
            raise StorageError("it was not closed, or not copied to its end: repair it with 'mcap recover'")
        self._data_end = size - FOOTER_BYTES
        (summary_start,) = struct.unpack_from("<Q", footer, RECORD_HEAD.size)
        if summary_start:
            self._file.seek(summary_start)
            for opcode, record in _records(self._file.read(self._data_end - summary_start)):
                self._note(opcode, Fields(record))
        # All of the summary is optional.
        if self._counts is None or not self._channel_fields:
            self._scan()
        self.channels = [
            Channel(number, *fields, count=self._counts[number]) for number, fields in sorted(self._channel_fields.items())
        ]

    def _note(self, opcode: int, fields: Fields) -> None:
        """Keep what a record of the index says."""
        if opcode == SCHEMA:
            (number,) = fields.numbers("H")
            self._type_names[number] = fields.text()
        elif opcode == CHANNEL:
            number, schema = fields.numbers("HH")
            topic, serialization = fields.text(), fields.text()
            type_name = self._type_names.get(schema, "")
            self._channel_fields[number] = (topic, type_name, serialization, _offered_qos(fields.block()))
        elif opcode == CHUNK_INDEX:
            start_ns, _, position, _ = fields.numbers("QQQQ")
            channels = frozenset(number for number, _ in struct.iter_unpack("<HQ", fields.block()))
            self._chunks.append(Chunk(start_ns, position, channels))
        elif opcode == STATISTICS:
            fields.numbers("QHIIIIQQ")
            self._counts = Counter(dict(struct.iter_unpack("<HQ", fields.block())))

    def _scan(self) -> None:
        """Make the index by reading everything."""
        self._counts, self._chunks = Counter(), []
        for opcode, position, length in self._data_records():
            if opcode == CHUNK:
                counts = Counter()
                for inner, record in _records(self._chunk_records(position)):
                    if inner == MESSAGE:
                        counts[MESSAGE_HEAD.unpack_from(record)[0]] += 1
                    else:
                        self._note(inner, Fields(record))
                self._counts += counts
                self._file.seek(position + RECORD_HEAD.size)
                self._chunks.append(Chunk(*struct.unpack("<Q", self._file.read(8)), position, frozenset(counts)))
            elif opcode == MESSAGE:
                self._has_loose_messages = True
                self._counts[struct.unpack("<H", self._file.read(2))[0]] += 1
            elif opcode in (SCHEMA, CHANNEL):
                self._note(opcode, Fields(self._file.read(length)))

    # -- the data ----------------------------------------------------------------------------------------------------

    def _merged(self, wanted: frozenset[int]) -> Iterator[Message]:
        # Chunks may overlap in time: messages wait until the chunks that begin before them have been read.
        waiting: list[tuple[int, int, int, bytes]] = []
        order = 0
        for chunk in sorted(self._chunks, key=lambda chunk: chunk.start_ns):
            if chunk.channels and not chunk.channels & wanted:
                continue
            while waiting and waiting[0][0] < chunk.start_ns:
                time_ns, _, channel, data = heapq.heappop(waiting)
                yield channel, time_ns, data
            for channel, time_ns, data in _messages(self._chunk_records(chunk.position), wanted):
                heapq.heappush(waiting, (time_ns, order, channel, data))
                order += 1
        while waiting:
            time_ns, _, channel, data = heapq.heappop(waiting)
            yield channel, time_ns, data

    def _in_file_order(self, wanted: frozenset[int]) -> Iterator[Message]:
        for opcode, position, length in self._data_records():
            if opcode == CHUNK:
                yield from _messages(self._chunk_records(position), wanted)
            elif opcode == MESSAGE:
                channel, _, time_ns, _ = MESSAGE_HEAD.unpack(_read(self._file, MESSAGE_HEAD.size))
                if channel in wanted:
                    yield channel, time_ns, _read(self._file, length - MESSAGE_HEAD.size)

    def _data_records(self) -> Iterator[tuple[int, int, int]]:
        """Opcode, position and length of each record, with the file at the record's fields."""
        position = len(MCAP_MAGIC)
        while position < self._data_end:
            self._file.seek(position)
            opcode, length = RECORD_HEAD.unpack(_read(self._file, RECORD_HEAD.size))
            if opcode == DATA_END:
                return
            if position + RECORD_HEAD.size + length > self._data_end:
                raise StorageError(f"the record at byte {position} is longer than the file")
            yield opcode, position, length
            position += RECORD_HEAD.size + length

    def _chunk_records(self, position: int) -> bytes:
        """The records in a chunk, decompressed and checked."""
        self._file.seek(position)
        opcode, length = RECORD_HEAD.unpack(_read(self._file, RECORD_HEAD.size))
        if opcode != CHUNK or position + length > self._data_end:
            raise StorageError(f"there is no chunk at byte {position}")
        fields = Fields(_read(self._file, length))
        _, _, size, checksum = fields.numbers("QQQI")
        compression, packed = fields.text(), fields.block(fields.numbers("Q")[0])
        if compression not in DECOMPRESSORS:
            raise StorageError(f"compression {compression!r} is unknown")
        records = DECOMPRESSORS[compression](packed)
        if len(records) != size or (checksum and crc32(records) != checksum):
            raise StorageError(f"the chunk at byte {position} is damaged")
        return records


def _records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Opcode and fields of each record."""
    position = 0
    while position < len(data):
        opcode, length = RECORD_HEAD.unpack_from(data, position)
        position += RECORD_HEAD.size
        if position + length > len(data):
            raise StorageError("a record ends too early")
        yield opcode, data[position : position + length]
        position += length


def _messages(records: bytes, wanted: frozenset[int]) -> Iterator[Message]:
    for opcode, record in _records(records):
        if opcode == MESSAGE:
            channel, _, time_ns, _ = MESSAGE_HEAD.unpack_from(record)
            if channel in wanted:
                yield channel, time_ns, record[MESSAGE_HEAD.size :]


def _offered_qos(metadata: bytes) -> str:
    """The entry that rosbag2 writes for its publishers, in a channel's map of texts."""
    fields = Fields(metadata)
    try:
        while True:
            key, value = fields.text(), fields.text()
            if key == "offered_qos_profiles":
                return value
    except (struct.error, StorageError):  # the end of the map, or none that rosbag2 wrote
        return ""


def _read(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise StorageError("it ends too early")
    return data
