"""The lifecycle node: camera images in, label images out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Condition

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleNodeMixin, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node

from mpvss_model import ConfigError, MPVSSError, StreamConfig, VideoSegmentor
from mpvss_model.errors import first_line
from mpvss_model.runtime.threads import step_back, use_threads
from mpvss_ros.diagnostics.statuses import camera_statuses, model_status
from mpvss_ros.node.camera import Camera, image_topic
from mpvss_ros.node.class_map import ClassMap
from mpvss_ros.node.frame_thread import FrameThread
from mpvss_ros.node.parameters import PARAMETERS, NodeConfig, checked_config, declare_parameters
from mpvss_ros.process.node_process import serve_and_leave
from mpvss_ros.process.overrides import unused_overrides
from mpvss_ros.process.parameter_files import files_without_effect

__all__ = ["SegmentationNode", "run"]

DIAGNOSTICS_PERIOD_S = 1.0
STOP_TIMEOUT_S = 1.0
# At the end of the process, whose whole end may take two seconds.
EXIT_TIMEOUT_S = 0.5
# What a model is loaded with.
MODEL_PARAMETERS = ("model", "device", "propagation", "precision", "execution", "threads", "thing_classes")


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready for work, and the values of `MODEL_PARAMETERS` that it was loaded with."""

    model: VideoSegmentor
    settings: tuple[object, ...]


