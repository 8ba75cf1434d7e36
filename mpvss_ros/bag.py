"""Read and write rosbag2 files without a ROS installation."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from mpvss_model import DataError

__all__ = ["GROUND_TRUTH_TOPIC", "Bag", "BagWriter", "RawMessage"]

GROUND_TRUTH_TOPIC = "/ground_truth/labels"
IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
BAG_VERSION = 9


@dataclass(frozen=True)
class RawMessage:
    """One recorded message, still serialized.

    Attributes:
        topic: It was recorded from.
        type_name: Such as ``sensor_msgs/msg/Image``.
        time_ns: When it was recorded.
        data: CDR bytes, as a publisher of ``rclpy`` takes them.
    """

    topic: str
    type_name: str
    time_ns: int
    data: bytes


class Bag:
    """A rosbag2 recording, MCAP or SQLite, opened for reading; a context manager.

    Args:
        path: The bag's directory, or the ``.mcap`` or ``.db3`` file in it.

    Raises:
        DataError: If there is no bag or it cannot be read. Messages that turn out to be broken later raise it too.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise DataError(f"no bag at {str(path)!r}: give a rosbag2 directory or a file such as recording.mcap")
        if self.path.suffix == ".bag":
            raise DataError(f"bag {str(path)!r} is a ROS 1 bag: convert it with 'rosbags-convert' first")
        try:
            self._reader = AnyReader([self._location()], default_typestore=get_typestore(Stores.LATEST))
            self._reader.open()
        except Exception as error:  # each storage format has its own errors for broken files
            raise DataError(f"cannot read bag {str(path)!r}: {error or type(error).__name__}") from error

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *_) -> None:
        self._reader.close()

    @property
    def types_by_topic(self) -> dict[str, str]:
        """Message type of each topic."""
        return {connection.topic: connection.msgtype for connection in self._reader.connections}

    def count(self, topic: str) -> int:
        """Number of messages of a topic; 0 if the bag does not have it."""
        return sum(c.msgcount for c in self._reader.connections if c.topic == topic)

    def image_topic(self, requested: str | None = None) -> str:
        """The topic of the camera's images: the requested one, or the only one there is beside the ground truth.

        Raises:
            DataError: If it is missing, not an image topic, or there are several to choose from.
        """
        types = self.types_by_topic
        images = sorted(t for t, name in types.items() if name in IMAGE_TYPES and t != GROUND_TRUTH_TOPIC)
        if requested is not None:
            if types.get(requested) not in IMAGE_TYPES:
                found = f"it is of type {types[requested]}" if requested in types else "the bag does not have it"
                known = ", ".join(images) or "none"
                raise DataError(f"topic {requested!r}: {found}; image topics in {str(self.path)!r}: {known}")
            return requested
        if len(images) != 1:
            known = ", ".join(images)
            raise DataError(f"bag {str(self.path)!r} has {len(images)} image topics ({known}): name one with --topic")
        return images[0]

    def raw_messages(self, topics: list[str]) -> Iterator[RawMessage]:
        """The serialized messages of some topics in the order of recording."""
        connections = [c for c in self._reader.connections if c.topic in topics]
        if not connections:
            return
        try:
            for connection, time_ns, data in self._reader.messages(connections):
                yield RawMessage(connection.topic, connection.msgtype, time_ns, bytes(data))
        except Exception as error:  # likewise
            raise DataError(f"bag {str(self.path)!r} is damaged: {error or type(error).__name__}") from error

    def messages(self, topic: str) -> Iterator[Any]:
        """The messages of one topic, with the attributes of the ROS messages."""
        for raw in self.raw_messages([topic]):
            try:
                yield self._reader.deserialize(raw.data, raw.type_name)
            except Exception as error:  # likewise
                raise DataError(f"bag {str(self.path)!r} has a broken {raw.type_name} on {topic}: {error}") from error

    def _location(self) -> Path:
        # rosbags reads single MCAP files too, which have no metadata.yaml beside them when they were split off or copied.
        if self.path.suffix == ".db3" or (self.path.suffix == ".mcap" and (self.path.parent / "metadata.yaml").is_file()):
            return self.path.parent
        return self.path


class BagWriter:
    """Writes a rosbag2 directory with MCAP storage; a context manager.

    The bag appears at ``path`` when the block ends; if it ends with an error, nothing is left behind.

    Raises:
        DataError: If there is something at ``path`` already.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.exists():
            raise DataError(f"{str(path)!r} exists already: choose another path for the bag")
        # The files in a bag are named after its directory, so that only a parent may have another name for now.
        self._unfinished = self.path.with_name(f".{self.path.name}.unfinished")
        self._typestore = get_typestore(Stores.ROS2_HUMBLE)
        self._connections: dict[str, Any] = {}

    def __enter__(self) -> BagWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._unfinished, ignore_errors=True)
        self._unfinished.mkdir()
        self._writer = Writer(self._unfinished / self.path.name, version=BAG_VERSION, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        return self

    def __exit__(self, error_type, *_) -> None:
        self._writer.close()
        if error_type is None:
            (self._unfinished / self.path.name).rename(self.path)
        shutil.rmtree(self._unfinished)

    def write_compressed_image(self, topic: str, *, stamp_ns: int, frame_id: str, file_format: str, data: bytes) -> None:
        """Append a ``sensor_msgs/CompressedImage``, recorded at its own stamp."""
        self._write(
            topic,
            "sensor_msgs/msg/CompressedImage",
            stamp_ns,
            header=self._header(stamp_ns, frame_id),
            format=file_format,
            data=np.frombuffer(data, np.uint8),
        )

    def write_image(self, topic: str, *, stamp_ns: int, frame_id: str, encoding: str, image: np.ndarray) -> None:
        """Append a ``sensor_msgs/Image`` from a uint8 array ``[H, W]`` or ``[H, W, C]``, recorded at its own stamp."""
        self._write(
            topic,
            "sensor_msgs/msg/Image",
            stamp_ns,
            header=self._header(stamp_ns, frame_id),
            height=image.shape[0],
            width=image.shape[1],
            encoding=encoding,
            is_bigendian=0,
            step=image[0].size,
            data=np.ascontiguousarray(image).reshape(-1),
        )

    def _header(self, stamp_ns: int, frame_id: str) -> Any:
        time_type = self._typestore.types["builtin_interfaces/msg/Time"]
        sec, nanosec = divmod(stamp_ns, 1_000_000_000)
        return self._typestore.types["std_msgs/msg/Header"](stamp=time_type(sec=sec, nanosec=nanosec), frame_id=frame_id)

    def _write(self, topic: str, type_name: str, time_ns: int, **values) -> None:
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(topic, type_name, typestore=self._typestore)
        message = self._typestore.types[type_name](**values)
        self._writer.write(self._connections[topic], time_ns, self._typestore.serialize_cdr(message, type_name))
