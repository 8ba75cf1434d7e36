"""Looks at the running graph until it has seen enough, or its time is up."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters
from rclpy.client import Client
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.subscription import Subscription
from rclpy.task import Future
from rclpy.topic_endpoint_info import TopicEndpointInfo
from rclpy.utilities import get_rmw_implementation_identifier
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mpvss_model import FrameError
from mpvss_model.config import MAX_IMAGE_PIXELS
from mpvss_ros.diagnostics.graph import Endpoint
from mpvss_ros.diagnostics.statistics import shortened
from mpvss_ros.diagnostics.statuses import STALE_INPUT_RATE
from mpvss_ros.diagnostics.topic_check import COMPRESSED, RAW
from mpvss_ros.doctor.snapshot import CAMERA_INFO, GraphSnapshot, NodeStatus, SeenImage
from mpvss_ros.messages.conversions import encoding_name, rgb_from_message, stamp_ns

__all__ = ["look"]

# As long as nodes that have just been started may take to find each other.
SETTLE_S = 1.5
SPIN_S = 0.05
GRAPH_PERIOD_S = 0.25
PARAMETERS = ("image_transport", "max_image_pixels", "use_sim_time")
VARIABLES = (
    "ROS_DOMAIN_ID",
    "ROS_AUTOMATIC_DISCOVERY_RANGE",
    "ROS_LOCALHOST_ONLY",
    "ROS_STATIC_PEERS",
    "ROS_DISCOVERY_SERVER",
)
SHARED_MEMORY = Path("/dev/shm")
TYPES = {RAW: Image, COMPRESSED: CompressedImage, CAMERA_INFO: CameraInfo}


def look(node: str, *, image: str = "", timeout_s: float) -> GraphSnapshot:
    """Look at the graph that this process can see.

    Args:
        node: Full name of the segmentation node.
        image: Full name of the camera topic that it should read; empty for those that it does.
        timeout_s: How long to wait for what does not come. Where all is well it takes two seconds.
    """
    with _own_node() as (observer, spin):
        collector = _Collector(observer, node=node, image=image)
        began_s = time.monotonic()
        while True:
            waited_s = time.monotonic() - began_s
            snapshot = collector.snapshot(waited_s)
            if waited_s >= timeout_s or (waited_s >= SETTLE_S and _is_complete(snapshot)):
                return snapshot
            collector.ask(snapshot)
            until_s = time.monotonic() + min(GRAPH_PERIOD_S, timeout_s - waited_s)
            while (left_s := until_s - time.monotonic()) > 0:
                spin(min(SPIN_S, left_s))


@contextmanager
def _own_node() -> Iterator[tuple[Node, Callable[[float], None]]]:
    """A node beside those that this process may have already, and what spins it for so many seconds."""
    context = Context()
    rclpy.init(args=[], context=context)
    executor = SingleThreadedExecutor(context=context)
    # Its name is that of a hidden node, so that nobody takes it for a part of the robot, another doctor included.
    node = rclpy.create_node(
        f"_mpvss_doctor_{os.getpid()}", context=context, start_parameter_services=False, enable_rosout=False
    )
    executor.add_node(node)
    try:
        yield node, lambda seconds: executor.spin_once(timeout_sec=seconds)
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()


def _is_complete(seen: GraphSnapshot) -> bool:
    """Whether a node at work has said and shown all there is, so that waiting tells no more."""
    if not seen.is_running or seen.state is None or seen.parameters is None:
        return False
    if not seen.is_active:
        return True
    return (
        bool(seen.cameras)
        and all(camera.status and camera.status.number("rate_hz") >= STALE_INPUT_RATE for camera in seen.cameras)
        and all(camera.image.name in seen.images for camera in seen.cameras)
        and all(s.number("rate_hz") > 0 for s in seen.statuses if s.kind.endswith("output"))
        and all(topic.name in seen.camera_infos for topic in seen.reads(CAMERA_INFO) if seen.publishers(topic.name))
        and (seen.sim_time_ns is not None or not seen.uses_sim_time)
    )


@dataclass
class _Heard:
    """The newest message of a topic, and the clocks when it came.

    Attributes:
        message: Of any type.
        wall_ns: The system's clock.
        sim_ns: That of ``/clock``; None before its first message.
    """

    message: Any
    wall_ns: int
    sim_ns: int | None


@dataclass
class _Collector:
    """Asks and listens; `snapshot` is what is known by now.

    Attributes:
        observer: The doctor's own node.
        node: Full name of the segmentation node.
        image: Full name of the camera topic that it should read; empty for those that it does.
    """

    observer: Node
    node: str
    image: str
    _statuses: dict[str, NodeStatus] = field(default_factory=dict)
    _clouds: dict[str, NodeStatus] = field(default_factory=dict)
    _heard: dict[str, _Heard] = field(default_factory=dict)
    _seen_images: dict[str, SeenImage] = field(default_factory=dict)
    _sim_ns: int | None = None
    _subscriptions: dict[str, Subscription] = field(default_factory=dict)
    _clients: dict[type, Client] = field(default_factory=dict)
    _answers: dict[type, Future] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.observer.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.observer.create_subscription(Clock, "/clock", self._on_clock, qos_profile_sensor_data)

    def ask(self, seen: GraphSnapshot) -> None:
        """Ask the node, once it is there, and listen to a message of each of its topics."""
        if seen.is_running:
            self._call(GetState, "get_state", GetState.Request())
            self._call(GetParameters, "get_parameters", GetParameters.Request(names=list(PARAMETERS)))
        for camera in seen.cameras:
            self._listen(seen, camera.image.name, (RAW, COMPRESSED))
            if camera.camera_info:
                self._listen(seen, camera.camera_info.name, (CAMERA_INFO,))
        for topic in self._heard.keys() & self._subscriptions.keys():  # one of each is enough: images are large
            self.observer.destroy_subscription(self._subscriptions.pop(topic))

    def _call(self, service_type: type, name: str, request: Any) -> None:
        if service_type in self._answers:
            return
        if service_type not in self._clients:
            self._clients[service_type] = self.observer.create_client(service_type, f"{self.node}/{name}")
        if self._clients[service_type].service_is_ready():
            self._answers[service_type] = self._clients[service_type].call_async(request)

    def _listen(self, seen: GraphSnapshot, topic: str, type_names: Sequence[str]) -> None:
        if topic in self._subscriptions or topic in self._heard:
            return
        published = [end for end in seen.publishers(topic) if end.type_name in type_names]
        if published:
            type_name = published[0].type_name
            # Large images come whole where they are sent again; best effort hears every publisher.
            is_reliable = all(end.qos.reliability == ReliabilityPolicy.RELIABLE for end in published)
            reliability = ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT

            def note(message: Any) -> None:
                self._heard.setdefault(topic, _Heard(message, time.time_ns(), self._sim_ns))

            qos = QoSProfile(depth=1, reliability=reliability)
            self._subscriptions[topic] = self.observer.create_subscription(TYPES[type_name], topic, note, qos)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.hardware_id == self.node:
                self._statuses[status.name] = _node_status(status)
            elif status.name == f"{status.hardware_id}: points":
                self._clouds[status.hardware_id] = _node_status(status)

    def _on_clock(self, message: Clock) -> None:
        self._sim_ns = message.clock.sec * 10**9 + message.clock.nanosec

    def snapshot(self, waited_s: float) -> GraphSnapshot:
        """What is known by now."""
        own = self.observer.get_fully_qualified_name()
        topics = [name for name, _ in self.observer.get_topic_names_and_types()]
        published = {name: self.observer.get_publishers_info_by_topic(name) for name in topics}
        subscribed = {name: self.observer.get_subscriptions_info_by_topic(name) for name in topics}
        parameters = self._parameters()
        return GraphSnapshot(
            node=self.node,
            image=self.image,
            nodes=tuple(name for name in self._node_names() if name != own),
            published=_without(own, published),
            subscribed=_without(own, subscribed),
            state=self._state(),
            parameters=parameters,
            statuses=tuple(self._statuses.values()),
            clouds=dict(self._clouds),
            images=self._images(parameters),
            camera_infos={t: heard.message for t, heard in self._heard.items() if isinstance(heard.message, CameraInfo)},
            sim_time_ns=self._sim_ns,
            environment={name: os.environ[name] for name in VARIABLES if name in os.environ},
            rmw=get_rmw_implementation_identifier(),
            other_users=_other_users(),
            waited_s=waited_s,
        )

    def _images(self, parameters: dict[str, Any] | None) -> dict[str, SeenImage]:
        """By topic. Each is decoded once it is known what the node makes of images, which is set by its parameters."""
        messages = {topic: heard for topic, heard in self._heard.items() if not isinstance(heard.message, CameraInfo)}
        if parameters is None:
            return {topic: _seen_image(heard, {}) for topic, heard in messages.items()}
        for topic in messages.keys() - self._seen_images.keys():
            self._seen_images[topic] = _seen_image(messages[topic], parameters)
        return self._seen_images

    def _node_names(self) -> list[str]:
        """In full; without hidden ones, such as the daemon of the ros2 command."""
        names = self.observer.get_node_names_and_namespaces()
        return [f"{namespace.rstrip('/')}/{name}" for name, namespace in names if not name.startswith("_")]

    def _state(self) -> str | None:
        answer = self._answer(GetState)
        return answer.current_state.label if answer else None

    def _parameters(self) -> dict[str, Any] | None:
        answer = self._answer(GetParameters)
        if answer is None:
            return None
        values = map(parameter_value_to_python, answer.values)
        return {name: value for name, value in zip(PARAMETERS, values, strict=False) if value is not None}

    def _answer(self, service_type: type) -> Any:
        future = self._answers.get(service_type)
        return future.result() if future is not None and future.done() else None


def _other_users() -> tuple[str, ...]:
    """Names of users whose nodes have, or had, ports in Fast DDS's shared memory, which are closed to this process."""
    found = set()
    for path in SHARED_MEMORY.glob("fast*_port*"):
        with suppress(FileNotFoundError):  # it has ended since
            found.add(path.stat().st_uid)
    return tuple(sorted(map(_user_name, found - {os.getuid()})))


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # of a container's
        return str(uid)


