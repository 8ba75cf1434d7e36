"""Clocks that are simulated, stamps that jump, repeat or leave gaps, images that change their size."""

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, TimeReference
from std_msgs.msg import Header

from mpvss_model import StreamConfig, VideoSegmentor
from mpvss_ros.messages.conversions import image_message, labels_from_message, rgb_from_message, stamp_ns
from mpvss_ros.node.outputs import time_message

KEY_FRAME = "/mpvss/key_frame"
SHAPE, OTHER_SHAPE = (48, 64, 3), (32, 80, 3)


def image(stamp_s, shape=SHAPE):
    sec = int(stamp_s // 1)
    noise = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    return image_message(noise, "rgb8", Header(stamp=Time(sec=sec, nanosec=round((stamp_s - sec) * 1e9))))


@pytest.mark.parametrize(
    "messages, key_frames, last_reason, restarts",
    [
        ([image(100.0), image(100.1), image(100.2), image(100.3)], [0], "first", ""),
        # A bag that starts again.
        (
            [image(100.0), image(100.1), image(50.0), image(50.1), image(100.0)],
            [0, 2, 4],
            "reset",
            "gap: 1, stamp went back: 1",
        ),
        # Longer than max_key_age_s, and just not.
        ([image(100.0), image(103.5), image(103.6)], [0, 1], "reset", "gap: 1"),
        ([image(100.0), image(102.5), image(102.6)], [0], "first", ""),
        (
            [image(100.0), image(100.1, OTHER_SHAPE), image(100.2, OTHER_SHAPE), image(100.3)],
            [0, 1, 3],
            "reset",
            "frame size changed: 2",
        ),
        # Stamps before 1970, and those that a camera without a clock sends.
        ([image(-100.0), image(-99.9), image(0.0), image(0.1)], [0, 2], "reset", "gap: 1"),
    ],
    ids=["steady", "back", "gap", "short gap", "size", "before 1970"],
)
def test_a_break_in_the_stream_starts_it_anew(start_node, peer, messages, key_frames, last_reason, restarts):
    peer.listen(TimeReference, KEY_FRAME)
    start_node(max_interval_frames=100)
    answers = peer.send(peer.connect(Image, "/camera/image_raw"), messages)
    assert [(m.header, m.width, m.height) for m in answers] == [(m.header, m.width, m.height) for m in messages]
    peer.spin_until(lambda: len(peer.received[KEY_FRAME]) == len(messages))
    assert [i for i, r in enumerate(peer.received[KEY_FRAME]) if r.source == "key"] == key_frames
    peer.spin_until_diagnostics(lambda d: d["segmentation: output"]["published"] == str(len(messages)))
    values = peer.diagnostics()["segmentation: key frames"]
    assert (values["last_reason"], values["restarts_by_reason"]) == (last_reason, restarts)


def test_the_size_of_inference_changes_live_and_labels_are_those_of_the_model_alone(start_node, peer, tiny_checkpoint):
    peer.listen(TimeReference, KEY_FRAME)
    start_node(max_interval_frames=100, inference_size=32)
    camera = peer.connect(Image, "/camera/image_raw")
    answers = peer.send(camera, [image(100.0), image(100.1)])
    assert peer.set_parameters(inference_size=0).successful
    answers += peer.send(camera, [image(100.2), image(100.3)])
    stream = VideoSegmentor.from_pretrained(tiny_checkpoint, device="cpu")
    for i, answer in enumerate(answers):
        stream.config = StreamConfig(max_interval_frames=100, inference_size=32 if i < 2 else 0)
        expected = stream.step(rgb_from_message(image(100.0 + i / 10)), stamp_ns=stamp_ns(answer))
        np.testing.assert_array_equal(labels_from_message(answer), expected.labels)
    peer.spin_until(lambda: len(peer.received[KEY_FRAME]) == 4)
    assert [reference.source for reference in peer.received[KEY_FRAME]] == ["key", "propagated"] * 2
    peer.spin_until_diagnostics(lambda d: d["segmentation: output"]["published"] == "4")
    assert peer.diagnostics()["segmentation: key frames"]["restarts_by_reason"] == "inference size changed: 1"


@pytest.mark.parametrize(
    "sec, nanosec", [(0, 0), (1_700_000_000, 999_999_999), (-7, 5), (2**31 - 1, 2**32 - 1), (-(2**31), 1)]
)
def test_every_stamp_that_a_header_can_hold_is_found_again(sec, nanosec):
    message = Image(header=Header(stamp=Time(sec=sec, nanosec=nanosec)))
    assert time_message(stamp_ns(message)) == message.header.stamp


def test_a_repeated_stamp_is_dropped_as_a_duplicate(start_node, peer):
    start_node()
    camera = peer.connect(Image, "/camera/image_raw")
    for message in [image(7.0), image(7.0), image(7.0), image(7.1)]:
        camera.publish(message)
    peer.spin_until_diagnostics(lambda d: d["segmentation: output"]["published"] == "2")
    assert peer.diagnostics()["segmentation: input"]["malformed_by_reason"] == "duplicate stamp: 2"


def test_with_simulated_time_ages_and_latencies_are_those_of_the_simulation(start_node, peer):
    start_node(use_sim_time=True, max_interval_frames=100)
    camera = peer.connect(Image, "/camera/image_raw")
    clock = peer.create_publisher(Clock, "/clock", 10)
    peer.spin_until(lambda: clock.get_subscription_count())

    def set_clock(now_s):
        """And wait for a report of that time."""
        clock.publish(Clock(clock=Time(sec=now_s)))
        peer.spin_until(lambda: [m for m in peer.received["/diagnostics"][-1:] if m.header.stamp.sec == now_s])

    set_clock(41)
    peer.send(camera, [image(40.0), image(40.5)])
    peer.spin_until_diagnostics(lambda d: d["segmentation: output"]["published"] == "2")
    report = peer.diagnostics()
    assert report["segmentation: output"]["stamp_to_publish_p50_ms"] == "500.0"
    assert report["segmentation: output"]["stamp_to_publish_p99_ms"] == "1000.0"
    assert report["segmentation: key frames"]["age_at_last_labels_s"] == "0.500"
    set_clock(45)
    assert peer.diagnostics()["segmentation: key frames"]["age_s"] == "5.000"
    assert float(peer.diagnostics()["segmentation: input"]["rate_hz"]) > 0, "rates are those of the real world"
