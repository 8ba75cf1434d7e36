"""Ten thousand messages of a camera gone mad: the node answers those that are images and counts the others by reason."""

import random
from collections import Counter

from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from benchmarks.hostile_camera import HostileCamera, rejection
from mpvss_ros.messages.conversions import stamp_s

MESSAGES = 10_000
BURST = 100
BROKEN_SHARE = 0.95
REPEATED_SHARE = 0.02


def test_the_node_answers_every_valid_image_and_counts_the_others_by_reason(start_node, peer):
    start_node(queue_size=2 * BURST)
    publisher = peer.connect(Image, "/camera/image_raw")
    camera, chance = HostileCamera(seed=0), random.Random(1)
    expected, rejected, last_good, last_stamp_s = [], Counter(), None, None
    for index in range(MESSAGES):
        # Each burst ends with an image that is answered, so that the next one waits for this one.
        is_last = index % BURST == BURST - 1
        message = camera.broken() if chance.random() < BROKEN_SHARE and not is_last else camera.good()
        if chance.random() < REPEATED_SHARE and last_good and not is_last:
            message = last_good
        while is_last and stamp_s(message) == last_stamp_s:
            message = camera.good()
        reason = rejection(message)
        if reason is None and stamp_s(message) == last_stamp_s:
            reason = "duplicate stamp"
        if reason is None:
            last_good, last_stamp_s = message, stamp_s(message)
            expected.append((message.header, message.width, message.height))
        else:
            rejected[reason] += 1
        publisher.publish(message)
        if is_last:
            peer.spin_until(lambda: len(peer.received["/mpvss/labels"]) == len(expected))
    assert [(m.header, m.width, m.height) for m in peer.received["/mpvss/labels"]] == expected
    assert len(expected) > 500
    assert {"short buffer", "wrong step", "zero size", "too small", "unknown encoding", "duplicate stamp"} == set(rejected)
    # A report of the moment at which the last burst had arrived and was not yet answered says less.
    peer.spin_until_diagnostics(lambda d: d["segmentation: output"]["published"] == str(len(expected)))
    report = peer.diagnostics()
    assert report["segmentation: input"]["received"] == str(MESSAGES)
    assert report["segmentation: input"]["malformed_by_reason"] == ", ".join(f"{r}: {n}" for r, n in sorted(rejected.items()))
    assert report["segmentation: input"]["dropped"] == "0" and report["segmentation: output"]["unanswered"] == "0"


def test_frame_ids_that_are_no_text_do_not_stop_the_node(start_node, peer):
    start_node()
    publisher = peer.connect(Image, "/camera/image_raw")
    message = HostileCamera(seed=2).good()
    message.header.frame_id = "FRAME"
    for i, frame_id in enumerate((b"\xff\xfe\xc3\x28!", b"A\x00B\x00C", b"\xed\xa0\x80  ", b"FRAME")):
        message.header.stamp = Time(sec=i)
        publisher.publish(serialize_message(message).replace(b"FRAME", frame_id))
        peer.spin_until(lambda: len(peer.received["/mpvss/labels"]) == i + 1)
    assert [m.header.stamp.sec for m in peer.received["/mpvss/labels"]] == [0, 1, 2, 3]
