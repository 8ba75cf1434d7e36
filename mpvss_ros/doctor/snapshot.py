"""What one look at a running ROS graph has shown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sensor_msgs.msg import CameraInfo

from mpvss_ros.diagnostics.graph import Endpoint
from mpvss_ros.diagnostics.topic_check import COMPRESSED, COMPRESSED_SUFFIX, RAW, Topic

__all__ = ["CAMERA_INFO", "CameraTopics", "GraphSnapshot", "NodeStatus", "SeenImage"]

CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
INPUT_KIND = "input"
ACTIVE = "active"
# What every node has, and what does not belong to the frames.
COMMON_TOPICS = ("/diagnostics", "/parameter_events", "/rosout")
TRANSITIONS = "/transition_event"


@dataclass(frozen=True, kw_only=True)
class SeenImage:
    """One image of a topic, as it came to the doctor.

    Attributes:
        width: In pixels.
        height: In pixels.
        encoding: As people call it, such as ``bgr8`` or ``jpeg (compressed)``.
        size_bytes: Of its pixels as they are sent.
        stamp_ns: Its header's.
        clock_ns: The segmentation node's clock when it came.
        trouble: Why it cannot be used, in the node's words; empty if it can.
    """

    width: int
    height: int
    encoding: str
    size_bytes: int
    stamp_ns: int
    clock_ns: int
    trouble: str = ""


@dataclass(frozen=True, kw_only=True)
class NodeStatus:
    """What the segmentation node says of itself on ``/diagnostics``.

    Attributes:
        kind: What it is about, such as ``input`` or ``front output``.
        is_ok: Whether the node finds nothing wrong.
        message: In one line.
        values: By key.
    """

    kind: str
    is_ok: bool
    message: str
    values: Mapping[str, str]

    @property
    def camera(self) -> str:
        """The name of the camera that it is about; empty if the node has only one."""
        return self.kind.rpartition(" ")[0]

    @property
    def findings(self) -> list[str]:
        """One line for each thing that is wrong."""
        if "findings_json" in self.values:
            return json.loads(self.values["findings_json"])
        return [] if self.is_ok else [self.message]

    def number(self, key: str) -> float:
        """A value that is a number; 0 if it is not there."""
        return float(self.values.get(key) or 0)

    def counts(self, key: str) -> dict[str, int]:
        """A value such as ``newer frame: 3, reset: 1``."""
        pairs = [entry.rpartition(": ") for entry in self.values.get(key, "").split(", ") if entry]
        return {reason: int(count) for reason, _, count in pairs}


@dataclass(frozen=True, kw_only=True)
class CameraTopics:
    """What the node reads of one camera, or should read.

    Attributes:
        argument: Name of the image topic as users remap it.
        image: Its images.
        camera_info: Its calibration; None if it is not known, or not read.
        status: The node's of this camera's input; None if it has not sent one.
    """

    argument: str
    image: Topic
    camera_info: Topic | None = None
    status: NodeStatus | None = None


@dataclass(frozen=True, kw_only=True)
class GraphSnapshot:
    """A `mpvss_ros.diagnostics.graph.Graph` that is remembered, and what its nodes and topics have told. Without the doctor.

    Attributes:
        node: Full name of the segmentation node that is looked for.
        image: Full name of the camera topic that it should read; empty for those that it does.
        nodes: Full names of all nodes, each as often as it is there.
        published: Publishers by topic.
        subscribed: Subscriptions by topic.
        state: The node's lifecycle state; None if it has not answered.
        parameters: The node's, as far as they matter here; None if it has not answered, empty if it does not have them.
        statuses: The node's newest.
        clouds: The newest status of each cloud node, by its full name.
        images: One by topic.
        camera_infos: One by topic.
        sim_time_ns: The newest of ``/clock``; None if none has come.
        environment: Variables that decide who sees whom.
        rmw: The middleware's name.
        other_users: Names of those whose nodes use Fast DDS's shared memory on this machine, too.
        waited_s: How long the doctor has listened.
    """

    node: str
    image: str = ""
    nodes: Sequence[str] = ()
    published: Mapping[str, Sequence[Endpoint]] = field(default_factory=dict)
    subscribed: Mapping[str, Sequence[Endpoint]] = field(default_factory=dict)
    state: str | None = None
    parameters: Mapping[str, Any] | None = None
    statuses: Sequence[NodeStatus] = ()
    clouds: Mapping[str, NodeStatus] = field(default_factory=dict)
    images: Mapping[str, SeenImage] = field(default_factory=dict)
    camera_infos: Mapping[str, CameraInfo] = field(default_factory=dict)
    sim_time_ns: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    rmw: str = ""
    other_users: Sequence[str] = ()
    waited_s: float = 0.0

    # -- as a graph --------------------------------------------------------------------------------------------------

    def publishers(self, topic: str) -> Sequence[Endpoint]:
        """Of a topic, by its full name."""
        return self.published.get(topic, ())

    def subscriptions(self, topic: str) -> Sequence[Endpoint]:
        """Of a topic, by its full name."""
        return self.subscribed.get(topic, ())

    def topics(self) -> Mapping[str, Sequence[str]]:
        """Types of all topics, by their full names."""
        names = sorted({*self.published, *self.subscribed})
        return {name: sorted({end.type_name for end in (*self.publishers(name), *self.subscriptions(name))}) for name in names}

    # -- the node ----------------------------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether the node is in the graph."""
        return self.node in self.nodes

    @property
    def is_active(self) -> bool:
        """Whether the node is at work, as it says, or as its subscriptions show while it has not answered."""
        is_active = self.state == ACTIVE or (self.state is None and bool(self.reads(RAW, COMPRESSED)))
        return self.is_running and is_active

    @property
    def uses_sim_time(self) -> bool:
        """Whether the node takes the time from ``/clock``."""
        return bool((self.parameters or {}).get("use_sim_time"))

    def reads(self, *type_names: str) -> list[Topic]:
        """Topics of these types that the node subscribes to."""
        ends = [(name, end) for name, ends in self.subscribed.items() for end in ends if end.node == self.node]
        return sorted({Topic(name, end.type_name) for name, end in ends if end.type_name in type_names}, key=lambda t: t.name)

    @property
    def outputs(self) -> list[Topic]:
        """Topics of the frames' results, which the node publishes."""
        ends = [(name, end) for name, ends in self.published.items() for end in ends if end.node == self.node]
        topics = {Topic(name, end.type_name) for name, end in ends if not _is_common(name)}
        return sorted(topics, key=lambda topic: topic.name)

    @property
    def cameras(self) -> list[CameraTopics]:
        """What the node reads: as it says itself, else as the graph shows it; or what it should read."""
        statuses = [status for status in self.statuses if status.kind.split(" ")[-1] == INPUT_KIND]
        if self.image:
            return [self._wanted_camera(statuses[0] if len(statuses) == 1 else None)]
        infos = {topic.name: topic for topic in self.reads(CAMERA_INFO)}
        by_topic = {status.values.get("image_topic"): status for status in statuses}
        images = self.reads(RAW, COMPRESSED)
        cameras = []
        for image in images:
            status = by_topic.get(image.name)
            only = [*infos.values()] if len(images) == len(infos) == 1 else []
            info = infos.get(status.values.get("camera_info_topic", "")) if status else next(iter(only), None)
            argument = f"{status.camera}/image" if status and status.camera else "image"
            cameras.append(CameraTopics(argument=argument, image=image, camera_info=info, status=status))
        return cameras

    def _wanted_camera(self, status: NodeStatus | None) -> CameraTopics:
        is_compressed = (self.parameters or {}).get("image_transport") == "compressed"
        name = self.image.removesuffix(COMPRESSED_SUFFIX) + COMPRESSED_SUFFIX if is_compressed else self.image
        image = Topic(name, COMPRESSED if is_compressed else RAW)
        is_read = image in self.reads(RAW, COMPRESSED)
        infos = self.reads(CAMERA_INFO)
        info = infos[0] if is_read and len(infos) == 1 else None
        return CameraTopics(argument="image", image=image, camera_info=info, status=status if is_read else None)


def _is_common(topic: str) -> bool:
    return topic in COMMON_TOPICS or topic.endswith(TRANSITIONS)
