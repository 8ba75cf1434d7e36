"""Recordings of other recorders, and those that something happened to: read, or refused with a way out in one line."""

import itertools
import os
import sqlite3
import struct

import lz4.frame
import pytest
import zstandard
from mcap.reader import SeekingReader
from mcap.writer import CompressionType, IndexType
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin

from mpvss_model import DataError
from mpvss_ros.bags.bag import Bag
from mpvss_ros.bags.labelled_source import is_bag
from mpvss_ros.messages.conversions import stamp_ns

from ..recordings import (
    FRAMES,
    MAGIC,
    PERIOD_NS,
    START_NS,
    camera,
    camera_records,
    cdr,
    channel,
    chunk,
    header,
    image,
    message,
    schema,
    write_bag,
    write_indexed_mcap,
    write_mcap,
)

STAMPS_NS = [START_NS + i * PERIOD_NS for i in range(FRAMES)]
STORAGES = pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])


def stamps(path, topic=None):
    with Bag(path) as bag:
        topic = bag.image_topic(topic)
        read = [stamp_ns(m) for m in bag.messages(topic)]
        assert bag.count(topic) == len(read)
    return read


def refusal(path):
    with pytest.raises(DataError) as error, Bag(path) as bag:
        list(bag.messages(bag.image_topic()))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "encoding, serialization",
    [("jsonschema", "json"), ("protobuf", "protobuf"), ("flatbuffer", "flatbuffer"), ("ros1msg", "ros1"), ("ros2msg", "cdr")],
)
def test_a_camera_is_read_whatever_is_recorded_beside_it(tmp_path, encoding, serialization):
    other = schema(2, "foo.Bar", encoding, b"\xff\xfe int32 X=1<<2") + channel(2, "/other", serialization)
    path = write_mcap(tmp_path / "a.mcap", other + message(2, START_NS, b"{}") + camera_records())
    assert stamps(path) == STAMPS_NS
    with Bag(path) as bag:
        assert bag.topics["/other"].is_ros2 == (serialization == "cdr") and bag.count("/other") == 1


@pytest.mark.parametrize(
    "options",
    [
        {"definition": "sensor_msgs/msg/Image"},
        {"definition": "int32 X=1<<2"},
        {"encoding": ""},
        {"encoding": "omgidl", "definition": "no IDL"},
        {"type_name": "sensor_msgs/Image"},
        {"type_name": "sensor_msgs::msg::Image"},
    ],
)
def test_a_camera_is_read_by_its_type_s_name_whatever_its_definition(tmp_path, options):
    assert stamps(write_mcap(tmp_path / "a.mcap", camera_records(**options))) == STAMPS_NS


@pytest.mark.parametrize("profile", ["", "ros1", "x"])
def test_the_header_s_profile_does_not_matter(tmp_path, profile):
    assert stamps(write_mcap(tmp_path / "a.mcap", camera_records(), profile=profile)) == STAMPS_NS


@pytest.mark.parametrize("compression, pack", [("", bytes), ("lz4", lz4.frame.compress), ("zstd", zstandard.compress)])
def test_chunks_without_an_index_are_read(tmp_path, compression, pack):
    records = camera_records()
    assert stamps(write_mcap(tmp_path / "a.mcap", chunk(records, compression, pack))) == STAMPS_NS
    # Messages beside chunks are not forgotten either.
    late = message(1, START_NS + 10**12, cdr(image(100)))
    assert len(stamps(write_mcap(tmp_path / "b.mcap", chunk(records, compression, pack) + late))) == FRAMES + 1


def test_chunks_that_overlap_are_read_in_the_order_of_time(tmp_path):
    even, odd = (chunk(camera_records(frames=range(k, FRAMES, 2))) for k in (0, 1))
    assert stamps(write_mcap(tmp_path / "a.mcap", even + odd)) == STAMPS_NS


def test_a_damaged_chunk_is_named(tmp_path):
    path = write_mcap(tmp_path / "a.mcap", chunk(camera_records()))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    assert "the chunk at byte" in refusal(path) and "is damaged" in refusal(path)


@pytest.mark.parametrize("compression", CompressionType)
def test_a_damaged_chunk_of_many_is_named_by_its_place(tmp_path, compression):
    path = write_indexed_mcap(tmp_path / "a.mcap", compression=compression)
    with path.open("rb") as file:
        index = SeekingReader(file).get_summary().chunk_indexes
    assert len(index) == FRAMES
    data = bytearray(path.read_bytes())
    data[index[3].chunk_start_offset + index[3].chunk_length - 100] ^= 255
    path.write_bytes(data)
    assert f"the chunk at byte {index[3].chunk_start_offset} is damaged" in refusal(path)
    assert "'mcap recover'" in refusal(path)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_chunking": False},
        {"use_statistics": False},
        {"repeat_channels": False},
        {"repeat_schemas": False},
        {"index_types": IndexType.NONE},
        {"index_types": IndexType.CHUNK},
        {"enable_crcs": False},
    ],
)
def test_every_part_of_the_index_may_be_missing(tmp_path, options):
    assert stamps(write_indexed_mcap(tmp_path / "a.mcap", **options)) == STAMPS_NS


