"""Publishes a bag's topics with their timing, for machines without ``ros2 bag`` and for evaluation without loss."""

from __future__ import annotations

import sys
import time
from collections import deque
from importlib import import_module

import rclpy
from builtin_interfaces.msg import Time
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

from mpvss_model import ConfigError, MPVSSError
from mpvss_ros.bag import Bag, RawMessage
from mpvss_ros.conversions import stamp_ns

__all__ = ["ReplayNode", "main"]

PARAMETERS = {
    "bag": ("", "rosbag2 directory or file to replay"),
    "topics": ([""], "topics to publish; empty for all"),
    "rate": (1.0, "speed: 1 as recorded, 2 twice as fast; 0 as fast as the window allows"),
    "image_topic": ("", "the camera topic, whose subscriptions are waited for; empty for the bag's only image topic"),
    "wait_for_subscriptions": (1, "subscriptions of the camera topic to wait for before the first message"),
    "wait_timeout_s": (60.0, "give up waiting for subscriptions, or for an answer, after so many seconds"),
    "publish_clock": (False, "publish the recording's time on /clock, for nodes with use_sim_time"),
    "window": (0, "camera frames that may be unanswered on 'labels' at a time; 0 does not wait for answers"),
}
PUBLISHER_QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)


class ReplayNode(Node):
    """Replays one bag, once.

    With a ``window`` it listens to the label images and never has more camera frames under way than that, so that a slow
    segmentor slows the replay down instead of losing frames.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__("replay", **kwargs)
        for name, (default, description) in PARAMETERS.items():
            self.declare_parameter(name, default, ParameterDescriptor(description=description))
        self._bag = Bag(self._value("bag"))
        self._image_topic = self._bag.image_topic(self._value("image_topic") or None)
        wanted = [topic for topic in self._value("topics") if topic]
        unknown = sorted(set(wanted) - set(self._bag.types_by_topic))
        if unknown:
            raise ConfigError(f"topic {unknown[0]!r} is not in the bag; it has {', '.join(sorted(self._bag.types_by_topic))}")
        if self._value("rate") < 0.0 or self._value("window") < 0:
            raise ConfigError(f"rate and window must not be negative, got {self._value('rate')} and {self._value('window')}")
        self._topics = wanted or sorted(self._bag.types_by_topic)
        self._publishers_by_topic = {
            t: self.create_publisher(_message_class(self._bag.types_by_topic[t]), t, PUBLISHER_QOS) for t in self._topics
        }
        self._clock_publisher = self.create_publisher(Clock, "/clock", 10) if self._value("publish_clock") else None
        self._unanswered: deque[int] = deque()
        if self._value("window"):
            qos = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
            self.create_subscription(Image, "labels", self._on_labels, qos)

    def replay(self) -> int:
        """Publish everything; returns the number of camera frames.

        Raises:
            ConfigError: If nobody subscribes to the camera topic in time.
        """
        self._wait_for_subscriptions()
        frames, first_time_ns, started_s = 0, None, time.monotonic()
        rate, window = self._value("rate"), self._value("window")
        for raw in self._bag.raw_messages(self._topics):
            first_time_ns = raw.time_ns if first_time_ns is None else first_time_ns
            if rate > 0.0:
                self._spin_until(started_s + (raw.time_ns - first_time_ns) * 1e-9 / rate)
            if raw.topic == self._image_topic:
                self._wait_for_answers(window - 1)
                frames += 1
            if self._clock_publisher is not None:
                sec, nanosec = divmod(raw.time_ns, 1_000_000_000)
                self._clock_publisher.publish(Clock(clock=Time(sec=sec, nanosec=nanosec)))
            self._publish(raw)
        self._wait_for_answers(0)
        return frames

    def _publish(self, raw: RawMessage) -> None:
        publisher = self._publishers_by_topic[raw.topic]
        if raw.topic == self._image_topic and self._value("window"):
            self._unanswered.append(stamp_ns(deserialize_message(raw.data, publisher.msg_type)))
        publisher.publish(raw.data)

    def _on_labels(self, message: Image) -> None:
        # Answers come in order: one for a frame also settles those before it, which the node could not use.
        stamp = stamp_ns(message)
        if stamp in self._unanswered:
            while self._unanswered.popleft() != stamp:
                pass

    def _wait_for_subscriptions(self) -> None:
        wanted, publisher = self._value("wait_for_subscriptions"), self._publishers_by_topic[self._image_topic]

        def matched() -> bool:
            answers_matched = not self._value("window") or self.count_publishers(self.resolve_topic_name("labels")) > 0
            return publisher.get_subscription_count() >= wanted and answers_matched

        if not self._spin_while_not(matched):
            raise ConfigError(
                f"only {publisher.get_subscription_count()} of {wanted} subscriptions on {self._image_topic} after "
                f"{self._value('wait_timeout_s')} s: is the segmentation node running, and on this topic?"
            )

    def _wait_for_answers(self, allowed: int) -> None:
        if self._value("window") and not self._spin_while_not(lambda: len(self._unanswered) <= allowed):
            self.get_logger().warning(f"no labels for {len(self._unanswered)} frames; going on without them")
            self._unanswered.clear()

    def _spin_while_not(self, condition) -> bool:
        """Handle messages until the condition holds; False after the timeout."""
        deadline_s = time.monotonic() + self._value("wait_timeout_s")
        while not condition():
            if time.monotonic() > deadline_s:
                return False
            rclpy.spin_once(self, timeout_sec=0.05)
        return True

    def _spin_until(self, deadline_s: float) -> None:
        while (left_s := deadline_s - time.monotonic()) > 0.0:
            rclpy.spin_once(self, timeout_sec=left_s)

    def _value(self, name: str):
        return self.get_parameter(name).value


def _message_class(type_name: str) -> type:
    package, _, name = type_name.split("/")
    try:
        return getattr(import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"message type {type_name} of the bag is not installed: install {package}, or choose other topics with 'topics'"
        ) from error


def main(args: list[str] | None = None) -> None:
    """Replay a bag and leave. Exit code 2 if it cannot be replayed."""
    rclpy.init(args=args)
    exit_code = 0
    try:
        node = ReplayNode()
        node.get_logger().info(f"replayed {node.replay()} camera frames")
    except MPVSSError as error:
        print(f"replay_node: {error}", file=sys.stderr)
        exit_code = 2
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    rclpy.try_shutdown()
    sys.exit(exit_code)


if __name__ == "__main__":
    main()
