"""Publishes a bag's topics with their timing, for machines without ``ros2 bag`` and for evaluation without loss."""

from __future__ import annotations

import struct
import sys
import time
from importlib import import_module

import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.duration import Duration
from rclpy.exceptions import InvalidTopicNameException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

from mpvss_model import ConfigError, DataError, MPVSSError
from mpvss_model.errors import first_line
from mpvss_ros.bags.bag import Bag, RawMessage, RecordedTopic
from mpvss_ros.diagnostics.graph import LiveGraph
from mpvss_ros.diagnostics.qos_mismatch import fits
from mpvss_ros.messages.conversions import stamp_ns
from mpvss_ros.node.parameters import NO_TEXTS, Parameter
from mpvss_ros.replay.frame_counts import FrameCounts, frame_counts
from mpvss_ros.replay.replay_window import ReplayWindow

__all__ = ["ReplayNode", "main"]

PARAMETERS = (
    Parameter(name="bag", default="", description="rosbag2 directory or file to replay"),
    Parameter(name="topics", default=NO_TEXTS, description="Topics to publish; empty for all that can be"),
    Parameter(name="rate", default=1.0, description="Speed: 1 as recorded, 2 twice as fast; 0 as fast as the window allows"),
    Parameter(
        name="image_topic",
        default="",
        description="The camera topic, whose subscriptions are waited for; empty for the bag's only image topic",
    ),
    Parameter(
        name="wait_for_subscriptions",
        default=1,
        description="Subscriptions of the camera topic to wait for before the first message",
    ),
    Parameter(
        name="wait_for_node",
        default="",
        description="Full name of the node whose subscriptions are meant, such as /mpvss/segmentation; empty for anybody's",
    ),
    Parameter(
        name="wait_timeout_s",
        default=60.0,
        description="Give up waiting for subscriptions, or for an answer, after so many seconds",
    ),
    Parameter(
        name="publish_clock",
        default=False,
        description="Publish the recording's time on /clock, for nodes with use_sim_time",
    ),
    Parameter(name="loop", default=False, description="Replay the bag again and again; its stamps go back each time"),
    Parameter(
        name="window",
        default=0,
        description="Camera frames that may be unanswered on 'labels' at a time; 0 does not wait for answers",
    ),
)
# Of every node; they are not this program's to know.
FOREIGN_PARAMETERS = ("use_sim_time", "start_type_description_service", "qos_overrides.")
DEPTH = 100
# Static transforms are latched by definition, also where a recording does not say so.
STATIC_TRANSFORMS = "/tf_static"
SETTLE_TIMEOUT_S = 1.0
REPORT_TIMEOUT_S = 3.0
LOG_THROTTLE_S = 5.0
LONGEST_WAIT_S = 60.0


