"""Who publishes and who subscribes, as plain values: asked of the running graph, or remembered from one look at it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.topic_endpoint_info import TopicEndpointInfo

__all__ = ["Endpoint", "Graph", "LiveGraph", "node_names"]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One publisher or one subscription of a topic.

    Attributes:
        node: Full name of the node that has it; empty as long as the graph does not know it.
        type_name: Of its messages, such as ``sensor_msgs/msg/Image``.
        qos: What it offers or asks for. As the graph tells it: times that nobody has set are infinite.
    """

    node: str
    type_name: str
    qos: QoSProfile

    @classmethod
    def of(cls, info: TopicEndpointInfo) -> Endpoint:
        """From what rclpy says of it."""
        # The graph learns of an endpoint a little before it learns whose it is.
        is_known = "UNKNOWN" not in info.node_name
        node = f"{info.node_namespace.rstrip('/')}/{info.node_name}" if is_known else ""
        return cls(node=node, type_name=info.topic_type, qos=info.qos_profile)


class Graph(Protocol):
    """What the diagnoses ask."""

    def publishers(self, topic: str) -> Sequence[Endpoint]:
        """Of a topic, by its full name."""

    def subscriptions(self, topic: str) -> Sequence[Endpoint]:
        """Of a topic, by its full name."""

    def topics(self) -> Mapping[str, Sequence[str]]:
        """Types of all topics, by their full names."""


@dataclass(frozen=True)
class LiveGraph:
    """The graph as a node sees it at the moment of each question.

    Attributes:
        node: Asks.
    """

    node: Node

    def publishers(self, topic: str) -> Sequence[Endpoint]:
        """Of a topic, by its full name."""
        return [Endpoint.of(info) for info in self.node.get_publishers_info_by_topic(topic)]

    def subscriptions(self, topic: str) -> Sequence[Endpoint]:
        """Of a topic, by its full name."""
        return [Endpoint.of(info) for info in self.node.get_subscriptions_info_by_topic(topic)]

    def topics(self) -> Mapping[str, Sequence[str]]:
        """Types of all topics, by their full names."""
        return dict(self.node.get_topic_names_and_types())


def node_names(endpoints: Iterable[Endpoint]) -> str:
    """Whose they are, for a sentence."""
    known = sorted(endpoint.node for endpoint in endpoints if endpoint.node)
    return ", ".join(known) or "nodes that have not said their names"
