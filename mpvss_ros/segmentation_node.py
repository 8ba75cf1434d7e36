"""The lifecycle node: camera images in, label images out."""

from __future__ import annotations

import os
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import asdict

import cv2
import rclpy
import torch
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mpvss_model import ConfigError, FrameError, MPVSSError, Segmentation, VideoSegmentor
from mpvss_ros.conversions import rgb_from_message, stamp_s
from mpvss_ros.diagnostics import diagnostic_array
from mpvss_ros.inference_thread import InferenceThread
from mpvss_ros.latest_frame import FrameMailbox
from mpvss_ros.outputs import Outputs
from mpvss_ros.parameters import PARAMETERS, NodeConfig, checked_config, declare_parameters
from mpvss_ros.statistics import NodeStatistics

__all__ = ["SegmentationNode", "main"]

DIAGNOSTICS_PERIOD_S = 1.0
LOG_THROTTLE_S = 5.0
SHUTDOWN_TIMEOUT_S = 1.5


class SegmentationNode(LifecycleNode):
    """Wires camera, `VideoSegmentor` and publishers together.

    ``configure`` loads the model, ``activate`` subscribes to the camera, ``deactivate`` and ``cleanup`` undo that.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__("segmentation", namespace="mpvss", **kwargs)
        self.config: NodeConfig = declare_parameters(self)
        self.statistics = NodeStatistics()
        self._segmentor: VideoSegmentor | None = None
        self._outputs: Outputs | None = None
        self._inference: InferenceThread | None = None
        self._subscriptions_to_camera: list = []
        self._camera_info: CameraInfo | None = None
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # A steady clock, so that the report comes once a second in simulated time too.
        self.create_timer(DIAGNOSTICS_PERIOD_S, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME))

    # -- lifecycle ---------------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("configure", self._configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("activate", self._activate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("deactivate", self._deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("clean up", self._clean_up)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("shut down", self.release)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("recover", self.release)

    def _transition(self, name: str, action) -> TransitionCallbackReturn:
        """Run a transition and log why it failed, since rclpy keeps exceptions of transitions to itself."""
        try:
            action()
        except MPVSSError as error:
            self.get_logger().error(f"cannot {name}: {error}")
            return TransitionCallbackReturn.FAILURE
        except Exception as error:
            self.get_logger().error(f"cannot {name}: {type(error).__name__}: {error}")
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        config = self.config
        if config.threads:
            torch.set_num_threads(config.threads)
            cv2.setNumThreads(config.threads)
        started_s = time.monotonic()
        self._segmentor = VideoSegmentor.from_pretrained(
            config.model,
            device=config.device,
            propagation=config.propagation,
            precision=config.precision,
            config=config.stream,
        )
        self._segmentor.warm_up()
        self._outputs = Outputs(
            self, class_names=self._segmentor.class_names, on_incompatible_qos=self._on_incompatible_qos
        )
        self.get_logger().info(
            f"model {self._segmentor.segmentor.name} with {len(self._segmentor.class_names)} classes ready on "
            f"{self._segmentor.segmentor.device} after {time.monotonic() - started_s:.1f} s"
        )

    def _activate(self) -> None:
        lossless = self.config.mode == "lossless"
        mailbox = FrameMailbox(capacity=self.config.queue_size if lossless else 1, newest_wins=not lossless)
        self._segmentor.reset()
        self._inference = InferenceThread(mailbox=mailbox, process=self._process)
        message_type, topic = Image, self.resolve_topic_name("image")
        if self.config.image_transport == "compressed":
            message_type, topic = CompressedImage, topic + "/compressed"
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        if lossless:
            qos = QoSProfile(depth=self.config.queue_size, reliability=ReliabilityPolicy.RELIABLE)
        events = SubscriptionEventCallbacks(incompatible_qos=lambda _: self._on_incompatible_qos(topic))
        self._subscriptions_to_camera = [
            self.create_subscription(
                message_type,
                topic,
                self._on_image,
                qos,
                event_callbacks=events,
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            ),
            self.create_subscription(CameraInfo, "camera_info_in", self._on_camera_info, qos_profile_sensor_data),
        ]
        self.get_logger().info(f"waiting for {message_type.__name__} on {topic}")

    def _deactivate(self) -> None:
        for subscription in self._subscriptions_to_camera:
            self.destroy_subscription(subscription)
        self._subscriptions_to_camera = []
        if self._inference is not None and not self._inference.stop(SHUTDOWN_TIMEOUT_S):
            self.get_logger().warning("the frame at hand is taking long; its result will be discarded")
        self._inference = None

    def _clean_up(self) -> None:
        if self._outputs is not None:
            self._outputs.destroy()
        self._outputs = None
        self._segmentor = None
        self._camera_info = None

    def release(self) -> None:
        """Stop working and free everything, from any state."""
        self._deactivate()
        self._clean_up()

    # -- callbacks: fill the mailbox, nothing else -------------------------------------------------------------------

    def _on_image(self, message: Image | CompressedImage) -> None:
        with self.statistics.lock:
            self.statistics.received += 1
            self.statistics.input_rate.tick()
        if not self._inference.mailbox.put(message):
            self.get_logger().error(
                f"queue of {self.config.queue_size} frames is full: frame dropped; raise queue_size or replay slower",
                throttle_duration_sec=LOG_THROTTLE_S,
            )

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._camera_info = message

    def _on_incompatible_qos(self, topic: str) -> None:
        with self.statistics.lock:
            self.statistics.incompatible_qos[topic] += 1
        self.get_logger().warning(
            f"incompatible QoS on {topic}: no messages will pass between this node and that peer; compare their "
            f"reliability and durability with 'ros2 topic info -v {topic}'",
            throttle_duration_sec=LOG_THROTTLE_S,
        )

    def _on_set_parameters(self, parameters) -> SetParametersResult:
        """Check all changes of one request together; apply them only if every one of them is fine."""
        changes = {p.name: p.value for p in parameters if p.name in {row.name for row in PARAMETERS}}
        try:
            if self._segmentor is not None:
                fixed = [row.name for row in PARAMETERS if row.name in changes and not row.live]
                if fixed:
                    raise ConfigError(f"parameter {fixed[0]!r} cannot change while a model is loaded: clean up the node first")
            self.config = checked_config({**asdict(self.config), **changes})
        except MPVSSError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if self._segmentor is not None:
            self._segmentor.config = self.config.stream
        return SetParametersResult(successful=True)

    def _publish_diagnostics(self) -> None:
        model = None
        if self._segmentor is not None:
            segmentor = self._segmentor.segmentor
            model = {
                "name": segmentor.name,
                "device": str(segmentor.device),
                "dtype": segmentor.dtype,
                "class_names": ", ".join(segmentor.class_names),
            }
        self._diagnostics.publish(
            diagnostic_array(
                self.statistics,
                stamp=self.get_clock().now().to_msg(),
                node_name=self.get_name(),
                dropped=self._inference.mailbox.dropped if self._inference is not None else 0,
                model=model,
            )
        )

    # -- the inference thread ----------------------------------------------------------------------------------------

    def _process(self, message: Image | CompressedImage) -> None:
        started_s = time.monotonic()
        try:
            frame = rgb_from_message(message)
            segmentation = self._segmentor.step(frame, stamp_s(message))
            self._outputs.publish(message.header, frame, segmentation, self._camera_info, self.config.overlay_alpha)
        except FrameError as error:
            with self.statistics.lock:
                self.statistics.rejected[error.reason] += 1
                self.statistics.last_rejection = str(error)
            self.get_logger().warning(f"frame not used: {error}", throttle_duration_sec=LOG_THROTTLE_S)
        except Exception as error:  # whatever the model does, the node lives on and says so
            if not self.context.ok():
                return
            with self.statistics.lock:
                self.statistics.failures += 1
                self.statistics.failing = True
                self.statistics.last_failure = f"{type(error).__name__}: {error}"
            self.get_logger().error(
                f"frame failed: {type(error).__name__}: {error}", throttle_duration_sec=LOG_THROTTLE_S
            )
        else:
            self._record(segmentation, time.monotonic() - started_s)

    def _record(self, segmentation: Segmentation, processing_s: float) -> None:
        statistics = self.statistics
        with statistics.lock:
            statistics.published += 1
            statistics.failing = False
            statistics.output_rate.tick()
            statistics.stamp_to_publish.add(self.get_clock().now().nanoseconds * 1e-9 - segmentation.stamp_s)
            statistics.key_frame_age_s = segmentation.stamp_s - segmentation.key_stamp_s
            if segmentation.is_key_frame:
                statistics.key_frames += 1
                statistics.key_frame_reasons[segmentation.key_frame_reason.value] += 1
                statistics.last_key_frame_reason = segmentation.key_frame_reason.value
                statistics.key_processing.add(processing_s)
            else:
                statistics.propagated_processing.add(processing_s)


def main(args: list[str] | None = None) -> None:
    """Run the node until it is interrupted. Exit code 2 if it cannot start."""
    rclpy.init(args=args)
    node, exit_code = None, 0
    try:
        node = SegmentationNode()
        exit_code = _run(node)
    except MPVSSError as error:
        print(f"segmentation_node: {error}", file=sys.stderr)
        exit_code = 2
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        # A callback that publishes while the context goes away fails, and that is no error.
        if rclpy.ok():
            traceback.print_exc()
            exit_code = 1
    if node is not None:
        with suppress(Exception):  # likewise
            node.release()
    rclpy.try_shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # A segmentor may still be inside a frame that takes seconds; leaving now is safe, it writes no files.
    os._exit(exit_code)


def _run(node: SegmentationNode) -> int:
    """Start the node, unless a manager does, and serve until the context ends; 2 if it does not start."""
    if node.config.autostart:
        for transition in (node.trigger_configure, node.trigger_activate):
            if transition() != TransitionCallbackReturn.SUCCESS:
                return 2
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    executor.spin()
    return 0


if __name__ == "__main__":
    main()
