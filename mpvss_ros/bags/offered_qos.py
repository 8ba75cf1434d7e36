"""The QoS that a topic's publishers offered when it was recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

__all__ = ["OfferedQos", "parse_offered_qos"]

YamlLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# rosbag2 writes names since its version 9, and rmw's numbers before.
TRANSIENT_LOCAL = ("transient_local", 1)
KEEP_ALL = ("keep_all", 2)
KEEP_ALL_DEPTH = 1000


@dataclass(frozen=True)
class OfferedQos:
    """What one publisher offered, as far as a replay depends on it.

    Attributes:
        latched: Whether late subscribers got its last messages (durability ``transient_local``).
        depth: How many of them.
    """

    latched: bool
    depth: int


def parse_offered_qos(profiles: Any) -> tuple[OfferedQos, ...]:
    """Profiles as rosbag2 writes them, as YAML text or loaded; people edit them, so that what cannot be read is left out."""
    if isinstance(profiles, str):
        try:
            profiles = yaml.load(profiles, YamlLoader)
        except yaml.YAMLError:
            return ()
    if not isinstance(profiles, list):
        return ()
    return tuple(_parse_profile(profile) for profile in profiles if isinstance(profile, dict))


def _parse_profile(profile: dict[str, Any]) -> OfferedQos:
    depth = profile.get("depth")
    depth = depth if isinstance(depth, int) and 0 < depth <= KEEP_ALL_DEPTH else 1
    if _lower(profile.get("history")) in KEEP_ALL:
        depth = KEEP_ALL_DEPTH
    return OfferedQos(latched=_lower(profile.get("durability")) in TRANSIENT_LOCAL, depth=depth)


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value
