"""The replay node: its parameters, what it publishes and how it waits."""

import json
import shutil
from threading import Thread

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from mpvss_model import DataError, MPVSSError
from mpvss_ros.bags.bag import Bag, RecordedTopic
from mpvss_ros.bags.offered_qos import OfferedQos
from mpvss_ros.diagnostics.camera_check import CameraCheck
from mpvss_ros.diagnostics.statistics import CameraStatistics
from mpvss_ros.diagnostics.statuses import camera_statuses
from mpvss_ros.messages.conversions import stamp_ns
from mpvss_ros.replay.answers import LabelledFrame
from mpvss_ros.replay.replay_node import ReplayNode, _publisher_qos
from mpvss_ros.replay.replay_session import SessionError, run_session
from mpvss_ros.replay.report import write_report
from mpvss_ros.replay.run_result import RunSettings

from ..recordings import (
    FRAMES,
    PERIOD_NS,
    START_NS,
    camera,
    camera_records,
    cdr,
    channel,
    header,
    image,
    message,
    schema,
    write_bag,
    write_mcap,
)

LATCHED = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture
def create_node():
    created = []

    def create(**parameters):
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        created.append(ReplayNode(parameter_overrides=overrides, use_global_arguments=False))
        return created[-1]

    yield create
    for node in created:
        node.destroy_node()


@pytest.fixture
def bag(tmp_path):
    return write_bag(tmp_path / "bag", {**camera(), "/map": [(START_NS, header(START_NS))]})


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"rate": "fast"}, "parameter 'rate' must be a number, got 'fast'"),
        ({"rate": float("nan")}, "rate and window must not be negative, got nan"),
        ({"window": 1.5}, "parameter 'window' must be a whole number, got 1.5"),
        ({"wait_timeout_s": -1}, "wait_timeout_s must not be negative, got -1"),
        ({"topics": "/camera/image_raw"}, "parameter 'topics' must be a list of texts, got '/camera/image_raw'"),
        ({"topics": ["/map"]}, r"topics must hold the camera topic '/camera/image_raw', got \['/map'\]"),
        ({"bag": ""}, "no bag to replay: give one with -p bag:=PATH"),
        ({"bag": 2024}, "parameter 'bag' must be text, got 2024"),
        ({"image_topic": "/map"}, "topic '/map': it is of type std_msgs/msg/Header"),
    ],
)
def test_parameters_of_another_kind_are_named(create_node, bag, parameters, message):
    with pytest.raises(MPVSSError, match=message):
        create_node(**{"bag": str(bag), **parameters})


def test_a_whole_number_stands_for_seconds_and_speed(create_node, bag):
    node = create_node(bag=str(bag), rate=0, wait_timeout_s=1, wait_for_subscriptions=0)
    assert node.replay() == FRAMES


def test_of_several_cameras_one_is_named_by_the_node_s_own_parameter(create_node, tmp_path):
    path = write_bag(tmp_path / "two", {**camera(topic="/left"), **camera(topic="/right")})
    with pytest.raises(DataError, match="name one with -p image_topic:=TOPIC"):
        create_node(bag=str(path))


def test_topics_that_cannot_be_published_are_left_out_unless_they_are_asked_for(create_node, tmp_path):
    foreign = b"".join(
        schema(k, type_name) + channel(k, topic, serialization)
        for k, type_name, topic, serialization in (
            (2, "foo.Bar", "/json", "json"),
            (3, "no_such_package/msg/Thing", "/thing", "cdr"),
            (4, "odd", "/odd", "cdr"),
            (5, "std_msgs/msg/Header", "/2 fast", "cdr"),
        )
    )
    path = str(write_mcap(tmp_path / "a.mcap", foreign + camera_records()))
    assert create_node(bag=path, rate=0, wait_for_subscriptions=0).replay() == FRAMES
    for topic, reason in {
        "/json": "is foo.Bar in json, which is no ROS 2 message",
        "/thing": "install no_such_package",
        "/odd": "message type odd of the bag is not installed",
        "/2 fast": "has a name that ROS 2 does not allow",
    }.items():
        with pytest.raises(MPVSSError, match=reason):
            create_node(bag=path, topics=["/camera/image_raw", topic])


