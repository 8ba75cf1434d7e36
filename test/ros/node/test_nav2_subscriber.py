"""A subscriber that takes label images the way nav2's semantic segmentation layer does."""

import numpy as np
import pytest
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from mpvss_ros.messages.conversions import image_message

from ..conftest import header

WIDTH, HEIGHT = 20, 16
CLASSES = {"free": 0, "obstacle": 1}


class SegmentationLayer:
    """Pairs mask and confidence by equal stamps and reads single pixels, without a look at encoding or step."""

    def __init__(self, node: Node):
        self.class_names = None
        self.pairs = []
        self._masks, self._confidences = {}, {}
        node.create_subscription(Image, "/mpvss/labels", lambda m: self._keep(self._masks, m), 5)
        node.create_subscription(Image, "/mpvss/confidence", lambda m: self._keep(self._confidences, m), 5)

    def _keep(self, images, message):
        stamp = (message.header.stamp.sec, message.header.stamp.nanosec)
        images[stamp] = message
        if stamp in self._masks and stamp in self._confidences:
            self.pairs.append((self._masks.pop(stamp), self._confidences.pop(stamp)))


def pixels(message):
    return np.array([[message.data[v * WIDTH + u] for u in range(WIDTH)] for v in range(HEIGHT)])


def test_masks_and_confidences_of_the_wanted_size_come_in_pairs_with_few_classes(start_node, peer, frames):
    layer = SegmentationLayer(peer)
    start_node(output_size=[WIDTH, HEIGHT], class_map=["background=free", "*=obstacle"], max_interval_frames=4)
    camera = peer.connect(Image, "/camera/image_raw")
    peer.spin_until(lambda: peer.count_publishers("/mpvss/confidence"))
    sent = 0

    def paired():
        nonlocal sent
        camera.publish(image_message(frames[sent % len(frames)], "rgb8", header(sent)))
        sent += 1
        return len(layer.pairs) >= 8

    peer.spin_until(paired)
    for mask, confidence in layer.pairs:
        assert mask.header == confidence.header
        assert len(mask.data) == len(confidence.data) == WIDTH * HEIGHT
        assert set(np.unique(pixels(mask))) <= set(CLASSES.values())
        assert pixels(confidence).max() <= 255
    peer.spin_until_diagnostics(lambda d: "class_names" in d["segmentation: model"])
    assert peer.diagnostics()["segmentation: model"]["class_names"].split(", ") == list(CLASSES)


def test_resized_labels_are_those_of_the_nearest_pixels(start_node, peer, frames):
    start_node()
    camera = peer.connect(Image, "/camera/image_raw")
    (full,) = peer.send(camera, [image_message(frames[0], "rgb8", header(0))])
    assert peer.set_parameters(output_size=[32, 24]).successful
    (half,) = peer.send(camera, [image_message(frames[0], "rgb8", header(100))])
    full, half = (np.frombuffer(m.data, np.uint8).reshape(m.height, m.width) for m in (full, half))
    assert full.shape == (48, 64) and half.shape == (24, 32)
    candidates = np.stack([full[y::2, x::2] for y in (0, 1) for x in (0, 1)])
    assert (candidates == half).any(axis=0).all()


def test_an_unknown_class_in_the_class_map_is_refused_with_the_known_ones(start_node, capfd):
    with pytest.raises(AssertionError):
        start_node(class_map=["lawn=free"])
    message = "names the class 'lawn', which the model does not have; its classes are background, robot, wall"
    assert message in capfd.readouterr().err


def test_label_info_is_there_before_the_first_mask(start_node, peer, frames):
    vision_msgs = pytest.importorskip("vision_msgs.msg")
    latched = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    start_node(class_map=["background=free", "*=obstacle"])
    peer.listen(vision_msgs.LabelInfo, "/mpvss/label_info", latched)
    peer.spin_until(lambda: peer.received["/mpvss/label_info"])
    (info,) = peer.received["/mpvss/label_info"]
    assert {c.class_name: c.class_id for c in info.class_map} == CLASSES
    assert peer.received["/mpvss/labels"] == []
