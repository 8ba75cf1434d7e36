import numpy as np
import pytest

from mpvss_model import DataError
from mpvss_ros.bags.bag import GROUND_TRUTH_TOPIC, Bag, BagWriter
from mpvss_ros.messages.conversions import labels_from_message, rgb_from_message, stamp_ns

STAMPS_NS = [1_700_000_000_123_456_789 + i * 66_666_667 for i in range(3)]


@pytest.fixture
def recording(tmp_path):
    with BagWriter(tmp_path / "bag") as bag:
        for i, stamp in enumerate(STAMPS_NS):
            image = np.full((4, 6, 3), i, np.uint8)
            bag.write_image("/camera/image_raw", stamp_ns=stamp, frame_id="cam", encoding="rgb8", image=image)
            bag.write_image(GROUND_TRUTH_TOPIC, stamp_ns=stamp, frame_id="cam", encoding="mono8", image=image[..., 0])
    return tmp_path / "bag"


def test_what_is_written_is_read_back(recording):
    with Bag(recording) as bag:
        topic = bag.image_topic()
        messages = list(bag.messages(topic))
        assert (topic, bag.count(topic)) == ("/camera/image_raw", 3)
        assert [stamp_ns(m) for m in messages] == STAMPS_NS
        assert {m.header.frame_id for m in messages} == {"cam"}
        assert [int(rgb_from_message(m).max()) for m in messages] == [0, 1, 2]
        assert [int(labels_from_message(m).max()) for m in bag.messages(GROUND_TRUTH_TOPIC)] == [0, 1, 2]


def test_a_bag_may_be_named_by_its_file(recording):
    with Bag(recording / "bag.mcap") as bag:
        assert bag.count("/camera/image_raw") == 3


def test_a_block_that_fails_leaves_no_bag_behind(tmp_path):
    with pytest.raises(RuntimeError), BagWriter(tmp_path / "bag") as bag:
        bag.write_image("/a", stamp_ns=1, frame_id="", encoding="mono8", image=np.zeros((2, 2), np.uint8))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_existing_bag_is_not_overwritten(recording):
    with pytest.raises(DataError, match="exists already"):
        BagWriter(recording)


def test_a_missing_bag_says_what_to_give(tmp_path):
    with pytest.raises(DataError, match=r"no bag at '.*nowhere'.*rosbag2 directory"):
        Bag(tmp_path / "nowhere")


def test_a_ros1_bag_says_how_to_convert_it(tmp_path):
    (tmp_path / "old.bag").touch()
    with pytest.raises(DataError, match="rosbags-convert"):
        Bag(tmp_path / "old.bag")


@pytest.mark.parametrize("content", [b"", b"this is no mcap file", b"\x89MCAP0\r\n and then garbage"])
def test_a_broken_bag_is_named(tmp_path, content):
    (tmp_path / "broken.mcap").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot read bag '.*broken.mcap'"):
        Bag(tmp_path / "broken.mcap")


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_a_truncated_bag_is_an_error_not_a_crash(recording, keep):
    data = (recording / "bag.mcap").read_bytes()
    (recording / "bag.mcap").write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(DataError, match="bag"), Bag(recording) as bag:
        list(bag.messages("/camera/image_raw"))


def test_an_unknown_topic_lists_the_image_topics(recording):
    with Bag(recording) as bag, pytest.raises(DataError, match=r"'/nope'.*does not have it.*/camera/image_raw"):
        bag.image_topic("/nope")


def test_several_cameras_need_a_choice(tmp_path):
    with BagWriter(tmp_path / "bag") as bag:
        for topic in ("/left", "/right"):
            bag.write_image(topic, stamp_ns=1, frame_id="", encoding="mono8", image=np.zeros((2, 2), np.uint8))
    with Bag(tmp_path / "bag") as bag:
        with pytest.raises(DataError, match=r"2 image topics \(/left, /right\): name one with --topic"):
            bag.image_topic()
        assert bag.image_topic("/right") == "/right"


def test_depth_is_no_choice_beside_colours(tmp_path):
    topics = ("/camera/color/image_raw", "/camera/aligned_depth_to_color/image_raw", "/camera/depth_registered/image_raw")
    depth = np.arange(60000, 60024, dtype=np.uint16).reshape(4, 6)
    with BagWriter(tmp_path / "bag", compressed=True) as bag:
        bag.write_image(topics[0], stamp_ns=1, frame_id="", encoding="rgb8", image=np.zeros((4, 6, 3), np.uint8))
        for topic in topics[1:]:
            bag.write_image(topic, stamp_ns=1, frame_id="", encoding="16UC1", image=depth)
    with Bag(tmp_path / "bag") as bag:
        assert bag.image_topic() == topics[0]
        assert bag.image_topic(topics[1]) == topics[1]
        (message,) = bag.messages(topics[1])
    assert message.step == 12 and np.frombuffer(message.data, np.uint16).tolist() == depth.ravel().tolist()


def test_depth_is_taken_where_there_is_nothing_else(tmp_path):
    with BagWriter(tmp_path / "bag") as bag:
        bag.write_image("/depth/image_raw", stamp_ns=1, frame_id="", encoding="mono8", image=np.zeros((4, 6), np.uint8))
    with Bag(tmp_path / "bag") as bag:
        assert bag.image_topic() == "/depth/image_raw"