class ReplayNode(Node):
    """Replays one bag, once or, with ``loop``, until it is interrupted.

    With a ``window`` it listens to the label images and to the segmentation node's diagnostics, and never has more camera
    frames under way than that, so that a slow segmentor slows the replay down instead of losing frames.

    Raises:
        MPVSSError: If a parameter or the bag cannot be used.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__("replay", **kwargs)
        self._values = _declare(self)
        if not self._values["bag"]:
            raise ConfigError("no bag to replay: give one with -p bag:=PATH")
        self._bag = Bag(self._values["bag"])
        option = "-p image_topic:=TOPIC"
        self._image_topic = self._bag.image_topic(self._values["image_topic"] or None, option=option)
        self._publishers_by_topic = self._create_publishers([topic for topic in self._values["topics"] if topic])
        self._clock_publisher = self.create_publisher(Clock, "/clock", 10) if self._values["publish_clock"] else None
        self._window: ReplayWindow | None = None
        self._report: FrameCounts | None = None
        self._first_report: FrameCounts | None = None
        self._sent_since_report = False
        if self._values["window"]:
            self._window = ReplayWindow(self._values["window"])
            qos = QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.RELIABLE)
            self.create_subscription(Image, "labels", self._on_labels, qos)
            self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def replay(self) -> int:
        """Publish everything, once or without an end; returns the number of camera frames.

        Raises:
            ConfigError: If nobody subscribes to the camera topic in time, or it holds no frames to repeat.
            DataError: If the bag turns out to be damaged.
        """
        self._wait_for_subscriptions()
        frames = self._replay_once()
        while self._values["loop"]:
            if not frames:
                raise ConfigError(f"no frame of {self._image_topic} can be replayed, so there is nothing to loop")
            self._replay_once()
        return frames

    def _replay_once(self) -> int:
        frames, first_time_ns, started_s = 0, None, time.monotonic()
        rate = self._values["rate"]
        for raw in self._bag.raw_messages(self._publishers_by_topic):
            first_time_ns = raw.time_ns if first_time_ns is None else first_time_ns
            if rate > 0.0:
                self._spin_until(started_s + (raw.time_ns - first_time_ns) * 1e-9 / rate)
            if raw.topic == self._image_topic:
                if not self._is_whole(raw):
                    continue
                self._wait_for_room()
                frames += 1
            if self._clock_publisher is not None:
                sec, nanosec = divmod(raw.time_ns, 1_000_000_000)
                self._clock_publisher.publish(Clock(clock=Time(sec=sec, nanosec=nanosec)))
            self._publish(raw)
        self._wait_for_the_rest()
        return frames

    # -- publishers --------------------------------------------------------------------------------------------------

    def _create_publishers(self, wanted: list[str]) -> dict[str, Publisher]:
        """For the wanted topics, each of which has to be possible, or for all that are."""
        unknown = sorted(set(wanted) - set(self._bag.topics))
        if unknown:
            raise ConfigError(f"topic {unknown[0]!r} is not in the bag; it has {', '.join(sorted(self._bag.topics))}")
        publishers = {}
        for topic in wanted or sorted(self._bag.topics):
            try:
                publishers[topic] = self._create_publisher_of(topic, self._bag.topics[topic])
            except ConfigError as error:
                if wanted or topic == self._image_topic:
                    raise
                self.get_logger().warning(f"left out: {error}")
        if self._image_topic not in publishers:
            raise ConfigError(f"topics must hold the camera topic {self._image_topic!r}, got {wanted}")
        return publishers

    def _create_publisher_of(self, topic: str, recorded: RecordedTopic) -> Publisher:
        if not recorded.is_ros2:
            reason = f"is {recorded}, which is no ROS 2 message: choose others with 'topics'"
            raise ConfigError(f"topic {topic!r} of the bag {reason}")
        message_class = _message_class(recorded.type_name)
        qos = _publisher_qos(topic, recorded, is_camera=topic == self._image_topic)
        try:
            return self.create_publisher(message_class, topic, qos)
        except (InvalidTopicNameException, ValueError) as error:
            reason = f"has a name that ROS 2 does not allow: {first_line(error)}"
            raise ConfigError(f"topic {topic!r} of the bag {reason}") from error

    def _is_whole(self, raw: RawMessage) -> bool:
        """Whether a camera frame can be deserialized; no subscriber could do anything with one that cannot."""
        try:
            self._bag.deserialized(raw)
        except DataError as error:
            self.get_logger().warning(f"frame left out: {error}", throttle_duration_sec=LOG_THROTTLE_S)
            return False
        return True

    def _publish(self, raw: RawMessage) -> None:
        publisher = self._publishers_by_topic[raw.topic]
        if raw.topic == self._image_topic and self._window is not None:
            self._window.send(_stamp_ns(raw.data))
            self._sent_since_report = True
        if publisher.qos_profile.depth < DEPTH:
            # It keeps few messages, and would replace one that a subscriber has not got yet.
            publisher.wait_for_all_acked(Duration(seconds=SETTLE_TIMEOUT_S))
        publisher.publish(raw.data)

    # -- answers -----------------------------------------------------------------------------------------------------

    def _on_labels(self, message: Image) -> None:
        self._window.answer(stamp_ns(message))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        nodes = self.get_publishers_info_by_topic(self.resolve_topic_name("labels"))
        counts = frame_counts(message, node=f"{nodes[0].node_namespace}/{nodes[0].node_name}") if nodes else None
        if counts is None:
            return
        self._first_report = self._first_report or counts
        self._window.handle(counts.handled - self._first_report.handled)
        is_idle = self._report is not None and counts.received == counts.handled == self._report.received
        if is_idle and not self._sent_since_report:
            self._window.give_up()  # they were lost on the way
        self._report, self._sent_since_report = counts, False

    # -- waiting -----------------------------------------------------------------------------------------------------

    def _wait_for_subscriptions(self) -> None:
        wanted, publisher = self._values["wait_for_subscriptions"], self._publishers_by_topic[self._image_topic]
        node = self._values["wait_for_node"]

        def matched() -> bool:
            answers_matched = self._window is None or self.count_publishers(self.resolve_topic_name("labels")) > 0
            return self._matched_subscriptions(publisher, node) >= wanted and answers_matched

        if not self._spin_while_not(matched):
            whose = f" of {node}" if node else ""
            raise ConfigError(
                f"only {self._matched_subscriptions(publisher, node)} of {wanted} subscriptions{whose} on {self._image_topic} "
                f"after {self._values['wait_timeout_s']} s: is the segmentation node running, and on this topic?"
            )
        if self._window is not None:
            # What the node did before does not count; other nodes may answer without reports.
            self._spin_while_not(lambda: self._first_report is not None, REPORT_TIMEOUT_S)

    def _matched_subscriptions(self, publisher: Publisher, node: str) -> int:
        """Subscriptions that hear a publisher; of a node those that the graph has, once as many as it has are matched."""
        count = publisher.get_subscription_count()
        if not node:
            return count
        graph, topic = LiveGraph(self), publisher.topic_name
        # As the graph knows it: the publisher itself says nothing of times that nobody has set.
        offered = [end.qos for end in graph.publishers(topic) if end.node == self.get_fully_qualified_name()]
        fitting = [end for end in graph.subscriptions(topic) if any(fits(qos, end.qos) for qos in offered)]
        return sum(end.node == node for end in fitting) if count >= len(fitting) else 0

    def _wait_for_room(self) -> None:
        self._wait_for_answers(lambda: self._window is None or self._window.has_room)

    def _wait_for_the_rest(self) -> None:
        self._wait_for_answers(lambda: self._window is None or not self._window)
        for topic, publisher in self._publishers_by_topic.items():
            # A subscriber of a latched topic may be found only now.
            name = self.resolve_topic_name(topic)
            self._spin_while_not(
                lambda publisher=publisher, name=name: publisher.get_subscription_count() >= self.count_subscribers(name),
                SETTLE_TIMEOUT_S,
            )
            publisher.wait_for_all_acked(Duration(seconds=SETTLE_TIMEOUT_S))

    def _wait_for_answers(self, condition) -> None:
        if not self._spin_while_not(condition):
            self.get_logger().warning(f"no labels for {len(self._window)} frames; going on without them")
            self._window.give_up()

    def _spin_while_not(self, condition, timeout_s: float | None = None) -> bool:
        """Handle messages until the condition holds; False after the timeout."""
        deadline_s = time.monotonic() + (self._values["wait_timeout_s"] if timeout_s is None else timeout_s)
        while not condition():
            if time.monotonic() > deadline_s:
                return False
            rclpy.spin_once(self, timeout_sec=0.05)
        return True

    def _spin_until(self, deadline_s: float) -> None:
        while (left_s := deadline_s - time.monotonic()) > 0.0:
            # rclpy cannot wait for centuries at a time, which a small rate asks for.
            rclpy.spin_once(self, timeout_sec=min(left_s, LONGEST_WAIT_S))


def _declare(node: Node) -> dict[str, object]:
    """The parameters' values by name, checked; names that nobody knows are warned of, since they are mostly misspelt."""
    try:
        given = {p.name: node.declare_parameter(p.name, p.ros_default, _descriptor(p)).value for p in PARAMETERS}
    except Exception as error:  # rclpy has one exception type for each way in which a value can be wrong
        raise ConfigError(first_line(error)) from error
    for name in sorted(node._parameter_overrides):
        if name not in given and not name.startswith(FOREIGN_PARAMETERS):
            node.get_logger().warning(f"parameter {name!r} is unknown and has no effect; known: {', '.join(given)}")
    values = {p.name: p.checked(given[p.name]) for p in PARAMETERS}
    if not (values["rate"] >= 0.0 and values["window"] >= 0):
        raise ConfigError(f"rate and window must not be negative, got {values['rate']} and {values['window']}")
    if not values["wait_timeout_s"] >= 0.0:
        raise ConfigError(f"wait_timeout_s must not be negative, got {values['wait_timeout_s']}")
    return values


