"""Reads MCAP files (https://mcap.dev/spec) by Foxglove's library, also those that hold topics of other systems than ROS 2.

rosbags refuses a whole file for one channel of an encoding that it does not know, for a header that does not say ``ros2``,
and for definitions that are no text. Nothing of that matters to the topics that are read.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Collection, Iterator
from copy import copy
from pathlib import Path
from typing import BinaryIO

from mcap.exceptions import EndOfFile, McapError
from mcap.opcode import Opcode
from mcap.reader import FOOTER_SIZE, SeekingReader
from mcap.records import Channel as ChannelRecord
from mcap.records import Chunk, ChunkIndex, DataEnd, McapRecord, Message, Schema
from mcap.stream_reader import StreamReader, breakup_chunk
from mcap.summary import Summary

from mpvss_model.errors import first_line
from mpvss_ros.bags.bag_storage import EVER, MCAP_MAGIC, Channel, StorageError, TimeRange, is_within
from mpvss_ros.bags.zstd import ZstdError

__all__ = ["McapStorage"]

REPAIR = "repair it with 'mcap recover'"
COMPRESSIONS = ("", "lz4", "zstd")  # the library takes what it does not know for uncompressed
CHUNK_HEAD_BYTES = 49  # opcode, length and all fields of a chunk's record but the compression's name and the data
# What the library and its decompressors raise for bytes that make no sense; lz4's is a RuntimeError.
DAMAGE = (McapError, ZstdError, struct.error, ValueError, LookupError, RuntimeError, OverflowError, MemoryError)


class McapStorage:
    """One MCAP file. Its index is read at once, its messages chunk by chunk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        try:
            self._size = _size_of_closed(self._file)
            self._read_index()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def messages(self, numbers: Collection[int], when: TimeRange = EVER) -> Iterator[tuple[int, int, bytes]]:
        """The messages of some channels, by log time; in the order of the file where that has messages outside of chunks.

        Args:
            numbers: Of the channels.
            when: Log times, of which only the chunks are read that may have some.

        Yields:
            Channel number, log time in nanoseconds, data.

        Raises:
            StorageError: If what is read is damaged, or compressed in an unknown way.
        """
        wanted = frozenset(numbers)
        for message in self._by_time(wanted, when) if self._summary.chunk_indexes else self._in_file_order():
            if message.channel_id in wanted and is_within(message.log_time, when):
                yield message.channel_id, message.log_time, message.data

    # -- the index ---------------------------------------------------------------------------------------------------

    def _read_index(self) -> None:
        self._file.seek(0)
        try:
            summary = SeekingReader(self._file, record_size_limit=self._size).get_summary()
        except (*DAMAGE, OSError) as error:  # OSError: it names a place that no file has
            raise _damaged("its index", error) from error
        if summary is not None and _is_complete(summary):
            self._summary, counts = summary, summary.statistics.channel_message_counts
            self.has_index = bool(summary.chunk_indexes)
        else:
            self._summary, counts = self._scan()
            self.has_index = False
        self.channels = [_channel(c, self._summary, counts.get(c.id, 0)) for _, c in sorted(self._summary.channels.items())]

    def _scan(self) -> tuple[Summary, Counter[int]]:
        """Make the index, and count each channel's messages, by reading everything.

        The library reads files without an index, too, but puts all messages into memory to bring them in the order of time.
        """
        summary, counts, has_loose_messages = Summary(), Counter(), False
        for record, position in self._data_records():
            inner = [record]
            if isinstance(record, Chunk):
                inner = _chunk_records(record, position)
                in_chunk = Counter(r.channel_id for r in inner if isinstance(r, Message))
                summary.chunk_indexes.append(_chunk_index(record, position, in_chunk))
                counts += in_chunk
            elif isinstance(record, Message):
                has_loose_messages = True
                counts[record.channel_id] += 1
            summary.schemas.update((r.id, r) for r in inner if isinstance(r, Schema))
            summary.channels.update((r.id, r) for r in inner if isinstance(r, ChannelRecord))
        if has_loose_messages:
            summary.chunk_indexes.clear()  # they would hide those messages
        return summary, counts

    # -- the data ----------------------------------------------------------------------------------------------------

    def _by_time(self, wanted: frozenset[int], when: TimeRange) -> Iterator[Message]:
        for index in self._summary.chunk_indexes:
            _check_compression(index.compression)
        self._file.seek(0)
        chunks = [index for index in self._summary.chunk_indexes if _overlaps(index, when)]
        if not chunks:  # the library would read everything
            return
        summary = copy(self._summary)
        summary.chunk_indexes = chunks
        reader = _IndexedReader(self._file, summary)
        try:
            for _, _, message in reader.iter_messages({self._summary.channels[number].topic for number in wanted}):
                yield message
        except DAMAGE as error:
            raise _damaged(f"the chunk at byte {self._chunk_position()}", error) from error

    def _chunk_position(self) -> int:
        """Of the chunk that was read last."""
        before = self._file.tell()
        return max((i.chunk_start_offset for i in self._summary.chunk_indexes if i.chunk_start_offset < before), default=0)

    def _in_file_order(self) -> Iterator[Message]:
        for record, position in self._data_records():
            inner = _chunk_records(record, position) if isinstance(record, Chunk) else [record]
            yield from (r for r in inner if isinstance(r, Message))

    def _data_records(self) -> Iterator[tuple[McapRecord, int]]:
        """The records before the index, chunks as such, and where each chunk begins."""
        # A file of its own: several topics may be read by turns.
        with self._path.open("rb") as file:
            records = StreamReader(file, emit_chunks=True, record_size_limit=self._size).records
            while True:
                try:
                    record = next(records, None)
                except DAMAGE as error:
                    raise _damaged(f"what is before byte {file.tell()}", error) from error
                if record is None or isinstance(record, DataEnd):
                    return
                length = CHUNK_HEAD_BYTES + len(record.compression) + len(record.data) if isinstance(record, Chunk) else 0
                yield record, file.tell() - length