@pytest.mark.parametrize(
    "topic, offered, count, is_latched, depth",
    [
        ("/map", (OfferedQos(latched=True, depth=1),), 500, True, 1),
        ("/map", (OfferedQos(latched=True, depth=1), OfferedQos(latched=True, depth=2)), 500, True, 3),
        ("/scan", (OfferedQos(latched=False, depth=1),), 1, False, 100),
        ("/robot_description", (), 1, True, 100),
        ("/scan", (), 5000, False, 100),
        ("/tf_static", (), 5000, True, 100),
        ("/arm/tf_static", (OfferedQos(latched=False, depth=1),), 1, True, 100),
    ],
)
def test_topics_are_latched_as_they_were_recorded(topic, offered, count, is_latched, depth):
    recorded = RecordedTopic("std_msgs/msg/Header", "cdr", count, offered)
    qos = _publisher_qos(topic, recorded, is_camera=False)
    assert (qos.durability == DurabilityPolicy.TRANSIENT_LOCAL, qos.depth) == (is_latched, depth)
    assert qos.reliability == ReliabilityPolicy.RELIABLE
    if not offered and topic != "/tf_static":
        assert _publisher_qos(topic, recorded, is_camera=True).durability == DurabilityPolicy.VOLATILE


def test_a_latched_topic_reaches_who_asks_for_its_last_messages(start_process, peer, bag):
    peer.listen(Header, "/map", LATCHED)
    peer.listen(Image, "/camera/image_raw")
    replay = start_process(module="replay.main", bag=bag, rate=0, typo=1)
    peer.spin_until(lambda: len(peer.received["/camera/image_raw"]) == FRAMES and peer.received["/map"])
    assert replay.process.wait(60) == 0
    assert "parameter 'typo' is unknown" in replay.log()


def test_a_bag_in_a_loop_is_replayed_until_it_is_interrupted(start_process, peer, bag):
    peer.listen(Image, "/camera/image_raw")
    replay = start_process(module="replay.main", bag=bag, rate=0, loop=True)
    images = peer.received["/camera/image_raw"]
    peer.spin_until(lambda: len(images) > 2 * FRAMES)
    stamps = [stamp_ns(message) for message in images]
    assert stamps[: 2 * FRAMES] == sorted(set(stamps)) * 2
    code, _ = replay.end()
    assert (code, "Traceback" in replay.log()) == (0, False), replay.log()


def test_a_viewer_is_not_taken_for_the_node_that_is_waited_for(create_node, peer, bag):
    peer.listen(Image, "/camera/image_raw")
    node = create_node(bag=str(bag), rate=0, wait_for_node="/mpvss/segmentation", wait_timeout_s=0.5)
    with pytest.raises(MPVSSError, match="only 0 of 1 subscriptions of /mpvss/segmentation on /camera/image_raw after 0.5 s"):
        node.replay()
    waited_for = create_node(bag=str(bag), rate=0, wait_for_node="/peer", wait_timeout_s=50)
    assert waited_for.replay() == FRAMES


def test_nothing_cannot_be_looped(create_node, tmp_path):
    path = write_mcap(tmp_path / "a.mcap", camera_records(frames=()))
    node = create_node(bag=str(path), loop=True, wait_for_subscriptions=0)
    with pytest.raises(MPVSSError, match="^no frame of /camera/image_raw can be replayed, so there is nothing to loop$"):
        node.replay()


def test_arguments_that_rcl_cannot_parse_end_with_its_reason(start_process):
    replay = start_process("--params-file", "/nowhere.yaml", module="replay.main")
    assert replay.process.wait(60) == 2
    assert "/nowhere.yaml" in replay.log() and "Traceback" not in replay.log()


class SpinningPeer:
    """Serves the peer in a thread, while the replay waits in this one."""

    def __init__(self, peer):
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(peer)
        self._thread = Thread(target=self._executor.spin)
        self._thread.start()

    def stop(self):
        self._executor.shutdown()
        self._thread.join()


def test_a_replay_goes_on_when_all_its_frames_are_refused(create_node, peer, bag):
    """The window opens with the node's report, long before the time-out for answers."""
    statistics = CameraStatistics()
    diagnostics = peer.create_publisher(DiagnosticArray, "/diagnostics", 10)
    labels = peer.create_publisher(Image, "labels", 10)

    def refuse(message):
        statistics.count_input()
        statistics.count_rejection("unknown encoding", "unknown encoding: 8XC9")

    peer.create_subscription(Image, "/camera/image_raw", refuse, 100)

    def report():
        check = CameraCheck(active=True)
        statuses = camera_statuses(statistics, node_name="peer", camera="", dropped={}, check=check, now_s=0.0)
        diagnostics.publish(DiagnosticArray(status=statuses))

    peer.create_timer(0.05, report)
    node = create_node(bag=str(bag), rate=0, window=2, wait_timeout_s=50)
    spinning = SpinningPeer(peer)
    try:
        assert node.replay() == FRAMES
    finally:
        spinning.stop()
        peer.destroy_publisher(labels)
    assert statistics.received == FRAMES


