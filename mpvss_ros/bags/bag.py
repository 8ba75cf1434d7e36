"""Read and write rosbag2 files without a ROS installation."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from mpvss_model import DataError
from mpvss_model.errors import first_line
from mpvss_ros.bags.bag_files import find_bag_files
from mpvss_ros.bags.bag_storage import EVER, Channel, Storage, TimeRange, open_storage
from mpvss_ros.bags.offered_qos import OfferedQos, parse_offered_qos
from mpvss_ros.bags.zstd import ZSTD_MAGIC, decompress

__all__ = [
    "CONFIDENCE_TOPIC",
    "GROUND_TRUTH_TOPIC",
    "LABELS_TOPIC",
    "Bag",
    "BagWriter",
    "RawMessage",
    "RecordedTopic",
]

GROUND_TRUTH_TOPIC = "/ground_truth/labels"
# Of the node, as `image_transport` names what it compresses.
LABELS_TOPIC, CONFIDENCE_TOPIC = "/mpvss/labels/compressed", "/mpvss/confidence/compressed"
NO_CAMERAS = (GROUND_TRUTH_TOPIC, LABELS_TOPIC, CONFIDENCE_TOPIC)
IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
BAG_VERSION = 9
NEVER = QosTime(0, 0)
LATCHED = Qos(
    history=QosHistory.KEEP_LAST,
    depth=1,
    reliability=QosReliability.RELIABLE,
    durability=QosDurability.TRANSIENT_LOCAL,
    deadline=NEVER,
    lifespan=NEVER,
    liveliness=QosLiveliness.AUTOMATIC,
    liveliness_lease_duration=NEVER,
    avoid_ros_namespace_conventions=False,
)
# By its name, since each message has an encoding of its own: /camera/depth/image_raw, /cam/aligned_depth_to_color/image_raw.
DEPTH_TOPIC = re.compile(r"(/|_)depth(/|_|$)|/compressedDepth$")
MAX_TOPICS = 10


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


@dataclass(frozen=True)
class RecordedTopic:
    """What a bag says of one of its topics.

    Attributes:
        type_name: Such as ``sensor_msgs/msg/Image``.
        serialization: ``cdr`` for ROS 2; a bag may also hold JSON, protobuf or ROS 1's messages.
        count: Number of messages.
        offered_qos: Of its publishers, as far as it was recorded.
    """

    type_name: str
    serialization: str
    count: int
    offered_qos: tuple[OfferedQos, ...] = ()

    @property
    def is_ros2(self) -> bool:
        """Whether its messages are those of ROS 2."""
        return self.serialization in ("cdr", "")

    def __str__(self) -> str:
        return self.type_name if self.is_ros2 else f"{self.type_name} in {self.serialization}"


class Bag:
    """A rosbag2 recording, MCAP or SQLite, opened for reading; a context manager.

    Only the topics that are asked for are looked at: whatever else is in the recording, and however that is defined, does
    not matter.

    Args:
        path: The bag's directory, or one of the files in it, such as ``recording_1.mcap``, which then is read alone.

    Raises:
        DataError: If there is no bag or it cannot be read. Messages that turn out to be broken later raise it too.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        files = find_bag_files(self.path)
        self._typestore = get_typestore(Stores.LATEST)
        self._storages: list[Storage] = []
        with ExitStack() as stack:
            for file in files.paths:
                place = f"{str(path)!r}" if len(files.paths) == 1 else f"{str(path)!r}, file {file.name!r}"
                with _errors_named(f"cannot read bag {place}"):
                    self._storages.append(open_storage(file, stack))
            self._stack = stack.pop_all()
        self.topics = _topics([channel for storage in self._storages for channel in storage.channels])
        for topic, offered in files.offered_qos.items():
            # People change it there, which is where rosbag2 looks for it.
            if topic in self.topics:
                self.topics[topic] = replace(self.topics[topic], offered_qos=offered)

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *_) -> None:
        self._stack.close()

    @property
    def types_by_topic(self) -> dict[str, str]:
        """Message type of each topic."""
        return {topic: recorded.type_name for topic, recorded in self.topics.items()}

    def count(self, topic: str) -> int:
        """Number of messages of a topic; 0 if the bag does not have it."""
        return self.topics[topic].count if topic in self.topics else 0

    def image_topic(self, requested: str | None = None, *, option: str = "--topic") -> str:
        """The topic of the camera's images: the requested one, or the only one there is beside labels and their confidence.

        Args:
            requested: None to choose.
            option: What users name a topic with, for messages.

        Raises:
            DataError: If it is missing, not an image topic, or there are several to choose from.
        """
        images = {t: r for t, r in self.topics.items() if r.type_name in IMAGE_TYPES and r.is_ros2}
        cameras = sorted(t for t in images if t not in NO_CAMERAS)
        if requested is not None:
            if requested not in images:
                found = f"it is of type {self.topics[requested]}" if requested in self.topics else "the bag does not have it"
                known = ", ".join(cameras) or "none"
                raise DataError(f"topic {requested!r}: {found}; image topics in {str(self.path)!r}: {known}")
            return requested
        if not cameras:
            raise DataError(f"bag {str(self.path)!r} has no image topic: {self._topics_in_words()}")
        # Depth is no choice beside colours: an RGB-D camera records both.
        cameras = [topic for topic in cameras if not DEPTH_TOPIC.search(topic)] or cameras
        # A camera that was announced but never sent anything is no choice.
        cameras = [topic for topic in cameras if images[topic].count] or cameras
        if len(cameras) > 1:
            known = ", ".join(cameras)
            raise DataError(f"bag {str(self.path)!r} has {len(cameras)} image topics ({known}): name one with {option}")
        return cameras[0]

    @property
    def has_index(self) -> bool:
        """Whether a part of it can be read without all that is before."""
        return all(storage.has_index for storage in self._storages)

    def raw_messages(self, topics: Collection[str], when: TimeRange = EVER) -> Iterator[RawMessage]:
        """The serialized messages of some topics in the order of recording, perhaps of some time of recording only."""
        for storage in self._storages:
            channels = {c.number: c for c in storage.channels if c.topic in topics and self._is_of_its_topic(c)}
            if not channels:
                continue
            with _errors_named(f"bag {str(self.path)!r} is damaged"):
                for number, time_ns, data in storage.messages(channels, when):
                    topic = channels[number].topic
                    yield RawMessage(topic, self.topics[topic].type_name, time_ns, _decompressed(data))

    def messages(
        self, topic: str, on_broken: Callable[[DataError], None] | None = None, when: TimeRange = EVER
    ) -> Iterator[Any]:
        """The messages of one topic, with the attributes of the ROS messages.

        Types are taken as ROS 2 defines them, not from the bag, which may lack definitions or hold broken ones.

        Args:
            topic: Of the bag; one that it does not have has no messages.
            on_broken: Is told of each message that cannot be deserialized, which is then left out; by default that is raised.
            when: Times of recording.

        Raises:
            DataError: If a message is broken, or the topic's type is none of ROS 2's own.
        """
        recorded = self.topics.get(topic)
        if recorded is None:
            return
        if not recorded.is_ros2 or recorded.type_name not in self._typestore.types:
            raise DataError(f"topic {topic!r} of bag {str(self.path)!r} is of type {recorded}, which cannot be read here")
        for raw in self.raw_messages([topic], when):
            try:
                message = self.deserialized(raw)
            except DataError as error:
                if on_broken is None:
                    raise
                on_broken(error)
            else:
                yield message

    def deserialized(self, raw: RawMessage) -> Any:
        """A message of one of ROS 2's own types; raises `DataError` if it is broken."""
        with _errors_named(f"bag {str(self.path)!r} has a broken {raw.type_name} on {raw.topic}"):
            return self._typestore.deserialize_cdr(raw.data, raw.type_name)

    def _is_of_its_topic(self, channel: Channel) -> bool:
        recorded = self.topics[channel.topic]
        return (_ros2_name(channel.type_name), channel.serialization) == (recorded.type_name, recorded.serialization)

    def _topics_in_words(self) -> str:
        names = [f"{topic} ({recorded})" for topic, recorded in sorted(self.topics.items())]
        more = f" and {len(names) - MAX_TOPICS} more" if len(names) > MAX_TOPICS else ""
        return f"its topics are {', '.join(names[:MAX_TOPICS])}{more}" if names else "it has no topics at all"


