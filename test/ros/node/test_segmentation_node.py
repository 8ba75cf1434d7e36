"""The real node over real DDS."""

import itertools
import signal
import subprocess
import sys
from threading import Event

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import DescribeParameters, GetParameters
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, TimeReference

from mpvss_model import ConfigError, Segmentation
from mpvss_ros.messages.conversions import compressed_message, image_message, labels_from_message
from mpvss_ros.node.parameters import PARAMETERS

from ..conftest import header

LABELS = "/mpvss/labels"
# A program that notes in a file that labels arrive, and ends when it has as many of a camera "held up" as it is told.
COUNT_LABELS = f"""
import sys
from pathlib import Path
import rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

def count(labels):
    Path(sys.argv[1]).touch()
    counted.extend([labels] * (labels.header.frame_id == "held up"))

rclpy.init()
counted = []
node = rclpy.create_node("subscriber")
node.create_subscription(Image, "{LABELS}", count, QoSProfile(depth=200))
while len(counted) < int(sys.argv[2]):
    rclpy.spin_once(node)
"""


def test_images_of_another_process_get_labels_under_their_own_headers(start_process, peer, frames):
    node = start_process("-r", "image:=/camera/image_raw", mode="lossless", max_interval_frames=3)
    camera = peer.connect(Image, "/camera/image_raw")
    headers = [header(i, frame_id=f"kámera {i}") for i in range(len(frames))]
    for i, frame in enumerate(frames):
        camera.publish(image_message(frame, "rgb8", headers[i]))
    peer.spin_until(lambda: len(peer.received[LABELS]) == len(frames))
    # The same images again, seconds later, as a camera that speaks BGR would send them.
    for i, frame in enumerate(frames):
        camera.publish(image_message(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), "bgr8", header(i + 60)))
    peer.spin_until(lambda: len(peer.received[LABELS]) == 2 * len(frames))
    rgb, bgr = peer.received[LABELS][: len(frames)], peer.received[LABELS][len(frames) :]
    assert [m.header for m in rgb] == headers
    assert {(m.encoding, m.step, m.height, m.width) for m in rgb + bgr} == {("mono8", 64, 48, 64)}
    for of_rgb, of_bgr in zip(rgb, bgr, strict=True):
        np.testing.assert_array_equal(labels_from_message(of_rgb), labels_from_message(of_bgr))
    exit_code, seconds = node.end(signal.SIGINT)
    assert exit_code == 0 and seconds < 5, node.log()
    assert "Traceback" not in node.log()
    peer.spin_until(lambda: "segmentation" not in peer.get_node_names(), timeout_s=2.0)


def test_compressed_images_of_another_process_get_labels(start_process, peer, frames):
    node = start_process("-r", "image:=/camera/image_raw", mode="lossless", image_transport="compressed")
    camera = peer.connect(CompressedImage, "/camera/image_raw/compressed")
    for i, frame in enumerate(frames):
        camera.publish(compressed_message(frame, "jpeg" if i % 2 else "png", header(i)))
    peer.spin_until(lambda: len(peer.received[LABELS]) == len(frames))
    assert [m.header for m in peer.received[LABELS]] == [header(i) for i in range(len(frames))]
    exit_code, seconds = node.end(signal.SIGTERM)
    assert exit_code == 0 and seconds < 5, node.log()
    assert "Traceback" not in node.log()
    peer.spin_until(lambda: "segmentation" not in peer.get_node_names(), timeout_s=2.0)


def test_a_subscriber_that_is_held_up_misses_no_labels_of_a_replay(start_node, peer, frames, tmp_path):
    # More than fits into the shared memory between the processes.
    start_node(output_size=[640, 480])
    camera = peer.connect(Image, "/camera/image_raw")
    arrived = tmp_path / "arrived"
    subscriber = subprocess.Popen([sys.executable, "-c", COUNT_LABELS, str(arrived), str(len(frames))])
    try:
        stamps = itertools.count()
        peer.spin_until(lambda: peer.count_subscribers(LABELS) == 2)
        while not arrived.exists():
            peer.send(camera, [image_message(frames[0], "rgb8", header(next(stamps)))])
        subscriber.send_signal(signal.SIGSTOP)
        peer.send(camera, [image_message(frame, "rgb8", header(next(stamps), "held up")) for frame in frames])
        subscriber.send_signal(signal.SIGCONT)
        peer.spin_until(lambda: subscriber.poll() == 0)
    finally:
        subscriber.kill()
        subscriber.wait()


