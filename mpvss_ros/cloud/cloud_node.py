"""The node that publishes labelled point clouds."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from mpvss_model import FrameError
from mpvss_model.errors import first_line
from mpvss_ros.cloud.cloud_maker import CloudMaker
from mpvss_ros.cloud.niceness import give_way
from mpvss_ros.cloud.parameters import CloudConfig, declare_parameters
from mpvss_ros.cloud.stamp_matcher import StampMatcher
from mpvss_ros.cloud.transforms import NoTransform, Transforms
from mpvss_ros.diagnostics.statistics import Latencies, Rate, shortened
from mpvss_ros.messages.conversions import stamp_ns
from mpvss_ros.process.best_subscription import best_subscription, followed
from mpvss_ros.process.node_process import serve_and_leave
from mpvss_ros.process.overrides import QOS_PREFIX, unused_overrides
from mpvss_ros.process.parameter_files import files_without_effect

__all__ = ["CloudNode", "run"]

DIAGNOSTICS_PERIOD_S = 1.0
# How soon a new subscriber is noticed.
FOLLOW_PERIOD_S = 0.2
# How soon a transform is noticed that came later than the cloud.
RETRY_PERIOD_S = 0.02
LOG_THROTTLE_S = 5.0
# An input of which nothing has come for so long is named.
SILENCE_S = 2.0
NANOSECONDS = 1_000_000_000
INPUT_DEPTH, OUTPUT_DEPTH = 5, 2


@dataclass(frozen=True)
class _Match:
    """Messages by input that belong together, and when the last of them came, on the steady clock."""

    messages: dict[str, Any]
    came_s: float


class CloudNode(Node):
    """Publishes a labelled cloud on ``points`` for each message of the leading input: labels, or a cloud to relabel.

    It listens to its inputs only while somebody subscribes to ``points``, so that nothing is computed for nobody, here and in
    the segmentation node.

    Args:
        parameter_files: Paths of those that the command line names, to warn of them if they hold nothing for this node.
        kwargs: For `rclpy.node.Node`.

    Raises:
        ConfigError: If a parameter's value cannot be used.
    """

    def __init__(self, *, parameter_files: Sequence[str] = (), **kwargs) -> None:
        super().__init__("cloud", namespace="mpvss", **kwargs)
        self.config: CloudConfig = declare_parameters(self)
        transforms = Transforms(self, fixed_frame=self.config.fixed_frame)
        self._maker = CloudMaker(self.config, transforms)
        self._points = self.create_publisher(
            PointCloud2,
            "points",
            QoSProfile(depth=OUTPUT_DEPTH, reliability=ReliabilityPolicy.RELIABLE),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._warn_of_what_has_no_effect(parameter_files)
        self._inputs: dict[str, Subscription] = {}
        self._begin()
        # A steady clock, so that both work in simulated time too.
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(FOLLOW_PERIOD_S, self._follow_subscribers, clock=clock)
        self.create_timer(DIAGNOSTICS_PERIOD_S, self._report, clock=clock)
        if self.config.source == "cloud":
            self.create_timer(RETRY_PERIOD_S, self._answer_what_waits, clock=clock)

    def _warn_of_what_has_no_effect(self, parameter_files: Sequence[str]) -> None:
        texts = files_without_effect(parameter_files, self.get_fully_qualified_name())
        unknown = [name for name in self._parameter_overrides if name not in self._parameters]
        given = [name for name in unknown if not name.startswith(QOS_PREFIX)]
        texts += unused_overrides(given, declared=self._parameters, image_topics=(), program="cloud_node")
        texts += [
            f"parameter {name!r} has no effect: only {self._points.topic_name} has such, inputs are as they are published"
            for name in sorted(set(unknown) - set(given))
        ]
        for text in texts:
            self.get_logger().warning(text)

    # -- inputs ------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Forget everything that has come."""
        config = self.config
        self._matcher = StampMatcher(
            config.leader,
            required=config.required,
            optional=config.optional,
            slop_ns=round(config.slop_s * NANOSECONDS),
            size=config.queue_size,
        )
        self._waiting: deque[_Match] = deque()
        self._foreign_frame = ""
        self._info: CameraInfo | None = None
        self._received: Counter[str] = Counter()
        self._last_s: dict[str, float] = {}
        self._began_s = time.monotonic()
        self._rate, self._making, self._latency = Rate(), Latencies(), Latencies()
        self._failures = Rate()
        self._published, self._failed, self._last_failure = 0, 0, ""
        self._unmatched_at_last_report = 0

    def _follow_subscribers(self) -> None:
        """Listen to the inputs while somebody listens to the clouds."""
        is_wanted = self._points.get_subscription_count() > 0
        if is_wanted and not self._inputs:
            self._begin()
            self._inputs = dict(self._subscriptions_to_inputs())
            self._follow_publishers()
        elif not is_wanted and self._inputs:
            for subscription in self._inputs.values():
                self.destroy_subscription(subscription)
            self._inputs = {}

    def _subscriptions_to_inputs(self) -> Iterator[tuple[str, Subscription]]:
        config = self.config
        is_raw, is_raw_depth = config.image_transport == "raw", config.depth_transport == "raw"
        kinds = {
            "labels": (Image, ""),
            "confidence": (Image, ""),
            "image": (Image, "") if is_raw else (CompressedImage, "/compressed"),
            "depth": (Image, "") if is_raw_depth else (CompressedImage, "/compressedDepth"),
            "cloud_in": (PointCloud2, ""),
        }
        for name in (config.leader, *config.required, *config.optional):
            message_type, transport = kinds[name]
            # The remapping of a topic holds for its transports, too, whose names may be remapped themselves.
            topic = self.resolve_topic_name(self.resolve_topic_name(name) + transport)
            yield name, self._subscribe(message_type, topic, partial(self._on_message, name))
        yield "camera_info_in", self._subscribe(CameraInfo, "camera_info_in", self._on_info)

    def _subscribe(self, message_type: type, topic: str, callback: Callable[[Any], None]) -> Subscription:
        return best_subscription(self, message_type, topic, callback, depth=INPUT_DEPTH)

    def _follow_publishers(self) -> None:
        """Hear publishers that came or changed, and do not wait for what nobody publishes."""
        self._inputs = {name: followed(self, subscription) for name, subscription in self._inputs.items()}
        optional = (name for name in self.config.optional if name in self._inputs)
        self._matcher.expected = {name for name in optional if self.count_publishers(self._inputs[name].topic_name)}

    # -- callbacks ---------------------------------------------------------------------------------------------------

    def _on_info(self, message: CameraInfo) -> None:
        self._note("camera_info_in")
        self._info = message

    def _on_message(self, name: str, message: Any) -> None:
        self._note(name)
        for messages in self._matcher.add(name, stamp_ns(message), message):
            self._waiting.append(_Match(messages, time.monotonic()))
        self._answer_what_waits()

    def _note(self, name: str) -> None:
        self._received[name] += 1
        self._last_s[name] = time.monotonic()

    def _answer_what_waits(self) -> None:
        while self._waiting and self._answer(self._waiting[0]):
            self._waiting.popleft()

    def _answer(self, match: _Match) -> bool:
        """Make and publish a cloud; False if it has to wait for its transform.

        Whatever happens to it, the next one may be fine: nothing is raised.
        """
        started_s = time.monotonic()
        try:
            cloud = self._maker.make(match.messages, self._info)
            self._points.publish(cloud)
        except NoTransform as error:
            if started_s - match.came_s < self.config.transform_wait_s:
                return False
            self._fail(str(error))
        except FrameError as error:
            self._fail(str(error))
        except Exception as error:
            if self.context.ok():  # else the publisher is gone
                self._fail(f"{type(error).__name__}: {first_line(error)}")
        else:
            self._published += 1
            self._rate.tick()
            self._making.add(time.monotonic() - started_s)
            self._latency.add((self.get_clock().now().nanoseconds - stamp_ns(cloud)) * 1e-9)
            self._note_frame(match.messages)
        return True

    def _note_frame(self, messages: dict[str, Any]) -> None:
        """Depth in another frame than the labels is mostly that of another camera, which lies beside what is labelled."""
        depth = messages.get("depth")
        frames = [message.header.frame_id for message in (depth, messages["labels"]) if message is not None]
        self._foreign_frame = frames[0] if len(set(frames)) > 1 else ""

    def _fail(self, text: str) -> None:
        self._failed += 1
        self._failures.tick()
        self._last_failure = shortened(text)
        self.get_logger().warning(f"no cloud: {self._last_failure}", throttle_duration_sec=LOG_THROTTLE_S)

    # -- diagnostics -------------------------------------------------------------------------------------------------

    def _report(self) -> None:
        self._follow_publishers()
        name = self.get_fully_qualified_name()
        troubles = list(self._troubles()) if self._inputs else []
        for text in troubles:
            self.get_logger().warning(text, throttle_duration_sec=LOG_THROTTLE_S)
        rate_hz = self._rate.per_second()
        idle = "" if self._inputs else f"nobody subscribes to {self._points.topic_name}"
        values = {
            "rate_hz": f"{rate_hz:.2f}",
            "published": self._published,
            "received": ", ".join(f"{topic}: {count}" for topic, count in sorted(self._received.items())),
            "unmatched": ", ".join(f"{topic}: {count}" for topic, count in sorted(self._matcher.unmatched.items())),
            "failed": self._failed,
            "last_failure": self._last_failure,
            **{f"making_p{p}_ms": f"{self._making.percentile_ms(p):.1f}" for p in (50, 99)},
            **{f"stamp_to_publish_p{p}_ms": f"{self._latency.percentile_ms(p):.1f}" for p in (50, 99)},
        }
        status = DiagnosticStatus(
            name=f"{name}: points",
            hardware_id=name,
            level=DiagnosticStatus.WARN if troubles else DiagnosticStatus.OK,
            message="; ".join(troubles) or idle or f"{rate_hz:.1f} Hz",
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _troubles(self) -> Iterator[str]:
        """Why no cloud comes, what explains the rest first; one line each."""
        now_s = time.monotonic()
        needed = (self.config.leader, *self.config.required, "camera_info_in")
        for name in needed:
            if now_s - max(self._last_s.get(name, 0.0), self._began_s) > SILENCE_S and not self._is_optional_now(name):
                yield self._silence(name)
        lost = sum(self._matcher.unmatched.values())
        if lost > self._unmatched_at_last_report and not self._rate.in_window():
            yield from (self._mismatch(name) for name in self._matcher.unmatched if self._received[name])
        self._unmatched_at_last_report = lost
        if self._foreign_frame:
            yield (
                f"{self._inputs['depth'].topic_name} is in frame {self._foreign_frame!r}, which is not that of the labels: "
                "points get wrong labels where depth is not registered to the labelled camera: give aligned depth"
            )
        if self._failures.in_window():
            yield f"no cloud: {self._last_failure}"

    def _is_optional_now(self, name: str) -> bool:
        """A calibration once heard is enough, and relabelling the camera's own cloud needs none."""
        return name == "camera_info_in" and (self._info is not None or bool(self._rate.in_window()))

    def _silence(self, name: str) -> str:
        topic = self._inputs[name].topic_name
        publishers = self.get_publishers_info_by_topic(topic)
        if not publishers:
            return f"nobody publishes {topic}: remap {name} to the topic that has it"
        wanted = self._inputs[name].msg_type.__name__
        types = sorted({info.topic_type for info in publishers if not info.topic_type.endswith(f"/{wanted}")})
        if types:
            return f"{topic} is {', '.join(types)}, and {name} wants {wanted}"
        if self._received[name]:
            return f"nothing has come on {topic} for {time.monotonic() - self._last_s[name]:.0f} s"
        return f"nothing comes on {topic}, although it has a publisher: does its quality of service fit?"

    def _mismatch(self, name: str) -> str:
        leader = self._inputs[self.config.leader].topic_name
        apart_s = self._matcher.furthest_ns.get(name, 0) / NANOSECONDS
        return (
            f"{self._inputs[name].topic_name} has nothing within {self.config.slop_s} s of the stamps of {leader}, "
            f"the nearest is {apart_s:+.3f} s off: raise slop_s, or queue_size if labels take long"
        )


def run(
    *,
    parameter_files: Sequence[str],
    on_created: Callable[[Callable[[], None]], None],
    on_ready: Callable[[], None],
) -> None:
    """Run the node until it is interrupted, and end the process. Exit code 2 if it cannot start.

    ROS must have been started.

    Args:
        parameter_files: See `CloudNode`.
        on_created: Called with what makes the node leave the graph, for whoever ends the process while it starts.
        on_ready: Called when a signal does not interrupt the start any more, but the node's work.
    """

    def serve() -> int:
        node = CloudNode(parameter_files=parameter_files)
        give_way(node.config.niceness)
        on_created(node.destroy_node)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        on_ready()
        executor.spin()
        return 0

    serve_and_leave("cloud_node", serve)
