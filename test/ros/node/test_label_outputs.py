"""What the node publishes of the classes of pixels beside mono8 labels, over DDS."""

import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import CompressedImage, Image

from mpvss_model.overlay import PALETTE
from mpvss_model.stream.evidence import Segments
from mpvss_ros.messages.conversions import image_message
from mpvss_ros.node import label_outputs
from mpvss_ros.node.label_info import LabelInfoOutput

from ..conftest import header

TOPICS = {"labels/compressed": CompressedImage, "color": Image, "class_scores": Image}
CLASSES = ("background", "robot", "wall")


def answers(peer, camera, frames, topics):
    """Send frames until one of them is answered on all topics; returns its messages by topic."""
    sent = 0

    def stamps(topic):
        return {(m.header.stamp.sec, m.header.stamp.nanosec): m for m in peer.received[f"/mpvss/{topic}"]}

    def answered():
        nonlocal sent
        camera.publish(image_message(frames[sent % len(frames)], "rgb8", header(sent)))
        sent += 1
        return set.intersection(*(set(stamps(topic)) for topic in topics))

    peer.spin_until(answered)
    stamp = min(set.intersection(*(set(stamps(topic)) for topic in topics)))
    return {topic: stamps(topic)[stamp] for topic in topics}


def pixels(message, dtype):
    assert message.step * message.height == len(message.data)
    return np.frombuffer(message.data, dtype).reshape(message.height, message.width, -1)