def test_realtime_takes_best_effort_cameras_and_lets_the_newest_frame_win(start_node, peer, frames):
    start_node(mode="realtime")
    camera = peer.connect(Image, "/camera/image_raw", QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
    sent = 0

    def has_dropped_and_answered():
        nonlocal sent
        camera.publish(image_message(frames[sent % len(frames)], "rgb8", header(sent)))
        sent += 1
        return len(peer.received[LABELS]) >= 5 and int(peer.diagnostics()["segmentation: input"]["dropped"]) > 0

    peer.spin_until_diagnostics(lambda _: has_dropped_and_answered())
    answered = [h.stamp.sec + h.stamp.nanosec * 1e-9 for h in [m.header for m in peer.received[LABELS]]]
    assert answered == sorted(set(answered))


def test_the_key_frame_topic_says_where_the_masks_come_from(start_node, peer, frames):
    peer.listen(TimeReference, "/mpvss/key_frame")
    start_node(max_interval_frames=4)
    camera = peer.connect(Image, "/camera/image_raw")
    for i in range(6):
        camera.publish(image_message(frames[i], "rgb8", header(i)))
    peer.spin_until(lambda: len(peer.received["/mpvss/key_frame"]) == 6)
    references = peer.received["/mpvss/key_frame"]
    assert [r.header for r in references] == [header(i) for i in range(6)]
    assert [r.source for r in references] == ["key", *["propagated"] * 3, "key", "propagated"]
    assert [r.time_ref for r in references] == [header(i).stamp for i in (0, 0, 0, 0, 4, 4)]


def test_optional_outputs_share_the_header(start_node, peer, frames):
    for topic, message_type in (("overlay", Image), ("confidence", Image), ("camera_info", CameraInfo)):
        peer.listen(message_type, f"/mpvss/{topic}")
    start_node()
    info = peer.connect(CameraInfo, "/camera/camera_info", QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE))
    camera = peer.connect(Image, "/camera/image_raw")
    info.publish(CameraInfo(width=64, height=48, k=[50.0, 0.0, 32.0, 0.0, 50.0, 24.0, 0.0, 0.0, 1.0]))
    sent = 0

    def all_came():
        nonlocal sent
        camera.publish(image_message(frames[sent % len(frames)], "rgb8", header(sent)))
        sent += 1
        return all(peer.received.values())

    peer.spin_until(all_came)
    for topic in ("overlay", "confidence", "camera_info"):
        assert peer.received[f"/mpvss/{topic}"][0].header in [header(i) for i in range(sent)]
    assert peer.received["/mpvss/overlay"][0].encoding == "rgb8"
    assert peer.received["/mpvss/confidence"][0].encoding == "mono8"
    assert peer.received["/mpvss/camera_info"][0].k[0] == 50.0


def test_labels_do_not_wait_for_their_confidence(start_node, peer, frames, monkeypatch):
    labels_came = Event()
    confidence_of = Segmentation.confidence.fget

    def late_confidence(segmentation):
        labels_came.wait()
        return confidence_of(segmentation)

    monkeypatch.setattr(Segmentation, "confidence", property(late_confidence))
    peer.listen(Image, "/mpvss/confidence")
    start_node()
    camera = peer.connect(Image, "/camera/image_raw")
    peer.spin_until(lambda: peer.count_publishers("/mpvss/confidence"))
    try:
        camera.publish(image_message(frames[0], "rgb8", header(0)))
        peer.spin_until(lambda: peer.received[LABELS])
        assert not peer.received["/mpvss/confidence"]
    finally:
        labels_came.set()
    peer.spin_until(lambda: peer.received["/mpvss/confidence"])
    assert peer.received["/mpvss/confidence"][0].header == peer.received[LABELS][0].header == header(0)


def test_a_calibration_that_was_sent_once_and_latched_before_the_node_came_is_passed_on(start_node, peer, frames):
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    info = CameraInfo(width=64, height=48, k=[50.0, 0.0, 32.0, 0.0, 50.0, 24.0, 0.0, 0.0, 1.0])
    peer.create_publisher(CameraInfo, "/camera/camera_info", latched).publish(info)
    peer.listen(CameraInfo, "/mpvss/camera_info")
    start_node()
    camera = peer.connect(Image, "/camera/image_raw")
    sent = itertools.count()

    def is_passed_on():
        camera.publish(image_message(frames[0], "rgb8", header(next(sent))))
        return peer.received["/mpvss/camera_info"]

    peer.spin_until(is_passed_on)
    assert peer.received["/mpvss/camera_info"][0].k[0] == 50.0


