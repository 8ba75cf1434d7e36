"""Replays a bag over DDS through a real segmentation node, and collects the answers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image, TimeReference

from mpvss_model import MPVSSError
from mpvss_ros.bag import Bag
from mpvss_ros.conversions import labels_from_message, stamp_ns
from mpvss_ros.evaluation import LabelledFrame

__all__ = ["Progress", "SessionError", "SessionResult", "run_session"]

COLLECTOR_QOS = QoSProfile(depth=200, reliability=ReliabilityPolicy.RELIABLE)
START_TIMEOUT_S = 300.0
DRAIN_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 10.0
WINDOW_FRAMES = 8


class SessionError(MPVSSError):
    """The segmentation node or the replay did not start or did not finish."""


@dataclass
class Progress:
    """How far a session has come."""

    frames_in: int = 0
    labels_out: int = 0
    key_frames: int = 0
    labels_per_s: float = 0.0


@dataclass
class SessionResult:
    """What came back over DDS.

    Attributes:
        answers: By stamp in nanoseconds.
        class_names: Of the node's model.
        model: The name it reports.
    """

    answers: dict[int, LabelledFrame]
    class_names: tuple[str, ...]
    model: str


class Collector(Node):
    """Listens to the camera and to the segmentation node, as any other node on the robot would."""

    def __init__(self, context: rclpy.Context) -> None:
        super().__init__("collector", namespace="mpvss", context=context)
        self.progress = Progress()
        self.model_values: dict[str, str] = {}
        self._sent_s: dict[int, float] = {}
        self._packed_labels: dict[int, tuple[bytes, tuple[int, int], float]] = {}
        self._key_stamps: set[int] = set()
        self._first_answer_s: float | None = None
        self.create_subscription(Image, "labels", self._on_labels, COLLECTOR_QOS)
        self.create_subscription(TimeReference, "key_frame", self._on_key_frame, COLLECTOR_QOS)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def listen_to_camera(self, topic: str, message_type: type) -> None:
        """Start to note when frames are sent."""
        self.create_subscription(message_type, topic, self._on_image, COLLECTOR_QOS)

    def is_node_ready(self, camera_topic: str) -> bool:
        """Whether the segmentation node is active and connected to this one."""
        labels_topic = self.resolve_topic_name("labels")
        return bool(self.model_values) and self.count_publishers(labels_topic) > 0 and self.count_subscribers(camera_topic) > 0

    def result(self) -> SessionResult:
        """Everything that has come in, with the labels unpacked."""
        answers = {}
        for stamp, (packed, shape, received_s) in self._packed_labels.items():
            labels = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(shape)
            latency_ms = (received_s - self._sent_s.get(stamp, float("nan"))) * 1000
            answers[stamp] = LabelledFrame(stamp, labels, stamp in self._key_stamps, latency_ms)
        names = tuple(self.model_values["class_names"].split(", "))
        return SessionResult(answers=answers, class_names=names, model=self.model_values["name"])

    def _on_image(self, message: Image | CompressedImage) -> None:
        self._sent_s[stamp_ns(message)] = time.monotonic()
        self.progress.frames_in = len(self._sent_s)

    def _on_labels(self, message: Image) -> None:
        received_s = time.monotonic()
        labels = labels_from_message(message)
        # A label map shrinks a hundredfold, so that hours of recording fit into memory.
        self._packed_labels[stamp_ns(message)] = (zlib.compress(labels, 1), labels.shape, received_s)
        if self._first_answer_s is None:
            self._first_answer_s = received_s
        self.progress.labels_out = len(self._packed_labels)
        elapsed_s = received_s - self._first_answer_s
        self.progress.labels_per_s = (self.progress.labels_out - 1) / elapsed_s if elapsed_s > 0.0 else 0.0

    def _on_key_frame(self, message: TimeReference) -> None:
        if message.source == "key":
            self._key_stamps.add(stamp_ns(message))
            self.progress.key_frames = len(self._key_stamps)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == "segmentation: model" and status.values:
                self.model_values = {pair.key: pair.value for pair in status.values}


@dataclass
class ChildProcess:
    """A node in a process of its own, whose log is kept."""

    module: str
    arguments: list[str]
    log: object = field(default_factory=lambda: tempfile.TemporaryFile("w+"))

    def __enter__(self) -> ChildProcess:
        command = [sys.executable, "-m", f"mpvss_ros.{self.module}", "--ros-args", *self.arguments]
        # A process group of its own: Ctrl-C is for the session, which stops its nodes in order.
        self._process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True)
        return self

    def __exit__(self, *_) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def complaint(self) -> str:
        """The reason it gave for ending, or the end of its log."""
        self.log.seek(0)
        lines = [line.strip() for line in self.log if line.strip()]
        reasons = [m[1] for line in lines if (m := re.search(r"(?:cannot (?:configure|activate)|\w+_node): (.*)", line))]
        return (reasons or lines or [f"exit code {self.exit_code}"])[-1]


def run_session(
    *,
    bag: Bag,
    topic: str,
    node_parameters: dict[str, object],
    rate: float,
    on_progress: Callable[[Progress], None],
) -> SessionResult:
    """Start a segmentation node and a replay node as processes, and collect the labels of every camera frame.

    Args:
        bag: What to replay.
        topic: Its camera topic.
        node_parameters: Of the segmentation node, by name.
        rate: Speed of the replay; 0 for as fast as it goes.
        on_progress: Is called a few times a second.

    Raises:
        SessionError: If one of the processes fails.
    """
    image_class = CompressedImage if bag.types_by_topic[topic].endswith("CompressedImage") else Image
    compressed = image_class is CompressedImage
    parameters = {
        "mode": "lossless",
        "image_transport": "compressed" if compressed else "raw",
        **node_parameters,
    }
    # The node appends "/compressed" itself; any other name of a compressed topic is remapped as a whole.
    remapping = f"image/compressed:={topic}" if compressed else f"image:={topic}"
    node_arguments = ["-r", remapping, *_parameter_arguments(parameters)]
    replay_arguments = [
        "-r",
        "__ns:=/mpvss",
        *_parameter_arguments(
            {
                "bag": str(bag.path),
                "topics": [topic],
                "image_topic": topic,
                "rate": float(rate),
                "window": WINDOW_FRAMES,
                "wait_for_subscriptions": 2,
                "wait_timeout_s": START_TIMEOUT_S,
            }
        ),
    ]
    _isolate()
    # A context of its own works in a program that uses rclpy for other things, too.
    context = rclpy.Context()
    rclpy.init(args=[], context=context)
    executor = SingleThreadedExecutor(context=context)
    collector = Collector(context)
    executor.add_node(collector)
    try:
        with (
            ChildProcess("segmentation_main", node_arguments) as node,
            ChildProcess("replay_node", replay_arguments) as replay,
        ):

            def spin_while(condition: Callable[[], bool], timeout_s: float) -> bool:
                """Collect messages while the condition holds; False if that outlasts the timeout."""
                deadline_s = time.monotonic() + timeout_s
                while condition():
                    if node.exit_code is not None:
                        raise SessionError(node.complaint())
                    if replay.exit_code not in (None, 0):
                        raise SessionError(replay.complaint())
                    if time.monotonic() > deadline_s:
                        return False
                    executor.spin_once(timeout_sec=0.05)
                    on_progress(collector.progress)
                return True

            if not spin_while(lambda: not collector.is_node_ready(topic), START_TIMEOUT_S):
                raise SessionError(f"the segmentation node was not ready after {START_TIMEOUT_S:.0f} s: {node.complaint()}")
            collector.listen_to_camera(topic, image_class)
            spin_while(lambda: replay.exit_code is None, float("inf"))
            spin_while(lambda: collector.progress.labels_out < bag.count(topic), DRAIN_TIMEOUT_S)
        return collector.result()
    finally:
        executor.shutdown()
        collector.destroy_node()
        rclpy.shutdown(context=context)


def _parameter_arguments(parameters: dict[str, object]) -> list[str]:
    arguments = []
    for name, value in parameters.items():
        # YAML would read a path such as 1e5 as a number and one with a colon as a mapping.
        text = f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
        arguments += ["-p", f"{name}:={text}"]
    return arguments


def _isolate() -> None:
    """Keep the replay away from a robot's own topics, unless the user chose a domain."""
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