@contextmanager
def _errors_named(what: str) -> Iterator[None]:
    """Turn errors, of which each format has its own for broken files, into a `DataError`."""
    try:
        yield
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
        raise DataError(f"{what}: {reason}") from error


def _topics(channels: list[Channel]) -> dict[str, RecordedTopic]:
    """Sums up the channels of each topic. If they are of several types, the one with the most messages is the topic's."""
    kinds: dict[tuple[str, str, str], RecordedTopic] = {}
    for channel in channels:
        key = (channel.topic, _ros2_name(channel.type_name), channel.serialization)
        known = kinds.get(key, RecordedTopic(key[1], key[2], 0))
        offered_qos = known.offered_qos + parse_offered_qos(channel.offered_qos)
        kinds[key] = replace(known, count=known.count + channel.count, offered_qos=offered_qos)
    by_count = sorted(kinds.items(), key=lambda item: item[1].count)
    return {topic: recorded for (topic, _, _), recorded in by_count}


def _ros2_name(type_name: str) -> str:
    """``sensor_msgs/Image``, as other recorders and ROS 1 write it, is ``sensor_msgs/msg/Image``."""
    parts = type_name.replace("::", "/").split("/")
    return "/".join([parts[0], "msg", parts[1]]) if len(parts) == 2 else "/".join(parts)