def test_malformed_images_are_counted_and_the_node_goes_on(start_node, peer, frames):
    start_node()
    camera = peer.connect(Image, "/camera/image_raw")
    good = image_message(frames[0], "rgb8", header(0))
    short = image_message(frames[0], "rgb8", header(1))
    short.data = short.data[:-1]
    bogus = image_message(frames[0], "rgb8", header(2))
    bogus.encoding = "bogus"
    empty = Image(header=header(3))
    for message in (good, short, bogus, empty, image_message(frames[1], "rgb8", header(4)), good, good):
        camera.publish(message)
    peer.spin_until_diagnostics(lambda d: d["segmentation: input"]["malformed"] == "4")
    assert [m.header for m in peer.received[LABELS]] == [header(0), header(4), header(0)]
    values = peer.diagnostics()["segmentation: input"]
    assert values["level"] == DiagnosticStatus.WARN
    assert values["malformed_by_reason"] == "duplicate stamp: 1, short buffer: 1, unknown encoding: 2"
    assert values["received"] == "7" and values["dropped"] == "0"


def test_diagnostics_report_rates_latencies_key_frames_and_model(start_node, peer, frames, tiny_checkpoint):
    start_node(max_interval_frames=4)
    camera = peer.connect(Image, "/camera/image_raw")
    for i, frame in enumerate(frames):
        camera.publish(image_message(frame, "rgb8", header(i)))
    peer.spin_until_diagnostics(lambda d: d["segmentation: output"].get("published") == "12")
    report = peer.diagnostics()
    assert set(report) == {f"segmentation: {name}" for name in ("input", "output", "key frames", "model")}
    assert report["segmentation: key frames"]["by_reason"] == "first: 1, interval: 2"
    assert float(report["segmentation: key frames"]["age_at_last_labels_s"]) == pytest.approx(3 / 15, abs=1e-3)
    output = report["segmentation: output"]
    assert 0 < float(output["propagated_processing_p50_ms"]) <= float(output["propagated_processing_p99_ms"])
    assert float(output["rate_hz"]) > 0 and float(report["segmentation: input"]["rate_hz"]) > 0
    model = report["segmentation: model"]
    assert model["class_names"] == "background, robot, wall"
    assert (model["device"], model["propagation"]) == ("cpu", "tracked")
    # Which one depends on the processor.
    assert (model["dtype"], model["precision"]) in (("float32", "fp32 (auto)"), ("bfloat16", "bf16 (auto)"))
    assert model["name"] in tiny_checkpoint


