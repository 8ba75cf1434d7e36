"""What the ROS graph says is wrong with the topics that the node reads and writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import product

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.subscription import Subscription

from mpvss_ros.diagnostics.graph import Endpoint, Graph, LiveGraph, node_names
from mpvss_ros.diagnostics.qos_mismatch import fits, qos_trouble

__all__ = [
    "COMPRESSED",
    "COMPRESSED_SUFFIX",
    "RAW",
    "Topic",
    "TopicReport",
    "check_input_topics",
    "check_inputs",
    "check_output_topics",
    "check_outputs",
]

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
COMPRESSED_SUFFIX, DEPTH_SUFFIX = "/compressed", "/compressedDepth"
MAX_SUGGESTIONS = 3


@dataclass(frozen=True)
class Topic:
    """What a node reads or publishes.

    Attributes:
        name: In full.
        type_name: Of its messages, as the graph writes it, such as ``sensor_msgs/msg/Image``.
    """

    name: str
    type_name: str

    @classmethod
    def of(cls, end: Publisher | Subscription) -> Topic:
        """That of one of a node's own publishers or subscriptions."""
        package, *_ = end.msg_type.__module__.split(".")
        return cls(end.topic_name, f"{package}/msg/{end.msg_type.__name__}")


@dataclass(frozen=True)
class TopicReport:
    """The state of some topics at one moment.

    Attributes:
        troubles: One line for each thing that is wrong, with the way out.
        nobody: That nobody publishes the camera's images; empty if somebody does.
        incompatible_qos: Peers whose quality of service does not fit, by topic.
        qos_troubles: One line for each of those peers, with both sides, the policy and the way out.
        publishers: Of the camera's images, as far as they reach the node.
    """

    troubles: tuple[str, ...] = ()
    nobody: str = ""
    incompatible_qos: Mapping[str, int] = field(default_factory=dict)
    qos_troubles: tuple[str, ...] = ()
    publishers: int = 0


@dataclass(frozen=True)
class _Publishers:
    """Who publishes what a node reads.

    Attributes:
        topic: What it reads.
        own: Its subscription; None if the graph does not know it yet.
        heard: Those whose messages come.
        unheard: Those whose quality of service does not fit.
        foreign_types: Of those that publish something else.
    """

    topic: Topic
    own: Endpoint | None
    heard: list[Endpoint]
    unheard: list[Endpoint]
    foreign_types: list[str]

    @classmethod
    def of(cls, graph: Graph, reader: str, topic: Topic) -> _Publishers:
        """Ask the graph."""
        endpoints = graph.publishers(topic.name)
        own = _own(reader, graph.subscriptions(topic.name))
        heard: list[Endpoint] = []
        unheard: list[Endpoint] = []
        for endpoint in endpoints:
            if endpoint.type_name == topic.type_name:
                (heard if own is None or fits(endpoint.qos, own.qos) else unheard).append(endpoint)
        return cls(topic, own, heard, unheard, sorted({endpoint.type_name for endpoint in endpoints} - {topic.type_name}))

    def __bool__(self) -> bool:
        return bool(self.heard or self.unheard or self.foreign_types)

    @property
    def wrong_type(self) -> str:
        """That the topic is one of another type; empty if it is not."""
        types = ", ".join(self.foreign_types)
        return f"{self.topic.name} is published as {types}, and the node reads {self.topic.type_name}" if types else ""

    def qos_troubles(self, *, can_override: bool) -> list[str]:
        """A line for each that is not heard."""
        own = [self.own] if self.own else []
        pairs = product(self.unheard, own)
        return [qos_trouble(self.topic.name, peer, own, can_override=can_override) for peer, own in pairs]


def check_inputs(node: Node, *, image: Subscription, camera_info: Subscription, argument: str) -> TopicReport:
    """Look at who publishes a camera's topics.

    Args:
        node: Asks the graph.
        image: The subscription to the camera's images.
        camera_info: The subscription to its calibration.
        argument: Name of the image topic as users remap it.
    """
    return check_input_topics(
        LiveGraph(node),
        reader=node.get_fully_qualified_name(),
        image=Topic.of(image),
        camera_info=Topic.of(camera_info),
        argument=argument,
    )


