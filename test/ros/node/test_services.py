"""What other nodes can ask of the node while it works."""

from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import Image, TimeReference
from std_srvs.srv import SetBool, Trigger

from mpvss_ros.messages.conversions import image_message

from ..conftest import header

LABELS = "/mpvss/labels"


def messages_of(frames, first=0):
    return [image_message(frame, "rgb8", header(i)) for i, frame in enumerate(frames, first)]


def test_a_key_frame_comes_on_request_and_after_a_reset(start_node, peer, frames):
    peer.listen(TimeReference, "/mpvss/key_frame")
    start_node(max_interval_frames=100)
    camera = peer.connect(Image, "/camera/image_raw")
    messages = messages_of(frames)
    peer.send(camera, messages[:3])
    assert peer.call(Trigger, "/mpvss/segmentation/request_key_frame", Trigger.Request()).success
    peer.send(camera, messages[3:6])
    assert peer.call(Trigger, "/mpvss/segmentation/reset", Trigger.Request()).success
    peer.send(camera, messages[6:8])
    sources = ["key", "propagated", "propagated"] * 2 + ["key", "propagated"]
    peer.spin_until(lambda: len(peer.received["/mpvss/key_frame"]) == len(sources))
    assert [r.source for r in peer.received["/mpvss/key_frame"]] == sources
    peer.spin_until_diagnostics(lambda d: d["segmentation: key frames"]["count"] == "3")
    report = peer.diagnostics()["segmentation: key frames"]
    assert report["by_reason"] == "first: 1, request: 1, reset: 1" and report["last_reason"] == "reset"


def test_a_disabled_node_drops_frames_and_says_why(start_node, peer, frames):
    start_node()
    camera = peer.connect(Image, "/camera/image_raw")
    messages = messages_of(frames)
    peer.send(camera, messages[:2])
    assert peer.call(SetBool, "/mpvss/segmentation/set_enabled", SetBool.Request(data=False)).success
    for message in messages[2:6]:
        camera.publish(message)
    peer.spin_until_diagnostics(lambda d: d["segmentation: input"]["dropped_by_reason"] == "disabled: 4")
    report = peer.diagnostics()["segmentation: input"]
    assert report["level"] == DiagnosticStatus.WARN and report["message"].startswith("disabled")
    assert (report["received"], report["dropped"]) == ("6", "4")
    assert peer.call(SetBool, "/mpvss/segmentation/set_enabled", SetBool.Request(data=True)).success
    peer.send(camera, messages[6:8])
    assert [m.header for m in peer.received[LABELS]] == [header(i) for i in (0, 1, 6, 7)]
    peer.spin_until_diagnostics(lambda d: d["segmentation: input"]["received"] == "8")
    assert peer.diagnostics()["segmentation: input"]["level"] == DiagnosticStatus.OK
