"""Replays a bag over DDS through a real segmentation node, and collects the answers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image, TimeReference

from mpvss_model import MPVSSError
from mpvss_ros.bags.bag import Bag
from mpvss_ros.messages.conversions import labels_from_message, stamp_ns
from mpvss_ros.process.child_process import ChildProcess
from mpvss_ros.process.isolation import Isolation, isolated
from mpvss_ros.replay.answers import Answers, LabelledFrame, PackedAnswer
from mpvss_ros.replay.frame_counts import FrameCounts, frame_counts

__all__ = ["Progress", "SessionError", "SessionResult", "run_session"]

COLLECTOR_QOS = QoSProfile(depth=200, reliability=ReliabilityPolicy.RELIABLE)
START_TIMEOUT_S = 300.0
DRAIN_TIMEOUT_S = 10.0
WINDOW_FRAMES = 8


class SessionError(MPVSSError):
    """The segmentation node or the replay did not start or did not finish, or nothing came of it."""


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
        answers: By the number of their camera frame in the recording, from 0.
        class_names: Of the node's model.
        model: The name it reports.
        counts: What the node says of the frames.
    """

    answers: Mapping[int, LabelledFrame]
    class_names: tuple[str, ...]
    model: str
    counts: FrameCounts = field(default_factory=FrameCounts)


class Collector(Node):
    """Listens to the camera and to the segmentation node, as any other node on the robot would."""

    def __init__(self, context: rclpy.Context, isolation: Isolation) -> None:
        remapping = ["--ros-args", "-r", f"/diagnostics:={_diagnostics_topic(isolation)}"]
        super().__init__("collector", namespace=isolation.namespace, context=context, cli_args=remapping)
        self.progress = Progress()
        self.counts = FrameCounts()
        self._model_values: dict[str, str] = {}
        self._sent: list[tuple[int, float]] = []
        self._packed: list[PackedAnswer] = []
        self._kinds: list[tuple[int, bool]] = []
        self.create_subscription(Image, "labels", self._on_labels, COLLECTOR_QOS)
        self.create_subscription(TimeReference, "key_frame", self._on_key_frame, COLLECTOR_QOS)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def listen_to_camera(self, topic: str, message_type: type) -> None:
        """Start to note when frames are sent."""
        self.create_subscription(message_type, topic, self._on_image, COLLECTOR_QOS)

    def is_node_ready(self, camera_topic: str) -> bool:
        """Whether the segmentation node is active and connected to this one."""
        labels_topic = self.resolve_topic_name("labels")
        is_connected = self.count_publishers(labels_topic) > 0 and self.count_subscribers(camera_topic) > 0
        return bool(self._model_values) and is_connected

    @property
    def is_complete(self) -> bool:
        """Whether each frame that was sent has been answered, or refused by the node."""
        answered_or_refused = self.progress.labels_out + sum(self.counts.refused.values())
        return answered_or_refused >= len(self._sent) and len(self._kinds) >= self.progress.labels_out

    def result(self) -> SessionResult:
        """Everything that has come in."""
        return SessionResult(
            answers=Answers(sent=self._sent, packed=self._packed, kinds=self._kinds),
            class_names=tuple(json.loads(self._model_values["class_names_json"])),
            model=self._model_values["name"],
            counts=self.counts,
        )

    # When messages left and came is what DDS says: callbacks may run late, and those of answers before those of their images.
    def _on_image(self, message: Image | CompressedImage, info: dict[str, int]) -> None:
        self._sent.append((stamp_ns(message), info["source_timestamp"] * 1e-9))
        self.progress.frames_in = len(self._sent)

    def _on_labels(self, message: Image, info: dict[str, int]) -> None:
        labels = labels_from_message(message)
        self._packed.append(
            PackedAnswer.from_labels(labels, stamp_ns=stamp_ns(message), received_s=info["received_timestamp"] * 1e-9)
        )
        self.progress.labels_out = len(self._packed)
        elapsed_s = self._packed[-1].received_s - self._packed[0].received_s
        self.progress.labels_per_s = (len(self._packed) - 1) / elapsed_s if elapsed_s > 0.0 else 0.0

    def _on_key_frame(self, message: TimeReference) -> None:
        self._kinds.append((stamp_ns(message), message.source == "key"))
        self.progress.key_frames += message.source == "key"

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.counts = frame_counts(message) or self.counts
        for status in message.status:
            if status.name.endswith(": model") and status.values:
                self._model_values = {pair.key: pair.value for pair in status.values}