def test_a_damaged_index_names_the_repair(tmp_path):
    path = write_indexed_mcap(tmp_path / "a.mcap")
    data = path.read_bytes()
    footer = len(data) - len(MAGIC) - 20
    for place in (len(data) - 5, 2**64 - 1):  # of the index
        path.write_bytes(data[:footer] + struct.pack("<Q", place) + data[footer + 8 :])
        assert "its index is damaged" in refusal(path) and "'mcap recover'" in refusal(path)


@pytest.mark.parametrize("pack", [bytes, chunk])
def test_topics_are_read_by_turns_without_an_index(tmp_path, pack):
    other = schema(2, "std_msgs/msg/Header") + channel(2, "/other")
    other += b"".join(message(2, stamp, cdr(header(stamp))) for stamp in STAMPS_NS)
    with Bag(write_mcap(tmp_path / "a.mcap", pack(camera_records() + other))) as bag:
        pairs = zip(bag.messages("/camera/image_raw"), bag.messages("/other"), strict=True)
        assert [(stamp_ns(image), header.stamp.nanosec) for image, header in pairs] == [(s, s % 10**9) for s in STAMPS_NS]


def test_an_unknown_compression_is_named(tmp_path):
    assert "compression 'lzma' is unknown" in refusal(write_mcap(tmp_path / "a.mcap", chunk(camera_records(), "lzma")))


def test_a_packed_file_that_is_cut_off_is_refused(tmp_path):
    path = tmp_path / "a.mcap.zstd"
    packed = zstandard.compress(write_mcap(tmp_path / "a.mcap", camera_records()).read_bytes())
    path.write_bytes(packed)
    assert stamps(path) == STAMPS_NS
    path.write_bytes(packed[:-5])
    assert "its compression is damaged: it ends too early" in refusal(path)


def test_a_recording_that_was_not_closed_names_the_repair(tmp_path):
    assert "'mcap recover'" in refusal(write_mcap(tmp_path / "a.mcap", camera_records(), is_closed=False))


@STORAGES
@pytest.mark.parametrize("compression", [None, "MESSAGE", "FILE"])
@pytest.mark.parametrize("version", [8, 9])
def test_a_bag_and_its_file_alone_are_read_compressed_or_not(tmp_path, storage, compression, version):
    written = write_bag(tmp_path / "a", camera(), storage=storage, compression=compression, version=version)
    path = written.rename(tmp_path / "a # b?%41")
    file = next(p for p in path.iterdir() if p.name != "metadata.yaml")
    assert stamps(path) == stamps(file) == STAMPS_NS and is_bag(path) and is_bag(file)
    assert stamps(path / "metadata.yaml") == STAMPS_NS


@STORAGES
def test_without_usable_metadata_the_way_out_is_named_and_the_file_is_read(tmp_path, storage):
    path = write_bag(tmp_path / "a", camera(), storage=storage)
    metadata, (file,) = path / "metadata.yaml", [p for p in path.iterdir() if p.name != "metadata.yaml"]
    whole = metadata.read_text()
    metadata.write_text(whole.replace("storage_identifier: ", "storage_identifier: ''  # "))
    assert stamps(path) == STAMPS_NS
    gone = whole.replace(f"- {file.name}", "- gone.mcap")
    for text in ("", "{", "[" * 5000, "a: 2000-13-40", "rosbag2_bagfile_information: {}", gone):
        metadata.write_text(text)
        assert "'ros2 bag reindex'" in refusal(path) and file.name in refusal(path) and stamps(file) == STAMPS_NS
    metadata.unlink()
    assert "has no metadata.yaml" in refusal(path) and "'ros2 bag reindex'" in refusal(path)
    assert is_bag(path) and stamps(file) == STAMPS_NS


def test_a_split_bag_is_read_in_order_and_its_files_alone(tmp_path):
    path = write_bag(tmp_path / "a", camera())
    for k in (0, 1):
        write_mcap(path / f"a_{k}.mcap", camera_records(frames=range(6 * k, 6 * k + 6)))
    metadata = path / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("- a.mcap", "- a_0.mcap\n  - a_1.mcap"))
    assert stamps(path) == STAMPS_NS and stamps(path / "a_1.mcap") == STAMPS_NS[6:]
    (path / "a_1.mcap").write_bytes(b"")
    assert "file 'a_1.mcap': it is neither an MCAP nor a SQLite file: it is empty" in refusal(path)


@STORAGES
@pytest.mark.parametrize("profiles", ["- history: 3\n          depth: many", "'- {'", "5", "[{durability: maybe}]", "[1]"])
def test_no_frame_is_lost_for_qos_that_somebody_edited(tmp_path, storage, profiles):
    path = write_bag(tmp_path / "a", camera(), storage=storage)
    metadata = path / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("offered_qos_profiles: []", f"offered_qos_profiles:\n        {profiles}"))
    assert stamps(path) == STAMPS_NS


