"""Several cameras, one model."""

import time

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import CameraInfo, Image, TimeReference
from std_srvs.srv import SetBool, Trigger

from mpvss_ros.messages.conversions import image_message

from ..conftest import FaultyModel, header

CAMERAS = ("front", "rear")
REMAPPINGS = [text for name in CAMERAS for text in ("-r", f"{name}/image:=/{name}/image_raw")]
CAMERA_HZ = 15


@pytest.fixture
def two_cameras(start_node, peer):
    """Starts a node for both; returns their publishers by name."""

    def start(**options):
        start_node(*REMAPPINGS, cameras=list(CAMERAS), **options)
        for name in CAMERAS:
            peer.listen(Image, f"/mpvss/{name}/labels")
            peer.listen(TimeReference, f"/mpvss/{name}/key_frame")
        publishers = {name: peer.create_publisher(Image, f"/{name}/image_raw", 100) for name in CAMERAS}
        peer.spin_until(lambda: all(p.get_subscription_count() for p in publishers.values()))
        peer.spin_until(lambda: all(peer.count_publishers(f"/mpvss/{name}/labels") for name in CAMERAS))
        return publishers

    return start


def test_each_camera_has_a_stream_topics_services_and_diagnostics_of_its_own(two_cameras, peer, frames):
    cameras = two_cameras(max_interval_frames=4)
    headers = {"front": [header(i, "front_optical") for i in range(8)], "rear": [header(i + 90, "rear") for i in range(8)]}
    for i in range(8):
        if i == 6:
            assert peer.call(Trigger, "/mpvss/segmentation/rear/request_key_frame", Trigger.Request()).success
        for name in CAMERAS:
            peer.send(cameras[name], [image_message(frames[i], "rgb8", headers[name][i])], f"/mpvss/{name}/labels")
    peer.spin_until(lambda: all(len(peer.received[f"/mpvss/{name}/key_frame"]) == 8 for name in CAMERAS))
    for name, key_frames in (("front", [0, 4]), ("rear", [0, 4, 6])):
        assert [m.header for m in peer.received[f"/mpvss/{name}/labels"]] == headers[name]
        sources = [r.source for r in peer.received[f"/mpvss/{name}/key_frame"]]
        assert [i for i, source in enumerate(sources) if source == "key"] == key_frames
    assert peer.call(SetBool, "/mpvss/segmentation/front/set_enabled", SetBool.Request(data=False)).success
    peer.spin_until_diagnostics(lambda d: d["segmentation: front input"]["message"].startswith("disabled"))
    report = peer.diagnostics()
    kinds = ("input", "output", "key frames")
    assert set(report) == {"segmentation: model", *(f"segmentation: {name} {kind}" for name in CAMERAS for kind in kinds)}
    assert report["segmentation: rear key frames"]["by_reason"] == "first: 1, interval: 1, request: 1"
    assert report["segmentation: rear input"]["level"] == DiagnosticStatus.OK


def test_a_camera_that_sends_rubbish_does_not_disturb_the_other(two_cameras, peer, frames):
    cameras = two_cameras()
    for i in range(5):
        cameras["rear"].publish(Image(header=header(i), width=7, height=7, encoding="mono8", step=7))
        peer.send(cameras["front"], [image_message(frames[i], "rgb8", header(i))], "/mpvss/front/labels")
    peer.spin_until_diagnostics(lambda d: d["segmentation: rear input"]["malformed"] == "5")
    assert peer.diagnostics()["segmentation: front input"]["malformed"] == "0"
    assert peer.received["/mpvss/rear/labels"] == []


def test_each_camera_gets_its_own_calibration(two_cameras, peer, frames):
    for name in CAMERAS:
        peer.listen(CameraInfo, f"/mpvss/{name}/camera_info")
    cameras = two_cameras(output_size=[32, 24])
    infos = {name: peer.create_publisher(CameraInfo, f"/mpvss/{name}/camera_info_in", 1) for name in CAMERAS}
    peer.spin_until(lambda: all(p.get_subscription_count() for p in infos.values()))
    for focal_length, name in enumerate(CAMERAS, 1):
        k = [100.0 * focal_length, 0.0, 32.0, 0.0, 100.0 * focal_length, 24.0, 0.0, 0.0, 1.0]
        infos[name].publish(CameraInfo(width=64, height=48, k=k))
    sent = 0

    def both_came():
        nonlocal sent
        for name in CAMERAS:
            cameras[name].publish(image_message(frames[sent % len(frames)], "rgb8", header(sent)))
        sent += 1
        return all(peer.received[f"/mpvss/{name}/camera_info"] for name in CAMERAS)

    peer.spin_until(both_came)
    for focal_length, name in enumerate(CAMERAS, 1):
        info = peer.received[f"/mpvss/{name}/camera_info"][0]
        assert (info.width, info.height, info.k[0], info.k[2]) == (32, 24, 50.0 * focal_length, 16.0)


def test_cameras_that_send_more_than_the_model_can_take_share_it_evenly(two_cameras, peer, frames):
    # 30 frames a second come, about 10 can be answered.
    cameras = two_cameras(load_model=FaultyModel(slow_s=0.1), mode="realtime", key_frames="sync", max_interval_frames=1)
    started_s = time.monotonic()
    for i in range(8 * CAMERA_HZ):
        for name in CAMERAS:
            cameras[name].publish(image_message(frames[i % len(frames)], "rgb8", header(i)))
        peer.spin_until(lambda: time.monotonic() - started_s > i / CAMERA_HZ)
    counts = [len(peer.received[f"/mpvss/{name}/labels"]) for name in CAMERAS]
    assert sum(counts) < 8 * CAMERA_HZ, "the model was to be too slow"
    assert min(counts) >= 0.9 * max(counts) - 1, counts
    assert min(counts) > 5