def _decompressed(data: bytes) -> bytes:
    """rosbag2 may compress each message; no CDR message begins like that."""
    return decompress(data) if data.startswith(ZSTD_MAGIC) else data


class BagWriter:
    """Writes a rosbag2 directory with MCAP storage; a context manager.

    The bag appears at ``path`` when the block ends; if it ends with an error, nothing is left behind.

    Args:
        path: Of the directory.
        compressed: Whether to compress the file's chunks, by zstd; worth it for raw images.

    Raises:
        DataError: If there is something at ``path`` already, or nothing can be written there.
    """

    def __init__(self, path: str | Path, *, compressed: bool = False) -> None:
        self.path = Path(path)
        self._compressed = compressed
        with _errors_named(f"cannot write bag {str(path)!r}"):
            exists = self.path.exists()
        if exists:
            raise DataError(f"{str(path)!r} exists already: choose another path for the bag")
        # The files in a bag are named after its directory, so that only a parent may have another name for now.
        self._unfinished = self.path.with_name(f".{self.path.name}.unfinished")
        self._typestore = get_typestore(Stores.ROS2_HUMBLE)
        self._connections: dict[str, Any] = {}

    def __enter__(self) -> BagWriter:
        with _errors_named(f"cannot write bag {str(self.path)!r}"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self._unfinished, ignore_errors=True)
            self._unfinished.mkdir()
            self._writer = Writer(self._unfinished / self.path.name, version=BAG_VERSION, storage_plugin=StoragePlugin.MCAP)
            if self._compressed:
                self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
            self._writer.open()
        return self

    def __exit__(self, error_type, *_) -> None:
        try:
            with _errors_named(f"cannot write bag {str(self.path)!r}"):
                self._writer.close()
                if error_type is None:
                    (self._unfinished / self.path.name).rename(self.path)
        finally:
            shutil.rmtree(self._unfinished)

    def write_compressed_image(self, topic: str, *, stamp_ns: int, frame_id: str, file_format: str, data: bytes) -> None:
        """Append a ``sensor_msgs/CompressedImage``, recorded at its own stamp."""
        self.write(
            topic,
            "sensor_msgs/msg/CompressedImage",
            stamp_ns,
            header=self.header(stamp_ns, frame_id),
            format=file_format,
            data=np.frombuffer(data, np.uint8),
        )

    def write_image(self, topic: str, *, stamp_ns: int, frame_id: str, encoding: str, image: np.ndarray) -> None:
        """Append a ``sensor_msgs/Image`` from an array ``[H, W]`` or ``[H, W, C]``, recorded at its own stamp.

        Its numbers are those of the encoding: uint8 for ``rgb8``, uint16 for ``16UC1``.
        """
        self.write(
            topic,
            "sensor_msgs/msg/Image",
            stamp_ns,
            header=self.header(stamp_ns, frame_id),
            height=image.shape[0],
            width=image.shape[1],
            encoding=encoding,
            is_bigendian=int(sys.byteorder == "big"),
            step=image[0].nbytes,
            data=np.ascontiguousarray(image).reshape(-1).view(np.uint8),
        )

    def define(self, type_name: str, definition: str) -> None:
        """Make a message type known that is none of ROS 2's own; bags hold the definitions of what is in them.

        Args:
            type_name: Such as ``vision_msgs/msg/LabelInfo``.
            definition: As in its ``.msg`` file.
        """
        self._typestore.register(get_types_from_msg(definition, type_name))

    def copy(self, message: RawMessage) -> None:
        """Append a message of one of ROS 2's own types as it is in another bag, recorded at the same time."""
        connection = self._connection(message.topic, message.type_name)
        with _errors_named(f"cannot write bag {str(self.path)!r}"):
            self._writer.write(connection, message.time_ns, message.data)

    def write_under_header(self, topic: str, header: Any, *, time_ns: int, file_format: str, data: bytes) -> None:
        """Append a ``sensor_msgs/CompressedImage`` under another message's header.

        Args:
            topic: Of the image.
            header: Of a message that `Bag` read.
            time_ns: When it is said to have been recorded.
            file_format: ``png`` or ``jpeg``.
            data: The file's content.
        """
        values = {"header": header, "format": file_format, "data": np.frombuffer(data, np.uint8)}
        self.write(topic, "sensor_msgs/msg/CompressedImage", time_ns, **values)

    def write_latched(self, topic: str, type_name: str, *, time_ns: int, **values: Any) -> None:
        """Append a message that late subscribers of a replay get, too.

        Args:
            topic: That holds nothing else.
            type_name: Of the message and, in ``values``, of its parts as `message` makes them.
            time_ns: When it is said to have been recorded.
            values: Of the message's fields.
        """
        self._connection(topic, type_name, qos=[LATCHED])
        self.write(topic, type_name, time_ns, **values)

    @property
    def topics(self) -> Collection[str]:
        """Those that something has been written to."""
        return self._connections.keys()

    def message(self, type_name: str, **values: Any) -> Any:
        """A message, or a part of one."""
        return self._typestore.types[type_name](**values)

    def header(self, stamp_ns: int, frame_id: str) -> Any:
        """A header, as a part of a message."""
        time_type = self._typestore.types["builtin_interfaces/msg/Time"]
        sec, nanosec = divmod(stamp_ns, 1_000_000_000)
        return self._typestore.types["std_msgs/msg/Header"](stamp=time_type(sec=sec, nanosec=nanosec), frame_id=frame_id)

    def write(self, topic: str, type_name: str, time_ns: int, **values: Any) -> None:
        """Append a message of any type that is known.

        Args:
            topic: Of the message.
            type_name: Such as ``sensor_msgs/msg/CameraInfo``.
            time_ns: When it is said to have been recorded.
            values: Of all its fields; parts of it as `message` and `header` make them.
        """
        connection = self._connection(topic, type_name)
        message = self._typestore.types[type_name](**values)
        with _errors_named(f"cannot write bag {str(self.path)!r}"):
            self._writer.write(connection, time_ns, self._typestore.serialize_cdr(message, type_name))

    def _connection(self, topic: str, type_name: str, qos: Collection[Qos] = ()) -> Any:
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic, type_name, typestore=self._typestore, offered_qos_profiles=list(qos)
            )
        return self._connections[topic]
