"""The files of a recording, whatever their format: what topics they hold, and their messages, still serialized."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from mpvss_ros.bags.zstd import ZSTD_MAGIC, ZstdError, decompressed_blocks

__all__ = ["EVER", "Channel", "Storage", "StorageError", "TimeRange", "is_within", "open_storage"]

MCAP_MAGIC = b"\x89MCAP0\r\n"
SQLITE_MAGIC = b"SQLite format 3\0"
BLOCK_BYTES = 1 << 20


# The first time of recording in nanoseconds, and the one that comes too late; None for no limit.
TimeRange = tuple[int | None, int | None]
EVER: TimeRange = (None, None)


class StorageError(Exception):
    """A file of a recording cannot be read; the message says why, and does not name the file."""


@dataclass(frozen=True)
class Channel:
    """What one publisher recorded under one topic. A topic may have several.

    Attributes:
        number: Of the channel in its file.
        topic: As recorded.
        type_name: As recorded, which need not be the name of a ROS 2 message.
        serialization: ``cdr`` for messages of ROS 2; others, such as ``json``, come from other recorders.
        offered_qos: YAML text of the publishers' profiles; empty if they were not recorded.
        count: Number of messages.
    """

    number: int
    topic: str
    type_name: str
    serialization: str
    offered_qos: str
    count: int


class Storage(Protocol):
    """One open file of a recording.

    Attributes:
        channels: Everything in it.
        has_index: Whether a part of it can be read without all that is before.
    """

    channels: list[Channel]
    has_index: bool

    def messages(self, numbers: Collection[int], when: TimeRange = EVER) -> Iterator[tuple[int, int, bytes]]:
        """Channel number, time of recording in nanoseconds and data of each message of some channels, in order."""

    def close(self) -> None:
        """Close the file."""


def is_within(time_ns: int, when: TimeRange) -> bool:
    """Whether something was recorded at such a time."""
    first_ns, end_ns = when
    return (first_ns is None or time_ns >= first_ns) and (end_ns is None or time_ns < end_ns)


def open_storage(path: Path, stack: ExitStack) -> Storage:
    """Open an MCAP or SQLite file, perhaps one that rosbag2 compressed as a whole.

    The file's first bytes tell its format: neither its name nor ``metadata.yaml`` has to be right.

    Args:
        path: Of the file.
        stack: Closes the file, and removes what was unpacked.

    Raises:
        StorageError: If it is none of them, or damaged.
        OSError: If it cannot be opened.
    """
    with path.open("rb") as file:
        start = file.read(len(SQLITE_MAGIC))
    if start.startswith(ZSTD_MAGIC):
        storage = open_storage(_unpacked(path, stack), stack)
        storage.has_index = False
        return storage
    if start.startswith(MCAP_MAGIC):
        from mpvss_ros.bags.mcap_storage import McapStorage as storage_class
    elif start == SQLITE_MAGIC:
        from mpvss_ros.bags.sqlite_storage import SqliteStorage as storage_class
    else:
        found = f"it starts with {start[:8]!r}" if start else "it is empty"
        raise StorageError(f"it is neither an MCAP nor a SQLite file: {found}")
    storage: Storage = storage_class(path)
    stack.callback(storage.close)
    return storage


def _unpacked(path: Path, stack: ExitStack) -> Path:
    folder = stack.enter_context(TemporaryDirectory(prefix="mpvss-bag-"))
    unpacked = Path(folder, path.stem)
    try:
        with path.open("rb") as packed, unpacked.open("wb") as file:
            file.writelines(decompressed_blocks(iter(partial(packed.read, BLOCK_BYTES), b"")))
    except ZstdError as error:
        raise StorageError(f"its compression is damaged: {error}") from error
    return unpacked