def check_input_topics(
    graph: Graph, *, reader: str, image: Topic, camera_info: Topic | None = None, argument: str
) -> TopicReport:
    """Look at who publishes a camera's topics.

    Args:
        graph: The running one, or one that is remembered.
        reader: Full name of the node that reads them; it need not run.
        image: The camera's images.
        camera_info: Its calibration; None if nobody reads that.
        argument: Name of the image topic as users remap it.
    """
    images = _Publishers.of(graph, reader, image)
    infos = [_Publishers.of(graph, reader, camera_info)] if camera_info else []
    heard, name = images.heard, image.name
    troubles = [publishers.wrong_type for publishers in (images, *infos) if publishers.wrong_type]
    if images.foreign_types:
        troubles[0] += f": {_way_out(graph, reader, name, images.foreign_types, argument)}"
    if len(heard) > 1:
        troubles.append(f"{len(heard)} publishers on {name}, whose images become one stream: {node_names(heard)}")
    return TopicReport(
        troubles=tuple(troubles),
        nobody="" if images else f"nobody publishes {name}{_suggestions(graph, reader, name, argument)}",
        incompatible_qos={p.topic.name: len(p.unheard) for p in (images, *infos) if p.unheard},
        qos_troubles=tuple(line for p in (images, *infos) for line in p.qos_troubles(can_override=p is images)),
        publishers=len(heard),
    )


def check_outputs(node: Node, publishers: Iterable[Publisher]) -> TopicReport:
    """Look at who subscribes to what the node publishes, and who publishes the same."""
    return check_output_topics(LiveGraph(node), node.get_fully_qualified_name(), map(Topic.of, publishers))


def check_output_topics(graph: Graph, publisher: str, topics: Iterable[Topic]) -> TopicReport:
    """Look at who subscribes to what a node publishes, and who publishes the same.

    Args:
        graph: The running one, or one that is remembered.
        publisher: Full name of the node that publishes them.
        topics: Each once.
    """
    incompatible: Counter[str] = Counter()
    qos_troubles: list[str] = []
    troubles: list[str] = []
    for topic in topics:
        publishers = graph.publishers(topic.name)
        own = _own(publisher, publishers)
        if len(publishers) > 1:
            troubles.append(f"{len(publishers)} publishers on {topic.name}, whose messages mix: {node_names(publishers)}")
        for peer in graph.subscriptions(topic.name):
            if peer.type_name != topic.type_name:
                reader = peer.node or "a subscriber"
                troubles.append(f"{reader} reads {topic.name} as {peer.type_name}, and the node publishes {topic.type_name}")
            elif own and not fits(own.qos, peer.qos):
                incompatible[topic.name] += 1
                qos_troubles.append(qos_trouble(topic.name, own, peer))
    return TopicReport(troubles=tuple(troubles), incompatible_qos=incompatible, qos_troubles=tuple(qos_troubles))


def _own(node: str, endpoints: Sequence[Endpoint]) -> Endpoint | None:
    """The node's own publisher or subscription; None if the graph does not know it yet."""
    return next((endpoint for endpoint in endpoints if endpoint.node == node), None)


def _way_out(graph: Graph, reader: str, topic: str, types: list[str], argument: str) -> str:
    """How to read the topic that is published as another type, or another topic with images."""
    images = [name for name in types if name in (RAW, COMPRESSED)]
    if images and not topic.endswith(DEPTH_SUFFIX):
        return f"give {_arguments(topic, images[0], argument)}"
    kind = "that is depth" if topic.endswith(DEPTH_SUFFIX) else "those are no images"
    return kind + (_suggestions(graph, reader, topic, argument) or "; give a topic with images")


def _arguments(topic: str, type_name: str, argument: str) -> str:
    """What makes the node read a topic of images."""
    if type_name == RAW:
        return f"{argument}:={topic} image_transport:=raw"
    if topic.endswith(COMPRESSED_SUFFIX):
        return f"{argument}:={topic.removesuffix(COMPRESSED_SUFFIX)} image_transport:=compressed"
    return f"{argument}:={topic} image_transport:=compressed, and publish it as {topic}{COMPRESSED_SUFFIX}"


def _suggestions(graph: Graph, reader: str, topic: str, argument: str) -> str:
    """Topics with images whose names are most like this one, who publishes them, and how to read them."""
    images = [
        (name, type_name)
        for name, types in graph.topics().items()
        for type_name in types
        if type_name in (RAW, COMPRESSED) and name != topic and not name.endswith(DEPTH_SUFFIX)
    ]
    images.sort(key=lambda image: SequenceMatcher(None, topic, image[0]).ratio(), reverse=True)
    published = [(*image, peers) for image in images if (peers := _others(graph.publishers(image[0]), reader))]
    if not published:
        return ""
    ways = "; ".join(
        f"for {name} ({type_name}, published by {node_names(peers)}) give {_arguments(name, type_name, argument)}"
        for name, type_name, peers in published[:MAX_SUGGESTIONS]
    )
    twice = f"; {argument} is the topic without {COMPRESSED_SUFFIX}" if topic.endswith(2 * COMPRESSED_SUFFIX) else ""
    return f"{twice}; {ways}"


def _others(publishers: Sequence[Endpoint], reader: str) -> list[Endpoint]:
    """Those that are not the reader's own."""
    return [publisher for publisher in publishers if publisher.node != reader]
