"""Writes recordings byte by byte, as other recorders than rosbag2 and as accidents leave them."""

import struct
import zlib
from pathlib import Path

import numpy as np
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_HUMBLE)
START_NS = 1_700_000_000_000_000_000
PERIOD_NS = 66_666_667
FRAMES = 12
MAGIC = b"\x89MCAP0\r\n"


def header(stamp_ns, frame_id="camera"):
    stamp = STORE.types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return STORE.types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame_id)


def image(index, *, stamp_ns=None, encoding="rgb8", shape=(48, 64, 3), high=255):
    """Noise that drifts."""
    pixels = np.roll(np.random.default_rng(0).integers(0, high, shape, np.uint8), index, axis=1)
    return STORE.types["sensor_msgs/msg/Image"](
        header=header(START_NS + index * PERIOD_NS if stamp_ns is None else stamp_ns),
        height=shape[0],
        width=shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels[0].size,
        data=pixels.reshape(-1),
    )


def camera(make=image, *, frames=FRAMES, topic="/camera/image_raw"):
    return {topic: [(START_NS + i * PERIOD_NS, make(i)) for i in range(frames)]}


def write_bag(path, topics, *, storage=StoragePlugin.MCAP, version=9, compression=None, qos=()):
    """A whole bag by rosbags. ``topics``: lists of (time, message), by topic."""
    writer = Writer(path, version=version, storage_plugin=storage)
    if compression is not None:
        writer.set_compression(CompressionMode[compression], CompressionFormat.ZSTD)
    with writer:
        for topic, messages in topics.items():
            type_name = messages[0][1].__msgtype__
            connection = writer.add_connection(topic, type_name, typestore=STORE, offered_qos_profiles=qos)
            for time_ns, message in messages:
                writer.write(connection, time_ns, STORE.serialize_cdr(message, type_name))
    return path


def block(content):
    content = content.encode() if isinstance(content, str) else content
    return struct.pack("<I", len(content)) + content


def record(opcode, fields):
    return struct.pack("<BQ", opcode, len(fields)) + fields


def schema(number, name, encoding="ros2msg", definition=""):
    return record(3, struct.pack("<H", number) + block(name) + block(encoding) + block(definition))


def channel(number, topic, serialization="cdr", metadata=b""):
    """Of the schema of the same number."""
    return record(4, struct.pack("<HH", number, number) + block(topic) + block(serialization) + block(metadata))


def message(number, time_ns, data):
    return record(5, struct.pack("<HIQQ", number, 0, time_ns, time_ns) + data)


def chunk(records, compression="", pack=bytes):
    fields = struct.pack("<QQQI", START_NS, START_NS, len(records), zlib.crc32(records)) + block(compression)
    packed = pack(records)
    return record(6, fields + struct.pack("<Q", len(packed)) + packed)


def camera_records(type_name="sensor_msgs/msg/Image", encoding="ros2msg", definition="", frames=range(FRAMES)):
    """Schema, channel and messages of a camera, as number 1."""
    messages = (message(1, START_NS + i * PERIOD_NS, cdr(image(i))) for i in frames)
    return schema(1, type_name, encoding, definition) + channel(1, "/camera/image_raw") + b"".join(messages)


def cdr(ros_message):
    return bytes(STORE.serialize_cdr(ros_message, ros_message.__msgtype__))


def write_mcap(path, records, *, profile="ros2", is_closed=True):
    """A file without summary around records."""
    end = record(15, struct.pack("<I", 0)) + record(2, struct.pack("<QQI", 0, 0, 0)) + MAGIC if is_closed else b""
    Path(path).write_bytes(MAGIC + record(1, block(profile) + block("test")) + records + end)
    return path


def write_indexed_mcap(path, **options):
    """A camera's file by Foxglove's library, a chunk for each frame."""
    writer = McapWriter(str(path), **{"chunk_size": 1, **options})
    writer.start("ros2", "test")
    definition = writer.register_schema("sensor_msgs/msg/Image", "ros2msg", b"")
    number = writer.register_channel("/camera/image_raw", "cdr", definition)
    for time_ns, frame in camera()["/camera/image_raw"]:
        writer.add_message(number, time_ns, cdr(frame), time_ns)
    writer.finish()
    return path
