"""Overlay, coloured and compressed labels are drawn in a thread that labels do not wait for."""

from threading import Event

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from mpvss_ros.messages.conversions import compressed_message, image_message, labels_from_message, rgb_from_message, stamp_ns
from mpvss_ros.node import camera as camera_module
from mpvss_ros.node import outputs

from ..conftest import TIMEOUT_S, header

OVERLAY = "/mpvss/overlay"


class Brush:
    """Holds up every overlay until it is let go."""

    def __init__(self, draw):
        self.started, self.gate, self._draw = Event(), Event(), draw
        self.begun = 0

    def __call__(self, *args):
        self.begun += 1
        self.started.set()
        assert self.gate.wait(TIMEOUT_S)
        return self._draw(*args)


@pytest.fixture
def brush(monkeypatch):
    held = Brush(outputs.overlay)
    monkeypatch.setattr(outputs, "overlay", held)
    yield held
    held.gate.set()


@pytest.fixture
def watched(start_node, peer):
    """Starts a node whose overlay somebody watches; returns it and its camera."""

    def start(**parameters):
        peer.listen(Image, OVERLAY)
        node = start_node(**parameters)
        camera = peer.connect(Image, "/camera/image_raw")
        peer.spin_until(lambda: peer.count_publishers(OVERLAY) and node._cameras[0]._outputs._overlay.get_subscription_count())
        return node, camera

    return start


def messages(frames, count):
    return [image_message(frames[i % len(frames)], "rgb8", header(i)) for i in range(count)]


def stamps(received):
    return [stamp_ns(message) for message in received]


def test_labels_come_while_a_picture_takes_its_time_and_the_newest_picture_wins(watched, peer, frames, brush):
    _, camera = watched(mode="realtime")
    peer.send(camera, messages(frames, 1))
    assert brush.started.wait(TIMEOUT_S)
    answered = peer.send(camera, messages(frames, 6)[1:])
    assert len(answered) == 5 and not peer.received[OVERLAY]
    brush.gate.set()
    peer.spin_until(lambda: len(peer.received[OVERLAY]) == 2)
    assert stamps(peer.received[OVERLAY]) == [stamp_ns(m) for m in messages(frames, 6)[:1] + messages(frames, 6)[5:]]
    peer.spin_until_diagnostics(lambda d: d["segmentation: output"]["pictures_dropped"] == "4")


def test_no_picture_is_lost_in_lossless_mode_and_few_wait(watched, peer, frames, brush):
    node, camera = watched(mode="lossless", queue_size=30)
    sent = messages(frames, 12)
    for message in sent:
        camera.publish(message)
    # One is being drawn, the next ones wait, and of the frame after that the labels are out.
    ahead = camera_module.LOSSLESS_DRAWINGS + 2
    peer.spin_until(lambda: len(peer.received["/mpvss/labels"]) == ahead)
    brush.gate.set()
    peer.spin_until(lambda: len(peer.received[OVERLAY]) >= 1 and len(peer.received["/mpvss/labels"]) == len(sent))
    assert node._drawing.wait_until_idle(TIMEOUT_S)
    assert (brush.begun, node._cameras[0].drawings.dropped) == (len(sent), 0)


def test_what_was_drawn_for_before_a_deactivation_is_not_published_after_it(watched, peer, frames, brush):
    node, camera = watched(mode="lossless")
    peer.send(camera, messages(frames, 3))
    assert brush.started.wait(TIMEOUT_S)
    node._deactivate(timeout_s=0.0)
    node._activate()
    brush.gate.set()
    assert node._drawing.wait_until_idle(TIMEOUT_S)
    camera = peer.connect(Image, "/camera/image_raw")
    peer.spin_until(lambda: camera.get_subscription_count())
    later = image_message(frames[5], "rgb8", header(50))
    peer.send(camera, [later])
    peer.spin_until(lambda: peer.received[OVERLAY])
    assert stamps(peer.received[OVERLAY]) == [stamp_ns(later)]


def test_a_node_ends_while_inference_waits_for_pictures(watched, peer, frames, brush):
    node, camera = watched(mode="lossless", queue_size=30)
    for message in messages(frames, 12):
        camera.publish(message)
    peer.spin_until(lambda: len(peer.received["/mpvss/labels"]) == camera_module.LOSSLESS_DRAWINGS + 2)
    inference, drawing = node._inference, node._drawing
    node.release(timeout_s=0.0)
    assert inference.stop(TIMEOUT_S)
    brush.gate.set()
    assert drawing.stop(TIMEOUT_S) and not peer.received[OVERLAY]


def test_a_picture_that_fails_costs_nothing_else(watched, peer, frames, monkeypatch, capfd):
    monkeypatch.setattr(outputs, "overlay", lambda *args: 1 / 0)
    _, camera = watched()
    assert len(peer.send(camera, messages(frames, 3))) == 3
    peer.spin_until(lambda: "pictures of a frame failed: ZeroDivisionError" in capfd.readouterr().err)


def test_a_compressed_camera_is_decoded_as_small_as_the_network_and_shown_as_large_as_it_is(start_node, peer, monkeypatch):
    decoded = []
    from_message = camera_module.reduced_rgb_from_message

    def reduced(*args, **kwargs):
        decoded.append(from_message(*args, **kwargs).pixels.shape)
        return from_message(*args, **kwargs)

    monkeypatch.setattr(camera_module, "reduced_rgb_from_message", reduced)
    start_node(image_transport="compressed", inference_size=48, overlay_alpha=0.0)
    camera = peer.connect(CompressedImage, "/camera/image_raw/compressed")
    noise = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    image = compressed_message(cv2.resize(noise, (256, 192)), "jpeg", header(0))
    (labels,) = peer.send(camera, [image])
    assert decoded == [(48, 64, 3)] and labels_from_message(labels).shape == (192, 256)
    peer.listen(Image, OVERLAY)
    peer.spin_until(lambda: peer.count_publishers(OVERLAY))
    sent = 0

    def shown():
        nonlocal sent
        sent += 1
        image.header = header(sent)
        peer.send(camera, [image])
        return peer.received[OVERLAY]

    peer.spin_until(shown)
    np.testing.assert_array_equal(rgb_from_message(peer.received[OVERLAY][0]), rgb_from_message(image))
    assert set(decoded) == {(48, 64, 3)}