def test_a_camera_with_another_qos_is_named(start_node, peer, capfd):
    start_node()
    camera = peer.create_publisher(Image, "/camera/image_raw", QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
    peer.spin_until_diagnostics(
        lambda d: d["segmentation: input"]["message"] == "incompatible QoS on /camera/image_raw; no frame yet"
    )
    assert "incompatible QoS on /camera/image_raw" in capfd.readouterr().err
    peer.destroy_publisher(camera)
    peer.spin_until_diagnostics(lambda d: "QoS" not in d["segmentation: input"]["message"])


def test_a_subscriber_with_another_qos_is_named(start_node, peer, capfd):
    start_node()
    peer.listen(Image, "/mpvss/overlay", QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
    output = "segmentation: output"
    peer.spin_until_diagnostics(lambda d: d[output]["message"] == "incompatible QoS on /mpvss/overlay")
    report = peer.diagnostics()
    assert report[output]["incompatible_qos"] == "/mpvss/overlay: 1" and report[output]["level"] == DiagnosticStatus.WARN
    assert "QoS" not in report["segmentation: input"]["message"]
    assert "incompatible QoS on /mpvss/overlay" in capfd.readouterr().err
    for subscription in [s for s in peer.subscriptions if s.topic_name == "/mpvss/overlay"]:
        peer.destroy_subscription(subscription)
    peer.spin_until_diagnostics(lambda d: d[output]["level"] == DiagnosticStatus.OK and not d[output]["incompatible_qos"])


def test_a_lifecycle_manager_can_drive_the_node(start_node, peer, frames):
    start_node(autostart=False)

    def change(transition):
        request = ChangeState.Request(transition=Transition(id=transition))
        assert peer.call(ChangeState, "/mpvss/segmentation/change_state", request).success

    def state():
        return peer.call(GetState, "/mpvss/segmentation/get_state", GetState.Request()).current_state.id

    assert state() == State.PRIMARY_STATE_UNCONFIGURED
    for run in range(2):
        change(Transition.TRANSITION_CONFIGURE)
        for _ in range(2):
            change(Transition.TRANSITION_ACTIVATE)
            assert state() == State.PRIMARY_STATE_ACTIVE
            peer.received[LABELS].clear()
            camera = peer.connect(Image, "/camera/image_raw")
            camera.publish(image_message(frames[0], "rgb8", header(run)))
            peer.spin_until(lambda: peer.received[LABELS])
            peer.destroy_publisher(camera)
            change(Transition.TRANSITION_DEACTIVATE)
        change(Transition.TRANSITION_CLEANUP)
    assert state() == State.PRIMARY_STATE_UNCONFIGURED


def test_a_failed_transition_is_explained_and_can_be_repeated(start_node, peer, tiny_checkpoint, capfd):
    start_node(autostart=False, model="/no/such/model")
    request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
    assert not peer.call(ChangeState, "/mpvss/segmentation/change_state", request).success
    assert "cannot configure: no model at '/no/such/model'" in capfd.readouterr().err
    assert peer.set_parameters(model=tiny_checkpoint).successful
    assert peer.call(ChangeState, "/mpvss/segmentation/change_state", request).success


def test_live_parameters_are_checked_and_change_together_or_not_at_all(start_node, peer):
    start_node()
    peer.spin_until_diagnostics(lambda d: "class_names" in d["segmentation: model"])
    for bad, words in (
        ({"max_interval_frames": 0}, ("max_interval_frames", "0")),
        ({"max_interval_frames": 2, "max_key_age_s": -1.0}, ("max_key_age_s", "-1")),
        ({"overlay_alpha": 1.5}, ("overlay_alpha", "1.5")),
        ({"overlay_alpha": "much"}, ("'overlay_alpha' must be a number, got 'much'",)),
        ({"max_interval_frames": 2, "model": "other"}, ("model", "clean up")),
    ):
        result = peer.set_parameters(**bad)
        assert not result.successful
        assert all(word in result.reason for word in words), result.reason
    request = GetParameters.Request(names=["max_interval_frames", "max_key_age_s", "overlay_alpha"])
    values = peer.call(GetParameters, "/mpvss/segmentation/get_parameters", request).values
    assert (values[0].integer_value, values[1].double_value, values[2].double_value) == (5, 3.0, 0.5)
    assert peer.set_parameters(max_interval_frames=2, max_interval_s=1).successful


def test_every_parameter_is_described(start_node, peer):
    start_node(autostart=False)
    names = [parameter.name for parameter in PARAMETERS]
    request = DescribeParameters.Request(names=names)
    descriptors = peer.call(DescribeParameters, "/mpvss/segmentation/describe_parameters", request).descriptors
    assert [d.name for d in descriptors] == names
    assert all(len(d.description) > 20 for d in descriptors)
    live = {p.name for p in PARAMETERS if p.live}
    assert {d.name for d in descriptors if "may change live" in d.additional_constraints} == live
    assert all("fixed while a model is loaded" in d.additional_constraints for d in descriptors if d.name not in live)


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"mode": "sometimes"}, "parameter 'mode' must be one of realtime, lossless, got 'sometimes'"),
        ({"max_interval_frames": 0}, "max_interval_frames.*0"),
        ({"max_interval_frames": "many"}, "parameter 'max_interval_frames' must be a whole number, got 'many'"),
    ],
)
def test_a_wrong_parameter_keeps_the_node_from_starting(start_node, parameters, message):
    with pytest.raises(ConfigError, match=message):
        start_node(**parameters)


def test_a_process_that_cannot_start_says_why_and_ends_with_code_2(start_process):
    node = start_process(device="cuda:9")
    assert node.process.wait(60) == 2
    assert "device 'cuda:9' does not exist" in node.log() and "Traceback" not in node.log()