def _descriptor(parameter: Parameter) -> ParameterDescriptor:
    # Types are checked here: rclpy's own check names neither parameter nor value, and refuses 2 where 2.0 is meant.
    return ParameterDescriptor(description=parameter.description, dynamic_typing=True)


def _publisher_qos(topic: str, recorded: RecordedTopic, *, is_camera: bool) -> QoSProfile:
    """Reliable, which serves every subscriber; latched as it was recorded."""
    latched = [offered.depth for offered in recorded.offered_qos if offered.latched]
    # Where the recording does not say, a topic of few messages may have been: nobody gets old messages without asking.
    may_be = not recorded.offered_qos and not is_camera and recorded.count <= DEPTH
    if not latched and not may_be and not topic.endswith(STATIC_TRANSFORMS):
        return QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.RELIABLE)
    # One publisher stands for all that were recorded, and keeps what they kept together.
    depth = sum(latched) or DEPTH
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def _message_class(type_name: str) -> type:
    package, _, name = type_name.partition("/msg/")
    try:
        return getattr(import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"message type {type_name} of the bag is not installed: install {package}, or choose other topics with 'topics'"
        ) from error


def _stamp_ns(data: bytes) -> int:
    """The stamp of a serialized message that begins with a header; 0 if it is too short for one."""
    if len(data) < 12:
        return 0
    sec, nanosec = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return sec * 1_000_000_000 + nanosec


def main(args: list[str] | None = None) -> None:
    """Replay a bag and leave. Exit code 2 if it cannot be replayed."""
    exit_code = 0
    try:
        _replay(args)
    except MPVSSError as error:
        print(f"replay_node: {error}", file=sys.stderr)
        exit_code = 2
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        # Whatever is published while a signal takes the context away fails, and that is no error.
        if rclpy.ok():
            raise
    rclpy.try_shutdown()
    sys.exit(exit_code)


def _replay(args: list[str] | None) -> None:
    try:
        rclpy.init(args=args)
        node = ReplayNode()
    except MPVSSError:
        raise
    except Exception as error:  # rcl's for arguments that it cannot parse
        raise ConfigError(first_line(error)) from error
    node.get_logger().info(f"replayed {node.replay()} camera frames")


if __name__ == "__main__":
    main()