def _without(own: str, infos_by_topic: Mapping[str, Sequence[TopicEndpointInfo]]) -> dict[str, tuple[Endpoint, ...]]:
    """Endpoints by topic but for the doctor's own; topics that only it has are left out."""
    by_topic = {
        name: tuple(end for end in map(Endpoint.of, infos) if end.node != own) for name, infos in infos_by_topic.items()
    }
    return {name: ends for name, ends in by_topic.items() if ends}


def _node_status(status: DiagnosticStatus) -> NodeStatus:
    return NodeStatus(
        kind=status.name.partition(": ")[2],
        is_ok=status.level == DiagnosticStatus.OK,
        message=status.message,
        values={pair.key: pair.value for pair in status.values},
    )


def _seen_image(heard: _Heard, parameters: dict[str, Any]) -> SeenImage:
    message, width, height, trouble = heard.message, 0, 0, ""
    try:
        pixels = rgb_from_message(message, max_image_pixels=parameters.get("max_image_pixels", MAX_IMAGE_PIXELS))
        height, width = pixels.shape[:2]
    except FrameError as error:
        trouble = shortened(str(error))
        width, height = getattr(message, "width", 0), getattr(message, "height", 0)
    return SeenImage(
        width=width,
        height=height,
        encoding=encoding_name(message),
        size_bytes=len(message.data),
        stamp_ns=stamp_ns(message),
        clock_ns=(heard.sim_ns or 0) if parameters.get("use_sim_time") else heard.wall_ns,
        trouble=trouble,
    )
