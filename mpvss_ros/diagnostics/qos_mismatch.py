"""Why no messages pass between a publisher and a subscription of one topic, and what to change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rclpy.duration import Duration
from rclpy.qos import (
    DurabilityPolicy,
    LivelinessPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)

from mpvss_ros.diagnostics.graph import Endpoint

__all__ = ["fits", "qos_trouble"]


@dataclass(frozen=True)
class Mismatch:
    """One policy that keeps two endpoints apart.

    Attributes:
        offered: What the publisher has, in words.
        wanted: What the subscription asks for, in words.
        way_out: What to change, on either side.
    """

    offered: str
    wanted: str
    way_out: str


def fits(offered: QoSProfile, requested: QoSProfile) -> bool:
    """Whether messages pass."""
    return qos_check_compatible(offered, requested)[0] != QoSCompatibility.ERROR


def qos_trouble(topic: str, publisher: Endpoint, subscription: Endpoint, *, can_override: bool = False) -> str:
    """That a publisher and a subscription do not fit, which policy of which side is at fault, and what to change.

    Args:
        topic: Full name of both.
        publisher: The one that offers.
        subscription: The one that asks for more than is offered.
        can_override: Whether the subscription is the node's own to images, whose reliability a parameter can override.
    """
    mismatches = list(_mismatches(publisher.qos, subscription.qos))
    offered = ", ".join(mismatch.offered for mismatch in mismatches)
    wanted = ", ".join(mismatch.wanted for mismatch in mismatches)
    ways = [mismatch.way_out for mismatch in mismatches]
    if can_override and _is_unreliable(publisher.qos, subscription.qos):
        ways[0] = f"give the node -p qos_overrides.{topic}.subscription.reliability:=best_effort, or {ways[0]}"
    return (
        f"incompatible QoS on {topic}: no messages pass, since {publisher.node or 'a publisher'} offers {offered} and "
        f"{subscription.node or 'a subscriber'} wants {wanted}: {'; '.join(ways)}"
    )


def _is_unreliable(offered: QoSProfile, requested: QoSProfile) -> bool:
    return (offered.reliability, requested.reliability) == (ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE)


def _mismatches(offered: QoSProfile, requested: QoSProfile) -> Iterator[Mismatch]:
    if _is_unreliable(offered, requested):
        yield Mismatch("best effort", "reliable", "have the publisher offer reliable, or the subscriber want best effort")
    if (offered.durability, requested.durability) == (DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL):
        yield Mismatch("volatile durability", "transient local", "have the subscriber want volatile durability")
    if (offered.liveliness, requested.liveliness) == (LivelinessPolicy.AUTOMATIC, LivelinessPolicy.MANUAL_BY_TOPIC):
        yield Mismatch("automatic liveliness", "manual by topic", "have the subscriber want automatic liveliness")
    for name in ("deadline", "liveliness_lease_duration"):
        offered_ns, requested_ns = _nanoseconds(getattr(offered, name)), _nanoseconds(getattr(requested, name))
        if offered_ns > requested_ns:
            words = name.replace("_", " ")
            offer = f"a {words} of {offered_ns / 1e9:g} s" if offered_ns < float("inf") else f"no {words}"
            yield Mismatch(offer, f"one of {requested_ns / 1e9:g} s", f"have the subscriber want no {words}")


def _nanoseconds(duration: Duration) -> float:
    """Of a time in a profile, where 0 stands for one that is not set, and half of all that fits for an infinite one."""
    return duration.nanoseconds if 0 < duration.nanoseconds < 2**62 else float("inf")