class SegmentationNode(LifecycleNode):
    """Wires cameras and one `VideoSegmentor` together.

    ``configure`` loads the model, ``activate`` subscribes to the cameras, ``deactivate`` and ``cleanup`` undo that.

    Args:
        load_model: Takes the arguments of `VideoSegmentor.from_pretrained`.
        load_early: Load the model before the lifecycle services appear, unless the node starts by itself, so that
            ``configure`` answers at once: managers wait for the services as long as it takes, but not for their answers. A
            model that cannot be loaded is no error yet.
        on_created: Called with the node as soon as it is in the graph, before anything takes time.
        parameter_files: Paths of those that the command line names, to warn of them if they hold nothing for this node.
        kwargs: For `rclpy.node.Node`.

    Raises:
        ConfigError: If a parameter's value cannot be used.
    """

    def __init__(
        self,
        *,
        load_model: Callable[..., VideoSegmentor] = VideoSegmentor.from_pretrained,
        load_early: bool = False,
        on_created: Callable[[SegmentationNode], None] = lambda node: None,
        parameter_files: Sequence[str] = (),
        **kwargs,
    ) -> None:
        # What `LifecycleNode` does, with a pause before the second part.
        Node.__init__(self, "segmentation", namespace="mpvss", **kwargs)
        on_created(self)
        self._load_model = load_model
        self.config: NodeConfig = declare_parameters(self)
        self._warn_of_what_has_no_effect(parameter_files)
        self._loaded: LoadedModel | None = self._loaded_early() if load_early and not self.config.autostart else None
        LifecycleNodeMixin.__init__(self)
        self._model: VideoSegmentor | None = None
        self._class_names: tuple[str, ...] = ()
        self._cameras: list[Camera] = []
        self._inference: FrameThread | None = None
        self._drawing: FrameThread | None = None
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self.add_post_set_parameters_callback(self._after_set_parameters)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # A steady clock, so that the report comes once a second in simulated time too.
        self.create_timer(DIAGNOSTICS_PERIOD_S, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME))

    # -- lifecycle ---------------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and start the thread that works with it; fails with a line in the log."""
        return self._transition("configure", self._configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the cameras."""
        return self._transition("activate", self._activate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe from the cameras; the frame at hand is given a second to be answered."""
        return self._transition("deactivate", self._deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free what ``configure`` took."""
        return self._transition("clean up", self._clean_up)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop working and free everything, from any state."""
        return self._transition("shut down", self.release)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything after a transition that raised, so that ``configure`` may be tried again."""
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
        loaded, self._loaded = self._loaded, None
        # Parameters may have changed since.
        if loaded is None or loaded.settings != self._model_settings:
            loaded = self._load()
        config, model = self.config, loaded.model
        class_map = ClassMap(model.class_names, config.class_map_entries)
        if not class_map.names:
            self.get_logger().warning("parameter 'class_map' leaves none of the model's classes: all pixels are unlabeled")
        class_map.groups(config.score_class_names)
        self._model, self._class_names = model, class_map.names
        changed, drawings_changed = Condition(), Condition()
        self._cameras = [
            Camera(
                self,
                name=name,
                stream=_ready_stream(model, config.stream),
                class_map=class_map,
                config=config,
                changed=changed,
                drawings_changed=drawings_changed,
            )
            for name in config.camera_names
        ]
        # One thread until the model goes, so that an old frame and a new one are never worked on together.
        cameras = self._cameras
        self._inference = FrameThread(
            changed=changed,
            work=[(camera.mailbox, camera.process) for camera in cameras],
            on_end=lambda: [camera.close_stream() for camera in cameras],
        )
        self._drawing = FrameThread(
            changed=drawings_changed,
            work=[(camera.drawings, camera.draw) for camera in cameras],
            name="drawing",
            on_start=step_back,
        )

    def _activate(self) -> None:
        for camera in self._cameras:
            camera.subscribe()

    def _deactivate(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        for camera in self._cameras:
            camera.unsubscribe()
        deadline_s = time.monotonic() + timeout_s
        if self._inference is not None and not self._inference.wait_until_idle(timeout_s):
            self.get_logger().warning("the frame at hand is taking long; its result will be discarded")
        if self._drawing is not None:
            self._drawing.wait_until_idle(max(0.0, deadline_s - time.monotonic()))
        for camera in self._cameras:
            camera.silence()

    def _clean_up(self) -> None:
        if self._inference is not None:
            # A frame that is still at work has had its time; the thread ends with it.
            self._inference.stop(timeout_s=0.0)
        if self._drawing is not None:
            self._drawing.stop(timeout_s=0.0)
        self._inference = self._drawing = None
        for camera in self._cameras:
            camera.destroy()
        self._cameras = []
        self._model = None

    def release(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Stop working and free everything, from any state.

        Args:
            timeout_s: How long to wait for the frame at hand.
        """
        self._deactivate(timeout_s)
        self._clean_up()

    def destroy_node(self) -> None:
        """Leave the graph."""
        super().destroy_node()
        # It holds the node as well, and rclpy does not let go of it. A node that was refused its parameters has none.
        if hasattr(self, "_state_machine"):
            self._state_machine.destroy_when_not_in_use()

    # -- the model ---------------------------------------------------------------------------------------------------

    @property
    def _model_settings(self) -> tuple[object, ...]:
        return tuple(getattr(self.config, name) for name in MODEL_PARAMETERS)

    def _load(self) -> LoadedModel:
        """Load the model that the parameters name, and pay its one-time costs."""
        config, settings, started_s = self.config, self._model_settings, time.monotonic()
        use_threads(config.threads)
        model = self._load_model(
            config.model,
            device=config.device,
            propagation=config.propagation,
            precision=config.precision,
            config=config.stream,
            execution=config.execution,
            report=self.get_logger().info,
            thing_classes=config.thing_class_names,
        )
        model.warm_up()
        self.get_logger().info(
            f"model {model.segmentor.name} with {len(model.class_names)} classes and {model.propagator.name} propagation "
            f"ready on {model.segmentor.device} in {model.precision} after {time.monotonic() - started_s:.1f} s"
        )
        return LoadedModel(model, settings)

    def _loaded_early(self) -> LoadedModel | None:
        try:
            return self._load()
        except Exception as error:  # whatever it is, configuring meets it again and says so to whoever asks for that
            self.get_logger().warning(f"the model cannot be loaded yet: {first_line(error)}")
            return None

    # -- callbacks ---------------------------------------------------------------------------------------------------

    def _on_set_parameters(self, parameters) -> SetParametersResult:
        """Check all changes of one request together; others may still refuse them, so that none takes effect yet."""
        try:
            config = self._changed_config(parameters)
            old, new = self.config.values, config.values
            fixed = [p.name for p in PARAMETERS if not p.live and new[p.name] != old[p.name]]
            if fixed and self._model is not None:
                raise ConfigError(f"parameter {fixed[0]!r} cannot change while a model is loaded: clean up the node first")
        except MPVSSError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _after_set_parameters(self, parameters) -> None:
        """Have all changes of one request take effect together."""
        self.config = self._changed_config(parameters)
        for camera in self._cameras:
            camera.apply(self.config)

    def _changed_config(self, parameters) -> NodeConfig:
        names = {row.name for row in PARAMETERS}
        return checked_config({**self.config.values, **{p.name: p.value for p in parameters if p.name in names}})

    def _warn_of_what_has_no_effect(self, parameter_files: Sequence[str]) -> None:
        texts = files_without_effect(parameter_files, self.get_fully_qualified_name())
        texts += unused_overrides(
            self._parameter_overrides,
            declared=self._parameters,
            image_topics=[image_topic(self, name, self.config) for name in self.config.camera_names],
        )
        for text in texts:
            self.get_logger().warning(text)

    def _publish_diagnostics(self) -> None:
        now, node_name = self.get_clock().now(), self.get_fully_qualified_name()
        message = DiagnosticArray()
        message.header.stamp = now.to_msg()
        for camera in self._cameras:
            message.status += camera_statuses(
                camera.statistics,
                node_name=node_name,
                camera=camera.name,
                dropped=camera.dropped,
                check=camera.check(),
                now_s=now.nanoseconds * 1e-9,
            )
        message.status.append(model_status(self._model, node_name=node_name, class_names=self._class_names))
        self._diagnostics.publish(message)


def _ready_stream(model: VideoSegmentor, config: StreamConfig) -> VideoSegmentor:
    """A stream of a model that is warm, ready for its first frame."""
    stream = model.new_stream(config)
    if model.segmentor.device.type == "cuda":
        # CUDA graphs of the propagation are each stream's own; on a CPU there is nothing to capture.
        stream.warm_up()
    return stream


def run(
    *,
    parameter_files: Sequence[str],
    on_created: Callable[[Callable[[], None]], None],
    on_ready: Callable[[], None],
) -> None:
    """Run the node until it is interrupted, and end the process. Exit code 2 if it cannot start.

    ROS must have been started.

    Args:
        parameter_files: See `SegmentationNode`.
        on_created: Called with what makes the node leave the graph, for whoever ends the process while it starts.
        on_ready: Called when a signal does not interrupt the start any more, but the node's work.
    """
    node: SegmentationNode | None = None

    def serve() -> int:
        nonlocal node
        node = SegmentationNode(
            load_early=True, parameter_files=parameter_files, on_created=lambda node: on_created(node.destroy_node)
        )
        return _serve(node, on_ready)

    def tidy_up() -> None:
        if node is None:
            return
        with suppress(Exception):  # the context may be gone
            node.release(EXIT_TIMEOUT_S)
        node.destroy_node()

    serve_and_leave("segmentation_node", serve, tidy_up=tidy_up)


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
