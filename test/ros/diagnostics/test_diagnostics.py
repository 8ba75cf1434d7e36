import json
import time

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import Image

from mpvss_ros.diagnostics.camera_check import CameraCheck
from mpvss_ros.diagnostics.clock_check import clock_trouble
from mpvss_ros.diagnostics.statistics import CameraStatistics
from mpvss_ros.diagnostics.statuses import camera_statuses
from mpvss_ros.diagnostics.topic_check import TopicReport
from mpvss_ros.messages.conversions import image_message

from ..conftest import header

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
ACTIVE = CameraCheck(active=True)


@pytest.fixture
def statistics():
    """Of a camera that has sent some frames."""
    made = CameraStatistics()
    for _ in range(5):
        made.count_input()
    return made


def statuses(statistics, check=ACTIVE, node_name="/mpvss/segmentation", camera=""):
    return camera_statuses(statistics, node_name=node_name, camera=camera, dropped={}, check=check, now_s=0.0)


@pytest.mark.parametrize(
    "node_name, camera, names",
    [
        ("/mpvss/segmentation", "", ["segmentation: input", "segmentation: output", "segmentation: key frames"]),
        ("/robot1/segmentation", "", [f"/robot1/segmentation: {kind}" for kind in ("input", "output", "key frames")]),
        ("/mpvss/other", "rear", [f"/mpvss/other: rear {kind}" for kind in ("input", "output", "key frames")]),
    ],
)
def test_no_two_nodes_share_the_names_of_their_statuses(statistics, node_name, camera, names):
    made = statuses(statistics, node_name=node_name, camera=camera)
    assert [status.name for status in made] == names
    assert {status.hardware_id for status in made} == {node_name}


def test_all_that_is_wrong_with_the_input_is_said_at_once(statistics):
    statistics.count_rejection("unknown encoding", "unknown encoding: 'bogus'")
    report = TopicReport(troubles=("two cameras",), incompatible_qos={"/b": 1, "/a": 2})
    input_status, *_ = statuses(statistics, CameraCheck(active=True, inputs=report, sequence=("stamps are zero",)))
    assert input_status.level == WARN
    assert input_status.message == (
        "incompatible QoS on /a, /b; two cameras; stamps are zero; frame not used: unknown encoding: 'bogus'"
    )


def test_the_qos_of_a_subscriber_is_a_matter_of_the_output(statistics):
    check = CameraCheck(active=True, outputs=TopicReport(incompatible_qos={"/mpvss/labels": 1}))
    input_status, output_status, _ = statuses(statistics, check)
    assert input_status.level == OK and output_status.level == WARN
    assert output_status.message == "incompatible QoS on /mpvss/labels"
    statistics.count_unanswered("error", "the network broke")
    _, output_status, _ = statuses(statistics, check)
    assert output_status.level == ERROR
    assert output_status.message == "the network broke; incompatible QoS on /mpvss/labels"


def test_a_segmentor_that_hangs_is_named(statistics, monkeypatch):
    statistics.begin()
    assert statuses(statistics)[1].level == OK
    now_s = time.monotonic()
    monkeypatch.setattr("mpvss_ros.diagnostics.statuses.time.monotonic", lambda: now_s + 60.0)
    _, output_status, _ = statuses(statistics)
    assert output_status.level == ERROR and "at work for 60 s" in output_status.message
    statistics.end()
    assert statuses(statistics)[1].level == OK


def test_a_camera_without_a_clock_is_named_in_diagnostics_and_log(start_node, peer, frames, capfd):
    start_node("-r", "__ns:=/robot1")
    peer.listen(Image, "/robot1/labels")
    camera = peer.create_publisher(Image, "/camera/image_raw", 100)
    peer.spin_until(lambda: camera.get_subscription_count())
    message = image_message(frames[0], "rgb8", header(0))
    message.header.stamp.sec = message.header.stamp.nanosec = 0
    for _ in range(8):
        camera.publish(message)
    words = "the stamps of all images are zero"
    peer.spin_until_diagnostics(lambda d: words in d["/robot1/segmentation: input"]["message"])
    values = peer.diagnostics()["/robot1/segmentation: input"]
    assert values["malformed_by_reason"] == "duplicate stamp: 7" and values["publishers"] == "1"
    assert capfd.readouterr().err.count(words) == 1


def test_the_input_says_what_the_camera_sends(statistics):
    assert statuses(statistics)[0].message.endswith(" Hz")
    statistics.note_image(width=640, height=480, encoding="8UC3")
    input_status, *_ = statuses(statistics)
    assert input_status.level == OK and input_status.message.endswith(" Hz, 640 x 480 8UC3")
    assert {pair.key: pair.value for pair in input_status.values}["image"] == "640 x 480 8UC3"


def test_each_finding_is_a_line_of_its_own_for_programs_with_both_sides_of_what_does_not_fit(statistics):
    line = "incompatible QoS on /a: no messages pass, since /driver offers best effort and /node wants reliable; change one"
    report = TopicReport(
        troubles=("two cameras",), incompatible_qos={"/a": 1}, qos_troubles=(line,), nobody="nobody publishes /b"
    )
    check = CameraCheck(
        active=True, image_topic="/a", inputs=report, outputs=TopicReport(troubles=("2 publishers on /labels",))
    )
    input_status, output_status, _ = statuses(statistics, check)
    values = {pair.key: pair.value for pair in input_status.values}
    assert json.loads(values["findings_json"]) == [line, "two cameras", "nobody publishes /b"]
    assert values["image_topic"] == "/a"
    assert input_status.message == "incompatible QoS on /a; two cameras; nobody publishes /b"
    assert (output_status.level, output_status.message) == (WARN, "2 publishers on /labels")
    assert list(check.to_log) == [line, "two cameras", "2 publishers on /labels", "nobody publishes /b"]


def test_a_clock_that_stands_explains_the_rest(statistics):
    check = CameraCheck(active=True, clock=clock_trouble(use_sim_time=True, now_ns=0), sequence=("stamps are zero",))
    input_status, *_ = statuses(statistics, check)
    assert input_status.level == WARN
    assert input_status.message.startswith("use_sim_time is true, and no time comes on /clock: ")
    assert input_status.message.endswith("; stamps are zero")
    assert next(check.to_log) == check.clock
    assert clock_trouble(use_sim_time=True, now_ns=1) == clock_trouble(use_sim_time=False, now_ns=0) == ""