@pytest.mark.parametrize("version", [8, 9])
def test_the_offered_qos_is_known_with_and_without_metadata(tmp_path, version):
    none = QosTime(0, 0)
    qos = Qos(
        *(QosHistory.KEEP_LAST, 7, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL),
        *(none, none, QosLiveliness.AUTOMATIC, none, False),
    )
    path = write_bag(tmp_path / "a", {"/map": [(START_NS, header(START_NS))]}, version=version, qos=[qos])
    for place in (path, path / "a.mcap"):
        with Bag(place) as bag:
            assert [(offered.latched, offered.depth) for offered in bag.topics["/map"].offered_qos] == [(True, 7)]


def test_a_database_of_a_type_without_a_definition_is_read(tmp_path):
    path = write_bag(tmp_path / "a", camera(), storage=StoragePlugin.SQLITE3)
    with sqlite3.connect(path / "a.db3") as database:
        database.execute("UPDATE message_definitions SET encoding = 'unknown', encoded_message_definition = ''")
    assert stamps(path) == STAMPS_NS


def test_a_topic_of_two_types_is_read_by_the_one_with_more_messages(tmp_path):
    other = schema(2, "std_msgs/msg/String") + channel(2, "/camera/image_raw") + message(2, START_NS, b"\0\1\0\0")
    assert stamps(write_mcap(tmp_path / "a.mcap", other + camera_records())) == STAMPS_NS


def test_without_an_image_topic_the_topics_and_their_types_are_named(tmp_path):
    path = write_bag(tmp_path / "a", {"/odom": [(START_NS, header(START_NS))]})
    assert refusal(path).endswith("has no image topic: its topics are /odom (std_msgs/msg/Header)")
    foreign = schema(1, "foxglove.CompressedImage", "protobuf", b"\xff") + channel(1, "/camera", "protobuf")
    assert "/camera (foxglove.CompressedImage in protobuf)" in refusal(write_mcap(tmp_path / "b.mcap", foreign))
    assert "it has no topics at all" in refusal(write_mcap(tmp_path / "c.mcap", b""))


def test_images_of_ros1_are_not_taken_for_those_of_ros2(tmp_path):
    path = write_mcap(tmp_path / "a.mcap", schema(1, "sensor_msgs/Image", "ros1msg") + channel(1, "/camera", "ros1"))
    assert "/camera (sensor_msgs/msg/Image in ros1)" in refusal(path)


def test_a_camera_that_never_sent_anything_is_no_choice(tmp_path):
    silent = schema(2, "sensor_msgs/msg/Image") + channel(2, "/silent/image_raw")
    assert stamps(write_mcap(tmp_path / "a.mcap", silent + camera_records())) == STAMPS_NS


def test_a_directory_may_be_named_like_a_file(tmp_path):
    assert stamps(write_bag(tmp_path / "a.mcap", camera())) == STAMPS_NS


def test_directories_without_a_bag_say_what_is_in_them(tmp_path):
    assert "give a rosbag2 directory" in refusal(tmp_path)
    write_bag(tmp_path / "morning", camera(frames=1))
    assert refusal(tmp_path).endswith("it holds morning")


@pytest.mark.parametrize("content, found", [(b"", "it is empty"), (b"a text\n", r"it starts with b'a text\n'")])
def test_a_file_that_is_no_recording_is_named(tmp_path, content, found):
    (tmp_path / "a.mcap").write_bytes(content)
    assert refusal(tmp_path / "a.mcap").endswith(found)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_bag_that_may_not_be_read_is_named(tmp_path):
    path = write_bag(tmp_path / "a", camera(frames=1))
    (path / "a.mcap").chmod(0)
    assert "Permission denied" in refusal(path)


@STORAGES
def test_a_time_of_recording_is_read_alone(tmp_path, storage):
    path = write_bag(tmp_path / "a", camera(), storage=storage)
    check_times(path, has_index=True)


def test_a_time_of_recording_is_read_from_any_mcap_file(tmp_path):
    check_times(write_indexed_mcap(tmp_path / "many_chunks.mcap"), has_index=True)
    check_times(write_mcap(tmp_path / "no_chunks.mcap", camera_records()), has_index=False)


def check_times(path, *, has_index):
    """With limits between messages and at them, and beyond the first and the last."""
    with Bag(path) as bag:
        assert bag.has_index == has_index
        everything = list(bag.raw_messages(["/camera/image_raw"]))
        assert len(everything) == FRAMES
        times = [None, 0, START_NS, START_NS + 3 * PERIOD_NS, START_NS + 5 * PERIOD_NS + 1, START_NS + FRAMES * PERIOD_NS]
        for first_ns, end_ns in itertools.product(times, times):
            expected = [
                raw
                for raw in everything
                if (first_ns is None or first_ns <= raw.time_ns) and (end_ns is None or raw.time_ns < end_ns)
            ]
            assert list(bag.raw_messages(["/camera/image_raw"], (first_ns, end_ns))) == expected
