"""Reads rosbag2's SQLite files, of all versions, also those with definitions that are unknown to rosbags."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import quote

from mpvss_ros.bags.bag_storage import EVER, Channel, StorageError, TimeRange

__all__ = ["SqliteStorage"]


class SqliteStorage:
    """One ``.db3`` file."""

    has_index = True

    def __init__(self, path: Path) -> None:
        journal = path.with_name(path.name + "-wal")
        # A recorder that was killed leaves its last messages in the journal; a file without one is not written to, nor beside.
        immutable = "" if journal.is_file() and journal.stat().st_size else "&immutable=1"
        location = f"file:{quote(bytes(path.absolute()))}?mode=ro{immutable}"
        try:
            self._database = sqlite3.connect(location, uri=True)
        except sqlite3.Error as error:
            raise StorageError(str(error)) from error
        try:
            self.channels = self._read_channels()
        except sqlite3.Error as error:
            self._database.close()
            raise StorageError(f"its tables are not those of a recording, or damaged: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def messages(self, numbers: Collection[int], when: TimeRange = EVER) -> Iterator[tuple[int, int, bytes]]:
        """Channel number, time in nanoseconds and data of each message of some channels, by time."""
        limits = [(limit, time_ns) for limit, time_ns in zip(("timestamp >= ?", "timestamp < ?"), when, strict=True)]
        limits = [(limit, time_ns) for limit, time_ns in limits if time_ns is not None]
        condition = " AND ".join([f"topic_id IN ({','.join('?' * len(numbers))})", *(limit for limit, _ in limits)])
        query = f"SELECT topic_id, timestamp, data FROM messages WHERE {condition} ORDER BY timestamp, id"
        yield from self._database.execute(query, (*numbers, *(time_ns for _, time_ns in limits)))

    def _read_channels(self) -> list[Channel]:
        columns = {row[1] for row in self._database.execute("PRAGMA table_info(topics)")}
        qos = "offered_qos_profiles" if "offered_qos_profiles" in columns else "''"
        counts = dict(self._database.execute("SELECT topic_id, COUNT(*) FROM messages GROUP BY topic_id"))
        topics = self._database.execute(f"SELECT id, name, type, serialization_format, {qos} FROM topics ORDER BY id")
        return [Channel(*fields, count=counts.get(fields[0], 0)) for fields in topics]
