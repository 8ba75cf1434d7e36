"""One camera: its subscriptions, its stream of the model, its outputs, services and statistics."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Condition, Lock

import numpy as np
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_srvs.srv import SetBool, Trigger

from mpvss_model import FrameError, VideoSegmentor
from mpvss_model.errors import UNANSWERED_REASONS, first_line
from mpvss_model.images.reduced_image import ReducedImage
from mpvss_model.images.sixteen_bits import SixteenBitRange
from mpvss_model.instances.thing_classes import why_none
from mpvss_ros.diagnostics.camera_check import CameraCheck
from mpvss_ros.diagnostics.camera_info_check import camera_info_trouble
from mpvss_ros.diagnostics.clock_check import clock_trouble
from mpvss_ros.diagnostics.frame_sequence import FrameSequence
from mpvss_ros.diagnostics.statistics import CameraStatistics
from mpvss_ros.diagnostics.topic_check import check_inputs, check_outputs
from mpvss_ros.messages.conversions import encoding_name, reduced_rgb_from_message, rgb_from_message, stamp_ns
from mpvss_ros.node.class_map import ClassMap
from mpvss_ros.node.label_outputs import Picture
from mpvss_ros.node.mailbox import FrameMailbox
from mpvss_ros.node.outputs import Outputs
from mpvss_ros.node.parameters import NodeConfig
from mpvss_ros.process.best_subscription import best_subscription, followed

__all__ = ["Camera", "image_topic"]

LOG_THROTTLE_S = 5.0
CALIBRATION_DEPTH = 5
# A camera may well start after the node.
NO_CAMERA_LOG_S = 5.0
# Results that wait for a subscriber that is held up. In lossless mode none may be overwritten.
REALTIME_RESULTS = 2
# Frames whose pictures wait to be drawn: many do not make drawing faster, and each may hold megabytes. Where none may be
# lost, inference waits for a place.
REALTIME_DRAWINGS, LOSSLESS_DRAWINGS = 1, 4


def image_topic(node: Node, camera: str, config: NodeConfig) -> str:
    """The full name of the topic that a camera's images come on, as the command line remaps it.

    Args:
        node: Knows the remappings.
        camera: Its name; empty if the node has only one.
        config: Raw or compressed images.
    """
    topic = node.resolve_topic_name(f"{camera}/image" if camera else "image")
    # The name of a compressed topic may itself be remapped.
    return node.resolve_topic_name(topic + "/compressed") if config.image_transport == "compressed" else topic


@dataclass(frozen=True)
class Drawing:
    """The pictures of one frame.

    Attributes:
        pictures: To be drawn and published one after the other.
        activation: How often the camera had been silenced when the frame's labels were published.
    """

    pictures: list[Picture]
    activation: int


class Camera:
    """Answers the images of one camera with labels.

    The executor's callbacks only fill the mailbox and note what is asked for; `process` and `close_stream` are for the
    inference thread, which alone touches the stream; `draw` is for a thread that labels do not wait for.

    Args:
        node: Owns publishers, subscriptions and services.
        name: Goes before the names of all topics and services; empty if the node has only one camera.
        stream: The camera's own stream of the model.
        class_map: Published classes.
        config: See `apply`.
        changed: Is notified of each frame in the mailbox.
        drawings_changed: Likewise, of each drawing.

    Attributes:
        mailbox: Frames for `process`.
        drawings: Pictures for `draw`.
    """

    def __init__(
        self,
        node: LifecycleNode,
        *,
        name: str,
        stream: VideoSegmentor,
        class_map: ClassMap,
        config: NodeConfig,
        changed: Condition,
        drawings_changed: Condition,
    ) -> None:
        self.name = name
        self.statistics = CameraStatistics()
        self._node = node
        self._prefix = f"{name}/" if name else ""
        self._stream = stream
        lossless = config.mode == "lossless"
        self.mailbox = FrameMailbox(capacity=config.queue_size if lossless else 1, newest_wins=not lossless, changed=changed)
        drawings = LOSSLESS_DRAWINGS if lossless else REALTIME_DRAWINGS
        self.drawings = FrameMailbox(capacity=drawings, newest_wins=not lossless, changed=drawings_changed)
        self._put_drawing = self.drawings.put_when_free if lossless else self.drawings.put
        self._subscriptions: list[Subscription] = []
        self._subscribed_s = 0.0
        # Orders what is asked for and the publication of the frame at hand: none is published after it was called off.
        self._lock = Lock()
        # The same for pictures, so that labels do not wait for them; taken after the first one.
        self._drawing_lock = Lock()
        self._is_active = False
        self._silenced = 0
        self._reset_requested = False
        self._key_frame_requested = False
        self._sequence = FrameSequence()
        self._sixteen_bits = SixteenBitRange(report=node.get_logger().info)
        self._camera_info: CameraInfo | None = None
        self._known_troubles: set[str] = set()
        self.apply(config)
        self._outputs = Outputs(
            node,
            prefix=self._prefix,
            class_map=class_map,
            config=config,
            depth=config.queue_size if lossless else REALTIME_RESULTS,
            why_no_things="" if stream.things else why_none(stream.segmentor.name),
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
        """Take over changed parameters; the inference thread does, before it begins the next frame."""
        self._config = config

    @property
    def dropped(self) -> dict[str, int]:
        """Frames that were fine but are not answered, by reason, since the model was loaded."""
        reason = "queue full" if self._config.mode == "lossless" else "newer frame"
        with self.statistics.lock:
            return {reason: self.mailbox.dropped, **self.statistics.discarded}

    def subscribe(self) -> None:
        """Listen to the camera, and start its stream anew."""
        with self._lock:
            self._is_active = True
            self._reset_requested = True
            self.mailbox.revoke("deactivated")
        message_type = CompressedImage if self._config.image_transport == "compressed" else Image
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        if self._config.mode == "lossless":
            qos = QoSProfile(depth=self._config.queue_size, reliability=ReliabilityPolicy.RELIABLE)
        image = self._node.create_subscription(
            message_type,
            image_topic(self._node, self.name, self._config),
            self._on_image,
            qos,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        camera_info = best_subscription(
            self._node, CameraInfo, self._prefix + "camera_info_in", self._on_camera_info, depth=CALIBRATION_DEPTH
        )
        self._subscriptions = [image, camera_info]
        self._subscribed_s = time.monotonic()
        self._node.get_logger().info(f"waiting for {message_type.__name__} on {image.topic_name}")

    def unsubscribe(self) -> None:
        """Stop listening; frames that wait are not answered any more."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []
        self.statistics.count_discarded("deactivated", self.mailbox.clear())

    def silence(self) -> None:
        """Publish nothing until `subscribe`, not even of a frame at hand; when this returns, nothing more will be."""
        with self._lock, self._drawing_lock:
            self._is_active = False
            self._silenced += 1
            self.mailbox.revoke("deactivated")
            self.drawings.clear()

    def destroy(self) -> None:
        """Free what belongs to the node."""
        self.unsubscribe()
        self.drawings.close()
        for service in self._services:
            self._node.destroy_service(service)
        self._outputs.destroy()

    def check(self) -> CameraCheck:
        """Look for what is wrong with the camera and its peers, and log what is new."""
        if not self._subscriptions:
            return CameraCheck(active=False, outputs=check_outputs(self._node, self._outputs.publishers))
        image, camera_info = self._subscriptions
        camera_info = followed(self._node, camera_info)
        self._subscriptions = [image, camera_info]
        inputs = check_inputs(self._node, image=image, camera_info=camera_info, argument=f"{self._prefix}image")
        found = CameraCheck(
            active=True,
            image_topic=image.topic_name,
            camera_info_topic=camera_info.topic_name,
            inputs=inputs,
            outputs=check_outputs(self._node, self._outputs.publishers),
            sequence=tuple(self._sequence.troubles()) if self.statistics.input_rate.in_window() else (),
            camera_info=camera_info_trouble(
                camera_info.topic_name,
                self._camera_info,
                self._sequence.newest_size,
                is_wanted=self._outputs.camera_info_is_wanted,
            ),
            clock=clock_trouble(
                use_sim_time=self._node.get_parameter("use_sim_time").value,
                now_ns=self._node.get_clock().now().nanoseconds,
            ),
        )
        is_early = time.monotonic() - self._subscribed_s <= NO_CAMERA_LOG_S
        # Cameras and clocks that are there need a moment to be found.
        too_early = {inputs.nobody, found.clock} if is_early else set()
        self._log_new(set(found.to_log) - too_early)
        return found

    def _log_new(self, troubles: set[str]) -> None:
        for text in sorted(troubles - self._known_troubles):
            self._node.get_logger().warning(text)
        self._known_troubles = troubles

    # -- callbacks ---------------------------------------------------------------------------------------------------

    def _on_image(self, message: Image | CompressedImage) -> None:
        self.statistics.count_input()
        if self.statistics.enabled and not self.mailbox.put(message):
            self._node.get_logger().error(
                f"queue of {self._config.queue_size} frames is full: frame dropped; raise queue_size or replay slower",
                throttle_duration_sec=LOG_THROTTLE_S,
            )

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._camera_info = message

    def _on_request_key_frame(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        with self._lock:
            self._key_frame_requested = True
        response.success, response.message = True, "the next frame becomes a key frame"
        return response

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        with self._lock:
            self._reset_requested = True
            self.mailbox.revoke("reset")
        response.success, response.message = True, "the stream starts anew with the next frame"
        return response

    def _on_set_enabled(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        with self.statistics.lock:
            self.statistics.enabled = request.data
        if not request.data:
            self.statistics.count_discarded("disabled", self.mailbox.clear())
            with self._lock:
                self.mailbox.revoke("disabled")
        response.success, response.message = True, "frames are answered" if request.data else "frames are dropped"
        return response

    # -- the inference thread ----------------------------------------------------------------------------------------

    def process(self, message: Image | CompressedImage) -> None:
        """Answer one frame. Whatever happens to it, the next one may be fine: nothing is raised."""
        started_s = time.monotonic()
        self.statistics.begin()
        try:
            self._answer(message, started_s)
        except FrameError as error:
            self.statistics.count_rejection(error.reason, str(error))
            self._log_throttled(f"frame not used: {error}")
        except tuple(UNANSWERED_REASONS) as error:
            self.statistics.count_unanswered(UNANSWERED_REASONS[type(error)], str(error))
            self._log_throttled(f"frame not answered: {error}")
        except Exception as error:
            if self._node.context.ok():  # else the publishers are gone
                text = f"{type(error).__name__}: {first_line(error)}"
                self.statistics.count_unanswered("error", text)
                self._log_throttled(f"frame failed: {text}")
        finally:
            self.statistics.end()

    def close_stream(self) -> None:
        """Forget the stream and what is being made for it."""
        self._stream.close()

    def draw(self, drawing: Drawing) -> None:
        """Publish what is left of a frame. Whatever happens to it, its labels are out: nothing is raised."""
        try:
            for picture in drawing.pictures:
                message = picture.draw()
                with self._drawing_lock:
                    if drawing.activation != self._silenced:
                        return
                    picture.publisher.publish(message)
        except Exception as error:
            if self._node.context.ok():  # else the publishers are gone
                self._log_throttled(f"pictures of a frame failed: {type(error).__name__}: {first_line(error)}")

    def _answer(self, message: Image | CompressedImage, started_s: float) -> None:
        config = self._begin()
        decoding = config.decoding
        self._sixteen_bits.significant_bits = decoding.significant_bits
        image = reduced_rgb_from_message(
            message,
            needed_size=self._stream.inference_size,
            max_image_pixels=decoding.max_image_pixels,
            sixteen_bits=self._sixteen_bits,
        )
        height, width = image.size
        self._sequence.add(stamp_ns=stamp_ns(message), frame_id=message.header.frame_id, width=width, height=height)
        self.statistics.note_image(width=width, height=height, encoding=encoding_name(message))
        segmentation = self._stream.step(image.pixels, stamp_ns=stamp_ns(message), frame_size=image.size)
        with self._lock:
            if self.mailbox.revoked or not self._is_active:
                self.statistics.count_discarded(self.mailbox.revoked or "deactivated")
                return
            pictures = self._outputs.publish(
                message.header,
                segmentation,
                whole_frame=_whole_frame(message, image, decoding.max_image_pixels),
                camera_info=self._camera_info,
                config=config,
            )
            latency_s = (self._node.get_clock().now().nanoseconds - segmentation.stamp_ns) * 1e-9
            self._outputs.publish_confidence(message.header, segmentation, config)
            drawing = Drawing(pictures, activation=self._silenced)
        self.statistics.count_output(segmentation, processing_s=time.monotonic() - started_s, latency_s=latency_s)
        if pictures:
            self._put_drawing(drawing)
            self.statistics.note_pictures_dropped(self.drawings.dropped)

    def _begin(self) -> NodeConfig:
        """Do to the stream what was asked for since the last frame; returns the parameters of this one."""
        with self._lock:
            # What was asked for after this frame was called off is for the next one.
            if not self.mailbox.revoked:
                if self._reset_requested:
                    self._stream.reset()
                    self._sequence.clear()
                    self._sixteen_bits = SixteenBitRange(report=self._node.get_logger().info)
                if self._key_frame_requested:
                    self._stream.request_key_frame()
                self._reset_requested = self._key_frame_requested = False
            config = self._config
        if self._stream.config != config.stream:
            self._stream.config = config.stream
        self._stream.follows_things = self._outputs.things_are_wanted
        return config

    def _log_throttled(self, text: str) -> None:
        self._node.get_logger().warning(text, throttle_duration_sec=LOG_THROTTLE_S)


def _whole_frame(message: Image | CompressedImage, image: ReducedImage, max_image_pixels: int) -> Callable[[], np.ndarray]:
    """What returns a message's image at its own size, which is decoded once more where it was reduced."""
    if image.reduction == 1:
        return lambda: image.pixels
    return partial(rgb_from_message, message, max_image_pixels=max_image_pixels)
