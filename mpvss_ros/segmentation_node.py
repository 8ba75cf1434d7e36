"""The lifecycle node: camera images in, label images out."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from threading import Condition

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from mpvss_model import ConfigError, MPVSSError, VideoSegmentor
from mpvss_ros.camera import Camera
from mpvss_ros.class_map import ClassMap
from mpvss_ros.diagnostics import camera_statuses, model_status
from mpvss_ros.inference_thread import InferenceThread
from mpvss_ros.parameters import PARAMETERS, NodeConfig, checked_config, declare_parameters
from mpvss_ros.threads import use_threads

__all__ = ["SegmentationNode", "run"]

DIAGNOSTICS_PERIOD_S = 1.0
STOP_TIMEOUT_S = 1.0


class SegmentationNode(LifecycleNode):
    """Wires cameras and one `VideoSegmentor` together.

    ``configure`` loads the model, ``activate`` subscribes to the cameras, ``deactivate`` and ``cleanup`` undo that.

    Args:
        load_model: Takes the arguments of `VideoSegmentor.from_pretrained`.
        kwargs: For `rclpy.node.Node`.
    """

    def __init__(self, *, load_model: Callable[..., VideoSegmentor] = VideoSegmentor.from_pretrained, **kwargs) -> None:
        super().__init__("segmentation", namespace="mpvss", **kwargs)
        self._load_model = load_model
        self.config: NodeConfig = declare_parameters(self)
        self._model: VideoSegmentor | None = None
        self._class_names: tuple[str, ...] = ()
        self._cameras: list[Camera] = []
        self._inference: InferenceThread | None = None
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

    def _transition(self, name: str, action: Callable[[], None]) -> TransitionCallbackReturn:
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
        use_threads(config.threads)
        started_s = time.monotonic()
        model = self._load_model(
            config.model,
            device=config.device,
            propagation=config.propagation,
            precision=config.precision,
            config=config.stream,
        )
        class_map = ClassMap(model.class_names, config.class_map_entries)
        model.warm_up()
        self._model, self._class_names = model, class_map.names
        self._cameras = [
            Camera(self, name=name, stream=model.new_stream(), class_map=class_map, config=config)
            for name in config.camera_names
        ]
        self.get_logger().info(
            f"model {model.segmentor.name} with {len(self._class_names)} classes and {model.propagator.name} propagation "
            f"ready on {model.segmentor.device} after {time.monotonic() - started_s:.1f} s"
        )

    def _activate(self) -> None:
        changed = Condition()
        work = [(camera.open_mailbox(changed), camera.process) for camera in self._cameras]
        self._inference = InferenceThread(changed=changed, work=work)
        for camera in self._cameras:
            camera.subscribe()

    def _deactivate(self) -> None:
        for camera in self._cameras:
            camera.unsubscribe()
        if self._inference is not None and not self._inference.stop(STOP_TIMEOUT_S):
            self.get_logger().warning("the frame at hand is taking long; its result will be discarded")
        self._inference = None

    def _clean_up(self) -> None:
        for camera in self._cameras:
            camera.destroy()
        self._cameras = []
        self._model = None

    def release(self) -> None:
        """Stop working and free everything, from any state."""
        self._deactivate()
        self._clean_up()

    # -- callbacks ---------------------------------------------------------------------------------------------------

    def _on_set_parameters(self, parameters) -> SetParametersResult:
        """Check all changes of one request together; apply them only if every one of them is fine."""
        changes = {p.name: p.value for p in parameters if p.name in {row.name for row in PARAMETERS}}
        try:
            config = checked_config({**asdict(self.config), **changes})
            fixed = [row.name for row in PARAMETERS if row.name in changes and not row.live]
            if fixed and self._model is not None:
                raise ConfigError(f"parameter {fixed[0]!r} cannot change while a model is loaded: clean up the node first")
        except MPVSSError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self.config = config
        for camera in self._cameras:
            camera.apply(config)
        return SetParametersResult(successful=True)

    def _publish_diagnostics(self) -> None:
        now, node_name = self.get_clock().now(), self.get_name()
        message = DiagnosticArray()
        message.header.stamp = now.to_msg()
        for camera in self._cameras:
            message.status += camera_statuses(
                camera.statistics,
                node_name=node_name,
                camera=camera.name,
                dropped=camera.dropped,
                now_s=now.nanoseconds * 1e-9,
            )
        message.status.append(model_status(self._model, node_name=node_name, class_names=self._class_names))
        self._diagnostics.publish(message)


def run(args: list[str] | None = None, *, on_ready: Callable[[], None]) -> None:
    """Run the node until it is interrupted, and end the process. Exit code 2 if it cannot start.

    Args:
        args: Of the command line.
        on_ready: Called when a signal does not interrupt the start any more, but the node's work.
    """
    node, exit_code = None, 0
    try:
        rclpy.init(args=args)
        node = SegmentationNode()
        exit_code = _serve(node, on_ready)
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


def _serve(node: SegmentationNode, on_ready: Callable[[], None]) -> int:
    """Start the node, unless a manager does, and serve until the context ends; 2 if it does not start."""
    if node.config.autostart:
        for transition in (node.trigger_configure, node.trigger_activate):
            if transition() != TransitionCallbackReturn.SUCCESS:
                return 2
    on_ready()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    executor.spin()
    return 0