class _IndexedReader(SeekingReader):
    """Reads by an index that is known already, be it the file's or one that was made for it."""

    def __init__(self, file: BinaryIO, summary: Summary) -> None:
        super().__init__(file, validate_crcs=True)
        self._known = summary

    def get_summary(self) -> Summary:
        """The index."""
        return self._known


def _overlaps(chunk: ChunkIndex, when: TimeRange) -> bool:
    """Whether a chunk may have messages of some time."""
    first_ns, end_ns = when
    return (first_ns is None or chunk.message_end_time >= first_ns) and (end_ns is None or chunk.message_start_time < end_ns)


def _size_of_closed(file: BinaryIO) -> int:
    """The size of a file that has its end."""
    size = file.seek(0, os.SEEK_END)
    end_bytes = FOOTER_SIZE + len(MCAP_MAGIC)
    file.seek(max(0, size - end_bytes))
    end = file.read()
    if len(end) < end_bytes or end[0] != Opcode.FOOTER or not end.endswith(MCAP_MAGIC):
        raise StorageError(f"it was not closed, or not copied to its end: {REPAIR}")
    return size


def _is_complete(summary: Summary) -> bool:
    """Whether the index has everything that reading needs: all of it is optional."""
    statistics = summary.statistics
    return (
        statistics is not None
        and sum(statistics.channel_message_counts.values()) == statistics.message_count
        and len(summary.channels) == statistics.channel_count
        and len(summary.chunk_indexes) == statistics.chunk_count
        and all(c.schema_id in summary.schemas for c in summary.channels.values() if c.schema_id)
    )


def _channel(record: ChannelRecord, summary: Summary, count: int) -> Channel:
    schema = summary.schemas.get(record.schema_id)
    return Channel(
        number=record.id,
        topic=record.topic,
        type_name=schema.name if schema else "",
        serialization=record.message_encoding,
        offered_qos=record.metadata.get("offered_qos_profiles", ""),  # as rosbag2 writes it
        count=count,
    )


def _chunk_index(chunk: Chunk, position: int, channels: Collection[int]) -> ChunkIndex:
    return ChunkIndex(
        chunk_length=CHUNK_HEAD_BYTES + len(chunk.compression) + len(chunk.data),
        chunk_start_offset=position,
        compression=chunk.compression,
        compressed_size=len(chunk.data),
        message_end_time=chunk.message_end_time,
        message_index_length=0,
        message_index_offsets=dict.fromkeys(channels, 0),  # only the keys are looked at
        message_start_time=chunk.message_start_time,
        uncompressed_size=chunk.uncompressed_size,
    )


def _chunk_records(chunk: Chunk, position: int) -> list[McapRecord]:
    """The records in a chunk, decompressed and checked."""
    _check_compression(chunk.compression)
    try:
        return breakup_chunk(chunk, validate_crc=True)
    except DAMAGE as error:
        raise _damaged(f"the chunk at byte {position}", error) from error


def _check_compression(name: str) -> None:
    if name not in COMPRESSIONS:
        raise StorageError(f"compression {name!r} is unknown: only lz4, zstd and none are read")


def _damaged(what: str, error: Exception) -> StorageError:
    reason = first_line(error)
    if isinstance(error, EndOfFile):
        reason = "it ends too early"
    elif isinstance(error, KeyError):
        reason = f"there is no channel or schema {error}"
    return StorageError(f"{what} is damaged ({reason}): {REPAIR}")
