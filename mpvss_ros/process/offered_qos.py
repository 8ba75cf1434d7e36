"""How well a topic can be heard: what all of its publishers offer."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

__all__ = ["offered_qos"]


def offered_qos(node: Node, topic: str) -> tuple[ReliabilityPolicy, DurabilityPolicy]:
    """The most that a subscription may ask for and still hear all publishers that there are now.

    Of large messages best effort loses too many where reliable can be had, and a calibration that is latched may be sent once
    only, before anybody listens.

    Args:
        node: Sees the publishers.
        topic: With its namespace.

    Returns:
        Best effort and volatile where there is no publisher.
    """
    offered = [info.qos_profile for info in node.get_publishers_info_by_topic(topic)]
    is_reliable = {qos.reliability for qos in offered} == {ReliabilityPolicy.RELIABLE}
    is_latched = {qos.durability for qos in offered} == {DurabilityPolicy.TRANSIENT_LOCAL}
    return (
        ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT,
        DurabilityPolicy.TRANSIENT_LOCAL if is_latched else DurabilityPolicy.VOLATILE,
    )