def run_session(
    *,
    bag: Bag,
    topic: str,
    node_parameters: dict[str, object],
    rate: float,
    on_progress: Callable[[Progress], None],
) -> SessionResult:
    """Start a segmentation node and a replay node as processes, and collect the labels of every camera frame.

    They have a domain and a namespace of their own: nodes that run already are neither heard nor disturbed.

    Args:
        bag: What to replay.
        topic: Its camera topic.
        node_parameters: Of the segmentation node, by name.
        rate: Speed of the replay; 0 for as fast as it goes.
        on_progress: Is called a few times a second.

    Raises:
        SessionError: If one of the processes fails, the topic has no messages, or no frame was answered.
    """
    if not bag.count(topic):
        raise SessionError(f"topic {topic!r} of bag {str(bag.path)!r} has no messages: there is nothing to replay")
    with isolated() as isolation:
        # A context of its own works in a program that uses rclpy for other things, too.
        context = rclpy.Context()
        rclpy.init(args=[], context=context, domain_id=isolation.domain_id)
        try:
            result = _collect(bag, topic, node_parameters, rate, on_progress, context, isolation)
        finally:
            rclpy.shutdown(context=context)
    if not result.answers:
        raise SessionError(f"none of the {bag.count(topic)} frames on {topic} was answered: {_reasons(result.counts)}")
    return result


def _collect(
    bag: Bag,
    topic: str,
    node_parameters: dict[str, object],
    rate: float,
    on_progress: Callable[[Progress], None],
    context: rclpy.Context,
    isolation: Isolation,
) -> SessionResult:
    image_class = CompressedImage if bag.types_by_topic[topic].endswith("CompressedImage") else Image
    is_compressed = image_class is CompressedImage
    camera_topic = f"{isolation.namespace}/image" + ("/compressed" if is_compressed else "")
    names = ["-r", f"__ns:={isolation.namespace}", "-r", f"/diagnostics:={_diagnostics_topic(isolation)}"]
    segmentation = ChildProcess(
        "node.main",
        names,
        {"mode": "lossless", "image_transport": "compressed" if is_compressed else "raw", **node_parameters},
    )
    replay = ChildProcess(
        "replay.main",
        [*names, "-r", f"{topic}:={camera_topic}"],
        {
            "bag": str(bag.path),
            "topics": [topic],
            "image_topic": topic,
            "rate": float(rate),
            "window": WINDOW_FRAMES,
            "wait_for_subscriptions": 2,
            "wait_timeout_s": START_TIMEOUT_S,
        },
    )
    executor = SingleThreadedExecutor(context=context)
    collector = Collector(context, isolation)
    executor.add_node(collector)
    try:
        with segmentation, replay:

            def spin_while(condition: Callable[[], bool], timeout_s: float) -> bool:
                """Collect messages while the condition holds; False if that outlasts the timeout."""
                deadline_s = time.monotonic() + timeout_s
                while condition():
                    if segmentation.exit_code is not None:
                        raise SessionError(segmentation.complaint())
                    if replay.exit_code not in (None, 0):
                        raise SessionError(replay.complaint())
                    if time.monotonic() > deadline_s:
                        return False
                    executor.spin_once(timeout_sec=0.05)
                    on_progress(collector.progress)
                return True

            if not spin_while(lambda: not collector.is_node_ready(camera_topic), START_TIMEOUT_S):
                reason = segmentation.complaint()
                raise SessionError(f"the segmentation node was not ready after {START_TIMEOUT_S:.0f} s: {reason}")
            collector.listen_to_camera(camera_topic, image_class)
            spin_while(lambda: replay.exit_code is None, float("inf"))
            spin_while(lambda: not collector.is_complete, DRAIN_TIMEOUT_S)
        return collector.result()
    finally:
        executor.shutdown()
        collector.destroy_node()


def _diagnostics_topic(isolation: Isolation) -> str:
    return f"{isolation.namespace}/diagnostics"


def _reasons(counts: FrameCounts) -> str:
    reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(counts.refused.items()))
    last = f"; the last one: {counts.last_refusal}" if counts.last_refusal else ""
    return (reasons or "the node does not say why") + last
