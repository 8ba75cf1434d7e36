"""What the ROS graph says is wrong with the topics that the node reads and writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo

__all__ = ["TopicReport", "check_inputs", "check_outputs"]

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
COMPRESSED_SUFFIX, DEPTH_SUFFIX = "/compressed", "/compressedDepth"
MAX_SUGGESTIONS = 3


@dataclass(frozen=True)
class TopicReport:
    """The state of some topics at one moment.

    Attributes:
        troubles: One line for each thing that is wrong, with the way out.
        nobody: That nobody publishes the camera's images; empty if somebody does.
        incompatible_qos: Peers whose quality of service does not fit, by topic.
        publishers: Of the camera's images, as far as they reach the node.
    """

    troubles: tuple[str, ...] = ()
    nobody: str = ""
    incompatible_qos: Mapping[str, int] = field(default_factory=dict)
    publishers: int = 0


@dataclass(frozen=True)
class _Publishers:
    """Who publishes the topic of a subscription.

    Attributes:
        topic: Its full name.
        wanted_type: The subscription's.
        heard: Those whose messages come.
        unheard: Those whose quality of service does not fit.
        foreign_types: Of those that publish something else.
    """

    topic: str
    wanted_type: str
    heard: list[TopicEndpointInfo]
    unheard: list[TopicEndpointInfo]
    foreign_types: list[str]

    @classmethod
    def of(cls, node: Node, subscription: Subscription) -> _Publishers:
        """Ask the graph."""
        topic, wanted = subscription.topic_name, _type_name(subscription.msg_type)
        infos = node.get_publishers_info_by_topic(topic)
        own = _own_qos(node, node.get_subscriptions_info_by_topic(topic))
        heard, unheard = [], []
        for info in infos:
            if info.topic_type == wanted:
                (heard if _fits(info.qos_profile, own) else unheard).append(info)
        return cls(topic, wanted, heard, unheard, sorted({info.topic_type for info in infos} - {wanted}))

    def __bool__(self) -> bool:
        return bool(self.heard or self.unheard or self.foreign_types)

    @property
    def wrong_type(self) -> str:
        """That the topic is one of another type; empty if it is not."""
        types = ", ".join(self.foreign_types)
        return f"{self.topic} is published as {types}, and the node reads {self.wanted_type}" if types else ""


def check_inputs(node: Node, *, image: Subscription, camera_info: Subscription, argument: str) -> TopicReport:
    """Look at who publishes a camera's topics.

    Args:
        node: Asks the graph.
        image: The subscription to the camera's images.
        camera_info: The subscription to its calibration.
        argument: Name of the image topic as users remap it.
    """
    images, infos = _Publishers.of(node, image), _Publishers.of(node, camera_info)
    topic, heard = image.topic_name, images.heard
    troubles = [publishers.wrong_type for publishers in (images, infos) if publishers.wrong_type]
    if images.foreign_types:
        troubles[0] += f": {_way_out(node, topic, images.foreign_types, argument)}"
    if len(heard) > 1:
        troubles.append(f"{len(heard)} publishers on {topic}, whose images become one stream: {_names(heard)}")
    return TopicReport(
        troubles=tuple(troubles),
        nobody="" if images else f"nobody publishes {topic}{_suggestions(node, topic, argument)}",
        incompatible_qos={p.topic: len(p.unheard) for p in (images, infos) if p.unheard},
        publishers=len(heard),
    )


def check_outputs(node: Node, publishers: Iterable[Publisher]) -> TopicReport:
    """Look at who subscribes to what the node publishes."""
    incompatible = Counter()
    for topic, message_type in ((publisher.topic_name, publisher.msg_type) for publisher in publishers):
        own = _own_qos(node, node.get_publishers_info_by_topic(topic))
        for info in node.get_subscriptions_info_by_topic(topic):
            incompatible[topic] += info.topic_type == _type_name(message_type) and not _fits(own, info.qos_profile)
    return TopicReport(incompatible_qos=+incompatible)


def _type_name(message_type: type) -> str:
    """As the graph writes it, such as ``sensor_msgs/msg/Image``."""
    package, *_ = message_type.__module__.split(".")
    return f"{package}/msg/{message_type.__name__}"


def _own_qos(node: Node, infos: list[TopicEndpointInfo]) -> QoSProfile | None:
    """That of the node's own publisher or subscription; None if the graph does not know it yet.

    As the graph tells it: there, times that nobody has set are infinite, and compare with those of others.
    """
    own_name = node.get_name(), node.get_namespace()
    return next((info.qos_profile for info in infos if (info.node_name, info.node_namespace) == own_name), None)


def _fits(offered: QoSProfile | None, requested: QoSProfile | None) -> bool:
    known = offered is not None and requested is not None
    return not known or qos_check_compatible(offered, requested)[0] != QoSCompatibility.ERROR


def _names(infos: list[TopicEndpointInfo]) -> str:
    # The graph learns of a publisher a little before it learns whose it is.
    known = [f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in infos if "UNKNOWN" not in info.node_name]
    return ", ".join(sorted(known)) or "by nodes that have not said their names"


def _way_out(node: Node, topic: str, types: list[str], argument: str) -> str:
    """How to read the topic that is published as another type, or another topic with images."""
    images = [name for name in types if name in (RAW, COMPRESSED)]
    if images and not topic.endswith(DEPTH_SUFFIX):
        return f"give {_arguments(topic, images[0], argument)}"
    kind = "that is depth" if topic.endswith(DEPTH_SUFFIX) else "those are no images"
    return kind + (_suggestions(node, topic, argument) or "; give a topic with images")


def _arguments(topic: str, type_name: str, argument: str) -> str:
    """What makes the node read a topic of images."""
    if type_name == RAW:
        return f"{argument}:={topic} image_transport:=raw"
    if topic.endswith(COMPRESSED_SUFFIX):
        return f"{argument}:={topic.removesuffix(COMPRESSED_SUFFIX)} image_transport:=compressed"
    return f"{argument}:={topic} image_transport:=compressed, and publish it as {topic}{COMPRESSED_SUFFIX}"


def _suggestions(node: Node, topic: str, argument: str) -> str:
    """Topics with images whose names are most like this one, and how to read them."""
    own = {publisher.topic_name for publisher in node.publishers}
    images = [
        (name, type_name)
        for name, types in node.get_topic_names_and_types()
        for type_name in types
        if type_name in (RAW, COMPRESSED) and name not in own | {topic} and not name.endswith(DEPTH_SUFFIX)
    ]
    images.sort(key=lambda image: SequenceMatcher(None, topic, image[0]).ratio(), reverse=True)
    published = [(name, type_name) for name, type_name in images if node.count_publishers(name)]
    if not published:
        return ""
    ways = "; ".join(f"for {n} ({t}) give {_arguments(n, t, argument)}" for n, t in published[:MAX_SUGGESTIONS])
    twice = f"; {argument} is the topic without {COMPRESSED_SUFFIX}" if topic.endswith(2 * COMPRESSED_SUFFIX) else ""
    return f"{twice}; {ways}"
