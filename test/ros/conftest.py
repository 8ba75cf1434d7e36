"""Runs the real node, in this process or in its own, and talks to it over DDS."""

import signal
import subprocess
import sys
import tempfile
import time
from threading import Thread

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from mpvss_model import VideoSegmentor
from mpvss_ros.node.segmentation_node import SegmentationNode

from ..faulty_segmentor import FaultySegmentor

RELIABLE = QoSProfile(depth=200, reliability=ReliabilityPolicy.RELIABLE)
TIMEOUT_S = 60.0


class Peer(Node):
    """A node that stands for the rest of the robot; keeps what it receives, by topic."""

    def __init__(self):
        super().__init__("peer")
        self.received = {}
        self.listen(DiagnosticArray, "/diagnostics")
        self.listen(Image, "/mpvss/labels")

    def listen(self, message_type, topic, qos=RELIABLE):
        self.received[topic] = []
        self.create_subscription(message_type, topic, self.received[topic].append, qos)

    def spin_until(self, condition, timeout_s=TIMEOUT_S):
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline_s, f"waited {timeout_s} s in vain; received {self.counts()}"
            rclpy.spin_once(self, timeout_sec=0.02)

    def counts(self):
        return {topic: len(messages) for topic, messages in self.received.items()}

    def connect(self, message_type, topic, qos=RELIABLE):
        """A publisher that the segmentation node has subscribed to, and whose answers will arrive."""
        publisher = self.create_publisher(message_type, topic, qos)
        self.spin_until(lambda: publisher.get_subscription_count() and self.count_publishers("/mpvss/labels"))
        return publisher

    def diagnostics(self):
        """Values of the newest report, by status and key."""
        newest = self.received["/diagnostics"][-1]
        return {s.name: {"level": s.level, "message": s.message, **{p.key: p.value for p in s.values}} for s in newest.status}

    def spin_until_diagnostics(self, condition):
        self.spin_until(lambda: self.received["/diagnostics"] and condition(self.diagnostics()))

    def send(self, publisher, messages, labels="/mpvss/labels"):
        """Publish one after the other, each when the one before has been answered; returns the answers."""
        before = len(self.received[labels])
        for count, message in enumerate(messages, before + 1):
            publisher.publish(message)
            self.spin_until(lambda: len(self.received[labels]) >= count)
        return self.received[labels][before:]

    def call(self, service_type, name, request):
        client = self.create_client(service_type, name)
        assert client.wait_for_service(TIMEOUT_S)
        future = client.call_async(request)
        self.spin_until(future.done)
        self.destroy_client(client)
        return future.result()

    def set_parameters(self, **values):
        """Ask for all of them together, as ``ros2 param`` would."""
        parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        request = SetParametersAtomically.Request(parameters=parameters)
        return self.call(SetParametersAtomically, "/mpvss/segmentation/set_parameters_atomically", request).result


class SpinningNode:
    """A segmentation node in this process, with an executor and a thread of its own."""

    def __init__(self, node):
        self.node = node
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._thread = Thread(target=self._executor.spin)
        self._thread.start()

    def stop(self):
        self._executor.shutdown()
        self._thread.join()


class NodeProcess:
    """A node of this package in a process of its own."""

    def __init__(self, module, parameters, arguments=()):
        options = [text for name, value in parameters.items() for text in ("-p", f"{name}:={value}")]
        command = [sys.executable, "-m", f"mpvss_ros.{module}", "--ros-args", *options, *arguments]
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  open as long as the process
        self.process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT)

    def log(self):
        self._log.seek(0)
        return self._log.read()

    def end(self, signal_number=signal.SIGINT):
        """Send the signal; returns exit code and the seconds it took."""
        started_s = time.monotonic()
        self.process.send_signal(signal_number)
        return self.process.wait(TIMEOUT_S), time.monotonic() - started_s


@pytest.fixture(scope="session", autouse=True)
def ros():
    rclpy.init(args=[])
    yield
    rclpy.try_shutdown()


@pytest.fixture
def peer():
    node = Peer()
    yield node
    node.destroy_node()


@pytest.fixture
def start_node(tiny_checkpoint):
    """Starts segmentation nodes in this process, on the tiny checkpoint unless told otherwise."""
    created, spinning = [], []

    def start(*arguments, load_model=VideoSegmentor.from_pretrained, **parameters):
        parameters = {"model": tiny_checkpoint, "threads": 1, "mode": "lossless", **parameters}
        node = SegmentationNode(
            load_model=load_model,
            parameter_overrides=[Parameter(name, value=value) for name, value in parameters.items()],
            cli_args=["--ros-args", "-r", "image:=/camera/image_raw", "-r", "camera_info_in:=/camera/camera_info", *arguments],
        )
        created.append(node)
        if node.config.autostart:
            assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
            assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        spinning.append(SpinningNode(node))
        return node

    yield start
    for node in spinning:
        node.stop()
    for node in created:
        node.release()
        node.destroy_node()


@pytest.fixture
def start_process(tiny_checkpoint):
    """Starts nodes as processes, and ends them after the test."""
    started = []

    def start(*arguments, module="node.main", **parameters):
        if module == "node.main":
            parameters = {"model": tiny_checkpoint, "threads": 1, **parameters}
        started.append(NodeProcess(module, parameters, arguments))
        return started[-1]

    yield start
    for node in started:
        if node.process.poll() is None:
            node.end()


class FaultyModel:
    """Loads models whose segmentor fails on command; give it to `start_node` as ``load_model``."""

    def __init__(self, **faults):
        self._faults = faults
        self.segmentor = None

    def __call__(self, *args, **kwargs):
        model = VideoSegmentor.from_pretrained(*args, **kwargs)
        self.segmentor = model.segmentor = FaultySegmentor(model.segmentor, **self._faults)
        return model


@pytest.fixture
def frames():
    """Camera images of noise that drifts, uint8 RGB ``[48, 64, 3]``."""
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    return [np.roll(noise, i, axis=1) for i in range(12)]


def header(index, frame_id="camera_color_optical_frame"):
    """15 Hz stamps whose nanoseconds no float can hold."""
    total_ns = 1_700_000_000_987_654_321 + index * 66_666_667
    return Header(stamp=Time(sec=total_ns // 10**9, nanosec=total_ns % 10**9), frame_id=frame_id)
