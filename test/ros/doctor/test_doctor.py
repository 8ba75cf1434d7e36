"""``mpvss doctor`` beside running nodes."""

import json
import pwd
import sys
from contextlib import contextmanager
from threading import Event, Thread

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header

from mpvss_ros.cli.app import main
from mpvss_ros.cloud.cloud_node import CloudNode
from mpvss_ros.doctor import collector
from mpvss_ros.doctor.collector import _own_node, look
from mpvss_ros.doctor.examination import examine
from mpvss_ros.messages.conversions import image_message

from ..conftest import SpinningNode

TOPIC = "/camera/image_raw"


@pytest.fixture
def doctor(monkeypatch, capfd):
    """The command in this process; returns its exit code, its output and its errors."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["mpvss", "doctor", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capfd.readouterr()

    return call


@pytest.fixture
def camera():
    """Sends images with the system's time from a participant of its own, 20 a second until the block ends."""

    @contextmanager
    def send(qos):
        context, stop = Context(), Event()
        rclpy.init(args=[], context=context)
        node = rclpy.create_node("driver", namespace="camera", context=context)
        publisher = node.create_publisher(Image, TOPIC, qos)
        pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)

        def work():
            while not stop.wait(0.05):
                publisher.publish(image_message(pixels, "rgb8", Header(stamp=node.get_clock().now().to_msg())))

        thread = Thread(target=work)
        thread.start()
        yield
        stop.set()
        thread.join()
        node.destroy_node()
        rclpy.shutdown(context=context)

    return send


def test_a_healthy_graph_ends_with_exit_code_0(doctor, camera, start_node, peer):
    start_node(mode="realtime")
    with camera(qos_profile_sensor_data):
        code, out, _ = doctor("--timeout", 30)
    lines = out.splitlines()
    assert (code, [line for line in lines if line.startswith("problem")]) == (0, []), out
    assert lines[-1].startswith(f"healthy: /mpvss/segmentation is active, reads {TOPIC} (") and "64 x 48 rgb8" in lines[-1]


def test_a_camera_with_another_qos_is_named_once_by_doctor_and_node(doctor, camera, start_node, peer):
    start_node()
    with camera(qos_profile_sensor_data):
        code, out, _ = doctor("--timeout", 4, "--json")
    report = json.loads(out)
    assert (code, report["healthy"], report["state"]) == (1, False, "active")
    (text,) = [finding["text"] for finding in report["findings"] if finding["is_problem"]]
    assert text.startswith(
        f"incompatible QoS on {TOPIC}: no messages pass, since /camera/driver offers best effort and /mpvss/segmentation wants"
    )


def test_a_node_that_nobody_has_configured_is_named(doctor, start_node):
    start_node(autostart=False)
    code, out, _ = doctor("--timeout", 30, "--image", "/camera/nowhere")
    assert code == 1
    assert "problem: /mpvss/segmentation is unconfigured, not active: no model is loaded" in out
    assert "problem: nobody publishes /camera/nowhere" in out


def test_a_cloud_node_whose_inputs_are_missing_is_named_and_another_doctor_is_not(peer):
    cloud = SpinningNode(CloudNode(cli_args=["--ros-args", "-r", "depth:=/depth"]))
    peer.listen(PointCloud2, "/mpvss/points")
    try:
        peer.spin_until_diagnostics(lambda found: "nobody publishes /depth" in found["/mpvss/cloud: points"]["message"])
        with _own_node():
            seen = look("/mpvss/segmentation", timeout_s=3.0)
    finally:
        cloud.stop()
        cloud.node.destroy_node()
    found = {finding.name: finding.text for finding in examine(seen)}
    assert found["cloud-report"].startswith("/mpvss/cloud: nobody publishes /mpvss/labels: remap labels")
    assert sorted(seen.nodes) == ["/mpvss/cloud", "/peer"]


def test_users_are_those_of_the_ports_in_shared_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(collector, "SHARED_MEMORY", tmp_path)
    for name in ("fastdds_port7000", "fastrtps_port7001", "fastdds_0c2e6b229da38e60", "sem.fastdds_port7000_mutex"):
        (tmp_path / name).touch()
    assert collector._other_users() == ()
    monkeypatch.setattr(collector.os, "getuid", lambda: 4_000_000)
    assert collector._other_users() == (pwd.getpwuid((tmp_path / "fastdds_port7000").stat().st_uid).pw_name,)
    assert collector._user_name(4_000_000) == "4000000"


def test_a_domain_with_nobody_on_it_is_named(doctor, monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "231")
    code, out, _ = doctor("--timeout", 1)
    assert code == 1 and out.startswith("problem: no other node is seen on ROS_DOMAIN_ID=231 with ") and out.count("\n") == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--node", "segmentation"), "--node must be a full name such as /mpvss/segmentation, got 'segmentation'"),
        (("--image", "image raw"), "--image must be a full name such as /camera/image_raw, got 'image raw'"),
        (("--timeout", "0"), "'--timeout'"),
    ],
)
def test_wrong_use_ends_with_exit_code_2(doctor, arguments, message):
    code, _, errors = doctor(*arguments)
    assert code == 2 and message in errors
