"""Subscriptions that ask for as much as all publishers of their topic offer, whenever these come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

__all__ = ["best_subscription", "followed"]


def best_subscription(
    node: Node, message_type: type, topic: str, callback: Callable[[Any], None], *, depth: int
) -> Subscription:
    """A subscription that asks for the most with which it still hears all publishers that there are now.

    Of large messages best effort loses too many where reliable can be had, and a calibration that is latched may be sent once
    only, before anybody listens.

    Args:
        node: Sees the publishers.
        message_type: Of the topic.
        topic: As the node's own code calls it.
        callback: Is given the messages.
        depth: Of the queue.

    Returns:
        Best effort and volatile where there is no publisher.
    """
    reliability, durability = _offered(node, node.resolve_topic_name(topic))
    qos = QoSProfile(depth=depth, reliability=reliability, durability=durability)
    return node.create_subscription(message_type, topic, callback, qos)


def followed(node: Node, old: Subscription) -> Subscription:
    """A `best_subscription`, or another in its place if publishers came or changed: so they are heard, or heard better."""
    qos = old.qos_profile
    if _offered(node, old.topic_name) == (qos.reliability, qos.durability):
        return old
    new = best_subscription(node, old.msg_type, old.topic_name, old.callback, depth=qos.depth)
    node.destroy_subscription(old)
    return new


def _offered(node: Node, topic: str) -> tuple[ReliabilityPolicy, DurabilityPolicy]:
    """What all publishers of a topic, with its namespace, offer."""
    offered = [info.qos_profile for info in node.get_publishers_info_by_topic(topic)]
    is_reliable = {qos.reliability for qos in offered} == {ReliabilityPolicy.RELIABLE}
    is_latched = {qos.durability for qos in offered} == {DurabilityPolicy.TRANSIENT_LOCAL}
    return (
        ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT,
        DurabilityPolicy.TRANSIENT_LOCAL if is_latched else DurabilityPolicy.VOLATILE,
    )
