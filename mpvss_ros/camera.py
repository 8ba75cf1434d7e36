"""One camera: its subscriptions, its stream of the model, its outputs, services and statistics."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from threading import Condition

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_srvs.srv import SetBool, Trigger

from mpvss_model import FrameError, VideoSegmentor
from mpvss_model.errors import PropagationError, SegmentorError, StaleKeyFrameError, first_line
from mpvss_model.sixteen_bits import SixteenBitRange
from mpvss_ros.class_map import ClassMap
from mpvss_ros.conversions import rgb_from_message, stamp_ns
from mpvss_ros.latest_frame import FrameMailbox
from mpvss_ros.outputs import Outputs
from mpvss_ros.parameters import NodeConfig
from mpvss_ros.statistics import CameraStatistics

__all__ = ["Camera"]

LOG_THROTTLE_S = 5.0
# Results that wait for a subscriber that is held up. In lossless mode none may be overwritten.
REALTIME_RESULTS = 2
# Why a frame that was fine gets no labels.
UNANSWERED = {
    SegmentorError: "no key frame",
    StaleKeyFrameError: "masks too old",
    PropagationError: "propagation failed",
}


class Camera:
    """Answers the images of one camera with labels.

    The executor's callbacks only fill the mailbox and note what services ask for; `process` is for the inference thread.

    Args:
        node: Owns publishers, subscriptions and services.
        name: Goes before the names of all topics and services; empty if the node has only one camera.
        stream: The camera's own stream of the model.
        class_map: Published classes.
        config: See `apply`.
    """

    def __init__(
        self, node: LifecycleNode, *, name: str, stream: VideoSegmentor, class_map: ClassMap, config: NodeConfig
    ) -> None:
        self.name = name
        self.statistics = CameraStatistics()
        self._node = node
        self._prefix = f"{name}/" if name else ""
        self._stream = stream
        self._mailbox: FrameMailbox | None = None
        self._subscriptions: list = []
        self._requests: deque[Callable[[], None]] = deque()
        self._camera_info: CameraInfo | None = None
        self.apply(config)
        self._outputs = Outputs(
            node,
            prefix=self._prefix,
            class_map=class_map,
            depth=config.queue_size if config.mode == "lossless" else REALTIME_RESULTS,
            on_incompatible_qos=self._on_incompatible_qos,
        )
        self._services = [
            node.create_service(service_type, f"~/{self._prefix}{service}", callback)
            for service_type, service, callback in (
                (Trigger, "request_key_frame", self._on_request_key_frame),
                (Trigger, "reset", self._on_reset),
                (SetBool, "set_enabled", self._on_set_enabled),
            )
        ]

    def apply(self, config: NodeConfig) -> None:
        """Take over changed parameters, from the next frame on."""
        self._config = config
        self._stream.config = config.stream

    @property
    def dropped(self) -> dict[str, int]:
        """Frames that were fine but never looked at, by reason."""
        reason = "queue full" if self._config.mode == "lossless" else "newer frame"
        mailbox_dropped = 0 if self._mailbox is None else self._mailbox.dropped
        return {reason: mailbox_dropped, "disabled": self.statistics.dropped_while_disabled}

    def open_mailbox(self, changed: Condition) -> FrameMailbox:
        """Start the stream anew and make room for its frames.

        Args:
            changed: Is notified of each frame.
        """
        lossless = self._config.mode == "lossless"
        self._stream.reset()
        self._sixteen_bits = SixteenBitRange(report=self._node.get_logger().info)
        self._mailbox = FrameMailbox(
            capacity=self._config.queue_size if lossless else 1, newest_wins=not lossless, changed=changed
        )
        return self._mailbox

    def subscribe(self) -> None:
        """Listen to the camera."""
        message_type, topic = Image, self._node.resolve_topic_name(self._prefix + "image")
        if self._config.image_transport == "compressed":
            message_type, topic = CompressedImage, topic + "/compressed"
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        if self._config.mode == "lossless":
            qos = QoSProfile(depth=self._config.queue_size, reliability=ReliabilityPolicy.RELIABLE)
        self._subscriptions = [
            self._node.create_subscription(
                message_type,
                topic,
                self._on_image,
                qos,
                event_callbacks=SubscriptionEventCallbacks(incompatible_qos=lambda _: self._on_incompatible_qos(topic)),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            ),
            self._node.create_subscription(
                CameraInfo, self._prefix + "camera_info_in", self._on_camera_info, qos_profile_sensor_data
            ),
        ]
        self._node.get_logger().info(f"waiting for {message_type.__name__} on {topic}")

    def unsubscribe(self) -> None:
        """Stop listening; frames that wait are not answered any more."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def destroy(self) -> None:
        """Free everything."""
        self.unsubscribe()
        for service in self._services:
            self._node.destroy_service(service)
        self._outputs.destroy()
        self._stream.close()

    # -- callbacks ---------------------------------------------------------------------------------------------------

    def _on_image(self, message: Image | CompressedImage) -> None:
        self.statistics.count_input()
        if self.statistics.enabled and not self._mailbox.put(message):
            self._node.get_logger().error(
                f"queue of {self._config.queue_size} frames is full: frame dropped; raise queue_size or replay slower",
                throttle_duration_sec=LOG_THROTTLE_S,
            )

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._camera_info = message

    def _on_incompatible_qos(self, topic: str) -> None:
        with self.statistics.lock:
            self.statistics.incompatible_qos[topic] += 1
        self._node.get_logger().warning(
            f"incompatible QoS on {topic}: no messages will pass between this node and that peer; compare their "
            f"reliability and durability with 'ros2 topic info -v {topic}'",
            throttle_duration_sec=LOG_THROTTLE_S,
        )

    def _on_request_key_frame(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._requests.append(self._stream.request_key_frame)
        response.success, response.message = True, "the next frame becomes a key frame"
        return response

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._requests.append(self._stream.reset)
        response.success, response.message = True, "the stream starts anew with the next frame"
        return response

    def _on_set_enabled(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        with self.statistics.lock:
            self.statistics.enabled = request.data
        if not request.data and self._mailbox is not None:
            self._mailbox.clear()
        response.success, response.message = True, "frames are answered" if request.data else "frames are dropped"
        return response

    # -- the inference thread ----------------------------------------------------------------------------------------

    def process(self, message: Image | CompressedImage) -> None:
        """Answer one frame. Whatever happens to it, the next one may be fine: nothing is raised."""
        started_s = time.monotonic()
        try:
            self._answer(message, started_s)
        except FrameError as error:
            self.statistics.count_rejection(error.reason, str(error))
            self._log_throttled(f"frame not used: {error}")
        except tuple(UNANSWERED) as error:
            self.statistics.count_unanswered(UNANSWERED[type(error)], str(error))
            self._log_throttled(f"frame not answered: {error}")
        except Exception as error:
            if self._node.context.ok():  # else the publishers are gone
                text = f"{type(error).__name__}: {first_line(error)}"
                self.statistics.count_unanswered("error", text)
                self._log_throttled(f"frame failed: {text}")

    def _answer(self, message: Image | CompressedImage, started_s: float) -> None:
        while self._requests:
            self._requests.popleft()()
        self._sixteen_bits.significant_bits = self._config.significant_bits
        frame = rgb_from_message(message, max_image_pixels=self._config.max_image_pixels, sixteen_bits=self._sixteen_bits)
        segmentation = self._stream.step(frame, stamp_ns=stamp_ns(message))
        self._outputs.publish(
            message.header,
            frame,
            segmentation,
            camera_info=self._camera_info,
            config=self._config,
        )
        latency_s = (self._node.get_clock().now().nanoseconds - segmentation.stamp_ns) * 1e-9
        self.statistics.count_output(segmentation, processing_s=time.monotonic() - started_s, latency_s=latency_s)

    def _log_throttled(self, text: str) -> None:
        self._node.get_logger().warning(text, throttle_duration_sec=LOG_THROTTLE_S)
