"""A segmentor that is slow, fails, or returns nonsense must not stop the node, nor make it publish old labels as new ones."""

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import Image, TimeReference

from mpvss_ros.messages.conversions import image_message

from ...faulty_segmentor import FAULTS
from ..conftest import FaultyModel, header

LABELS = "/mpvss/labels"
KEY_FRAME = "/mpvss/key_frame"
OUTPUT = "segmentation: output"


@pytest.fixture
def messages(frames):
    return [image_message(frames[i % len(frames)], "rgb8", header(i)) for i in range(60)]


@pytest.mark.parametrize("fault", FAULTS)
def test_frames_are_answered_from_the_last_good_key_frame_until_the_segmentor_recovers(start_node, peer, messages, fault):
    peer.listen(TimeReference, KEY_FRAME)
    model = FaultyModel()
    start_node(load_model=model, max_interval_frames=3, retry_initial_s=0.3)
    camera = peer.connect(Image, "/camera/image_raw")
    peer.send(camera, messages[:2])
    model.segmentor.fault = fault
    peer.send(camera, messages[2:6])
    # A report of the moment at which fewer had been answered says less.
    peer.spin_until_diagnostics(lambda d: d[OUTPUT]["published"] == "6")
    assert peer.diagnostics()[OUTPUT]["level"] == DiagnosticStatus.ERROR
    report = peer.diagnostics()[OUTPUT]
    assert report["message"].startswith("key frame failed: ") and "\n" not in report["message"]
    assert report["key_frame_faults"] == "1" and report["published"] == "6"
    model.segmentor.fault = None
    peer.send(camera, messages[6:12])
    peer.spin_until_diagnostics(lambda d: d[OUTPUT]["level"] == DiagnosticStatus.OK)
    assert peer.diagnostics()[OUTPUT]["last_key_frame_fault"] == report["message"]
    peer.spin_until(lambda: len(peer.received[KEY_FRAME]) == 12)
    references = peer.received[KEY_FRAME]
    # Frame 3 was to be a key frame; the next try comes 0.3 s or 5 frames later.
    assert [i for i, r in enumerate(references) if r.source == "key"] == [0, 8, 11]
    assert [r.time_ref for r in references[:8]] == [header(0).stamp] * 8


def test_masks_that_are_too_old_are_not_published(start_node, peer, messages):
    model = FaultyModel()
    start_node(load_model=model, max_interval_frames=3, max_key_age_s=0.5)
    camera = peer.connect(Image, "/camera/image_raw")
    peer.send(camera, messages[:1])
    model.segmentor.fault = "error"
    for message in messages[1:20]:
        camera.publish(message)
    peer.spin_until_diagnostics(lambda d: d[OUTPUT]["unanswered_by_reason"] == "masks too old: 12")
    report = peer.diagnostics()[OUTPUT]
    assert report["level"] == DiagnosticStatus.ERROR
    assert report["message"].startswith("the last key frame is 1.27 s old") and "key frame failed" in report["message"]
    assert [m.header for m in peer.received[LABELS]] == [header(i) for i in range(8)]
    model.segmentor.fault = None
    for message in messages[20:40]:
        camera.publish(message)
    peer.spin_until_diagnostics(lambda d: d[OUTPUT]["level"] == DiagnosticStatus.OK)
    assert peer.received[LABELS][8].header in [header(i) for i in range(20, 40)]


def test_without_any_key_frame_nothing_is_published(start_node, peer, messages):
    model = FaultyModel()
    start_node(load_model=model)
    model.segmentor.fault = "out of memory"
    camera = peer.connect(Image, "/camera/image_raw")
    for message in messages[:4]:
        camera.publish(message)
    peer.spin_until_diagnostics(lambda d: d[OUTPUT]["unanswered_by_reason"] == "no key frame: 4")
    report = peer.diagnostics()[OUTPUT]
    assert report["level"] == DiagnosticStatus.ERROR and "OutOfMemoryError" in report["message"]
    assert peer.received[LABELS] == []
    model.segmentor.fault = None
    camera.publish(messages[15])
    peer.spin_until(lambda: peer.received[LABELS])


def test_every_frame_is_answered_while_the_segmentor_takes_its_time(start_node, peer, messages):
    peer.listen(TimeReference, KEY_FRAME)
    model = FaultyModel()
    start_node(load_model=model, mode="realtime", max_interval_frames=3, max_key_age_s=5.0)
    camera = peer.connect(Image, "/camera/image_raw")
    peer.send(camera, messages[:1])
    model.segmentor.block()
    answers = peer.send(camera, messages[1:30])
    assert [m.header for m in answers] == [header(i) for i in range(1, 30)]
    peer.spin_until(lambda: len(peer.received[KEY_FRAME]) == 30)
    assert {r.time_ref.nanosec for r in peer.received[KEY_FRAME]} == {header(0).stamp.nanosec}
    model.segmentor.unblock()
    sent = iter(messages[30:])

    def answered_from_the_new_key_frame():
        peer.send(camera, [next(sent)])
        return peer.received[KEY_FRAME][-1].time_ref != header(0).stamp

    peer.spin_until(answered_from_the_new_key_frame)
    # To the nanosecond, although the model counts in seconds; which frame it is depends on when the thread began.
    assert peer.received[KEY_FRAME][-1].time_ref in [header(i).stamp for i in range(3, 30)]
    peer.spin_until_diagnostics(lambda d: int(d["segmentation: key frames"]["count"]) >= 2)
    report = peer.diagnostics()
    assert report["segmentation: input"]["dropped"] == "0" and report[OUTPUT]["unanswered"] == "0"