def test_all_of_a_frame_says_the_same_in_the_size_that_is_asked_for(start_node, peer, frames):
    for topic, message_type in TOPICS.items():
        peer.listen(message_type, f"/mpvss/{topic}")
    start_node(label_encoding="16SC1", unlabeled_id=-1, output_size=[32, 24], class_map=["robot="])
    camera = peer.connect(Image, "/camera/image_raw")
    messages = answers(peer, camera, frames, ("labels", *TOPICS))
    assert len({str(m.header) for m in messages.values()}) == 1
    labels = messages["labels"]
    assert (labels.encoding, labels.width, labels.height, labels.step) == ("16SC1", 32, 24, 64)
    ids = pixels(labels, "<i2")[..., 0]
    assert set(np.unique(ids)) <= {-1, 0, 1}
    compressed = messages["labels/compressed"]
    assert compressed.format == "16SC1; png compressed "
    decoded = cv2.imdecode(np.frombuffer(compressed.data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decoded.view(np.int16), ids)
    color = messages["color"]
    assert color.encoding == "rgb8"
    np.testing.assert_array_equal(pixels(color, np.uint8), PALETTE[np.where(ids < 0, 255, ids)])
    scores = messages["class_scores"]
    assert (scores.encoding, scores.width, scores.height, scores.step) == ("32FC2", 32, 24, 32 * 2 * 4)
    shares = pixels(scores, "<f4")
    assert shares.min() >= 0 and shares.sum(axis=2).max() <= 1 + 1e-5
    # Where a published class won, none of the other published ones has more.
    best = shares.argmax(axis=2)[ids >= 0]
    assert best.size == 0 or np.mean(best == ids[ids >= 0]) > 0.95


def test_scores_are_of_the_classes_that_are_named_in_their_order(start_node, peer, frames):
    peer.listen(Image, "/mpvss/class_scores")
    start_node(score_classes=["wall", "robot", "background"])
    camera = peer.connect(Image, "/camera/image_raw")
    messages = answers(peer, camera, frames, ("labels", "class_scores"))
    assert messages["class_scores"].encoding == "32FC3"
    shares, labels = pixels(messages["class_scores"], "<f4"), pixels(messages["labels"], np.uint8)[..., 0]
    np.testing.assert_allclose(shares.sum(axis=2), 1.0, atol=1e-4)
    assert np.mean(np.array([2, 1, 0])[shares.argmax(axis=2)] == labels) > 0.99


def test_nothing_is_computed_for_topics_that_nobody_reads(start_node, peer, frames, monkeypatch):
    calls = []

    def counted(name, call):
        return lambda *args, **kwargs: (calls.append(name), call(*args, **kwargs))[1]

    for owner, name in (
        (label_outputs, "compressed_labels_message"),
        (label_outputs, "scores_message"),
        (Segments, "class_shares"),
        (Segments, "best_scores"),
    ):
        monkeypatch.setattr(owner, name, counted(name, getattr(owner, name)))

    class Palette:
        def __array__(self, dtype=None, copy=None):
            calls.append("color")
            return PALETTE

    monkeypatch.setattr(label_outputs, "PALETTE", Palette())
    start_node()
    camera = peer.connect(Image, "/camera/image_raw")
    answered = peer.send(camera, [image_message(frame, "rgb8", header(i)) for i, frame in enumerate(frames[:6])])
    assert len(answered) == 6 and calls == []
    for topic, message_type in TOPICS.items():
        peer.listen(message_type, f"/mpvss/{topic}")
    peer.spin_until(lambda: all(peer.count_publishers(f"/mpvss/{topic}") for topic in TOPICS))
    sent = 6

    def all_came():
        nonlocal sent
        peer.send(camera, [image_message(frames[sent % len(frames)], "rgb8", header(sent))])
        sent += 1
        return all(peer.received[f"/mpvss/{topic}"] for topic in TOPICS)

    peer.spin_until(all_came)
    assert set(calls) == {"compressed_labels_message", "scores_message", "class_shares", "color"}


def test_scores_of_an_unknown_class_keep_the_node_from_configuring(start_node, capfd):
    node = start_node(autostart=False, score_classes=["lawn"])
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    message = "'score_classes' names the class 'lawn', which is not published; published classes are background, robot, wall"
    assert message in capfd.readouterr().err


def test_a_class_map_that_leaves_no_class_is_said(start_node, peer, frames, capfd):
    start_node(class_map=["?person=person", "*="], unlabeled_id=0)
    assert "parameter 'class_map' leaves none of the model's classes" in capfd.readouterr().err
    camera = peer.connect(Image, "/camera/image_raw")
    (labels,) = peer.send(camera, [image_message(frames[0], "rgb8", header(0))])
    assert labels.encoding == "mono8" and not any(labels.data)


def test_names_come_again_for_those_who_were_late(start_node, peer):
    vision_msgs = pytest.importorskip("vision_msgs.msg")
    start_node(label_info_period_s=0.2, unlabeled_id=0)
    peer.listen(vision_msgs.LabelInfo, "/mpvss/label_info")  # not latched: only what is published from now on
    peer.spin_until(lambda: len(peer.received["/mpvss/label_info"]) >= 2)
    for info in peer.received["/mpvss/label_info"]:
        assert [(c.class_id, c.class_name) for c in info.class_map] == list(enumerate(CLASSES, 1))


def test_names_are_published_at_once_and_then_by_the_timer(start_node, peer, monkeypatch):
    class Message(SimpleNamespace):
        """Stands for messages of vision_msgs, which is not everywhere."""

        def __init__(self, **fields):
            super().__init__(header=SimpleNamespace(stamp=None), **fields)

    stand_in = SimpleNamespace(LabelInfo=Message, VisionClass=Message)
    monkeypatch.setitem(sys.modules, "vision_msgs", SimpleNamespace(msg=stand_in))
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", stand_in)
    node, published = start_node(autostart=False), []

    def create(message_type, name, qos):
        assert (message_type, name, qos.durability.name) == (Message, "label_info", "TRANSIENT_LOCAL")
        return SimpleNamespace(publish=published.append)

    output = LabelInfoOutput(node, create, classes=[(1, "wall"), (2, "floor")], period_s=0.05)
    assert [(c.class_id, c.class_name) for c in published[0].class_map] == [(1, "wall"), (2, "floor")]
    peer.spin_until(lambda: len(published) >= 3)
    output.destroy()
    LabelInfoOutput(node, create, classes=[], period_s=0.0)
    assert published[-1].class_map == []
    assert not [timer for timer in node.timers if timer.timer_period_ns == 50_000_000]


def test_without_vision_msgs_there_is_no_timer_either(start_node, monkeypatch):
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", None)
    node = start_node(autostart=False)
    before = len(list(node.timers))
    LabelInfoOutput(node, node.create_publisher, classes=[(0, "wall")], period_s=1.0).destroy()
    assert len(list(node.timers)) == before