@pytest.fixture
def odd_model(tiny_checkpoint, tmp_path):
    """A model with a comma in a class name, at a path that needs quoting."""
    model = tmp_path / '1e5: it\'s "odd" #\\ \n\u00e9'
    shutil.copytree(tiny_checkpoint, model)
    config = json.loads((model / "config.json").read_text())
    config["id2label"]["1"] = "road, route"
    (model / "config.json").write_text(json.dumps(config))
    return model


def settings(model):
    return RunSettings(model=model, interval=4, bag="bag", topic="/camera/image_raw", rate=0.0, settings={})


def session(path, model):
    with Bag(path) as recording:
        topic = recording.image_topic()
        parameters = {"model": str(model), "threads": 1, "max_interval_frames": 4}
        result = run_session(bag=recording, topic=topic, node_parameters=parameters, rate=0.0, on_progress=lambda _: None)
        report = write_report(
            path.parent / "out",
            bag=recording,
            topic=topic,
            answers=result.answers,
            class_names=result.class_names,
            counts=result.counts,
            settings=settings(result.model),
        )
    return result, report


def test_a_looped_recording_with_refused_frames_is_accounted_for(odd_model, tmp_path):
    """Stamps go back in the middle; one frame cannot be decoded and one comes twice."""

    def frame(index):
        return image(index, stamp_ns=START_NS + index % 6 * 10**8, encoding="8XC9" if index == 3 else "rgb8")

    messages = camera(frame)["/camera/image_raw"]
    messages.insert(2, messages[1])
    path = write_bag(tmp_path / "loop", {"/camera/image_raw": messages})
    result, report = session(path, odd_model)
    assert list(result.answers) == [0, 1, 3, *range(5, 13)]
    assert [a.stamp_ns for a in result.answers.values()] == [stamp_ns(messages[k][1]) for k in result.answers]
    assert "road, route" in result.class_names and all(a.latency_ms > 0 for a in result.answers.values())
    assert (report.frames_in, report.labels_out, report.dropped) == (13, 11, 2)
    assert report.dropped_by_reason == {"duplicate stamp": 1, "unknown encoding": 1}
    assert "8XC9" in report.last_refusal and list(report.iou_per_class) == list(result.class_names)


def test_a_recording_that_the_node_refuses_altogether_says_why(tiny_checkpoint, tmp_path):
    path = write_bag(tmp_path / "bag", camera(lambda index: image(index, encoding="8XC9")))
    with pytest.raises(SessionError, match="none of the 12 frames .* was answered: unknown encoding: 12; .*8XC9"):
        session(path, tiny_checkpoint)


def test_frames_that_cannot_be_deserialized_are_neither_replayed_nor_taken_for_lost(create_node, tmp_path):
    records = schema(1, "sensor_msgs/msg/Image") + channel(1, "/image_raw")
    for i in range(3):
        records += message(1, i, cdr(image(i))[: 100 if i == 1 else None])
    path = write_mcap(tmp_path / "a.mcap", records)
    assert create_node(bag=str(path), rate=0, wait_for_subscriptions=0).replay() == 2
    answers = {
        number: LabelledFrame(START_NS + i * PERIOD_NS, np.zeros((48, 64), np.uint8), is_key_frame=True, latency_ms=1.0)
        for number, i in enumerate((0, 2))
    }
    with Bag(path) as recording:
        report = write_report(
            tmp_path / "out",
            bag=recording,
            topic="/image_raw",
            answers=answers,
            class_names=("a",),
            settings=settings("a"),
        )
    assert (report.frames_in, report.labels_out) == (3, 2) and report.dropped_by_reason == {"broken message": 1}


def test_a_topic_without_messages_is_not_replayed(tmp_path):
    path = write_mcap(tmp_path / "a.mcap", camera_records(frames=()))
    with pytest.raises(SessionError, match="has no messages: there is nothing to replay"):
        session(path, "rooms-lite")


def test_the_video_of_a_wide_camera_fits_its_format(tmp_path):
    path = write_bag(tmp_path / "wide", camera(lambda index: image(index, shape=(8, 6000, 3)), frames=2))
    answer = LabelledFrame(START_NS, np.zeros((8, 6000), np.uint8), is_key_frame=True, latency_ms=1.0)
    with Bag(path) as recording:
        report = write_report(
            tmp_path / "out",
            bag=recording,
            topic="/camera/image_raw",
            answers={0: answer},
            class_names=("a",),
            settings=settings("a"),
        )
    assert cv2.VideoCapture(str(tmp_path / "out" / "overlay.mp4")).get(cv2.CAP_PROP_FRAME_WIDTH) == 4096
    assert report.dropped_by_reason == {"no answer": 1}
