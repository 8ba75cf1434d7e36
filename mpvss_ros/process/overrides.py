"""Parameters that were given to the node and have no effect."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

__all__ = ["QOS_PREFIX", "unused_overrides"]

QOS_PREFIX = "qos_overrides."
QOS_ENTITY = "subscription"
# Those of `QoSOverridingOptions.with_default_policies`.
QOS_POLICIES = ("history", "depth", "reliability")


def unused_overrides(
    given: Iterable[str],
    *,
    declared: Collection[str],
    image_topics: Collection[str],
    program: str = "segmentation_node",
) -> list[str]:
    """Say of each parameter that does not exist what may have been meant.

    Args:
        given: Names from the command line, parameter files and the launch file.
        declared: Names of the node's parameters.
        image_topics: The full names of the topics whose quality of service can be overridden.
        program: Whose help lists the parameters.

    Returns:
        One line for each unknown parameter, and for each topic of unknown ``qos_overrides``.
    """
    unknown = [name for name in given if name not in declared]
    texts = [
        _unused_qos(name.removeprefix(QOS_PREFIX), image_topics)
        if name.startswith(QOS_PREFIX)
        else _unknown(name, declared, program)
        for name in unknown
    ]
    return [text for text in dict.fromkeys(texts) if text]


def _unknown(name: str, declared: Collection[str], program: str) -> str:
    wanted = name.lower().replace("-", "_")
    nearest = get_close_matches(wanted, declared, n=2)
    hint = f"did you mean {' or '.join(map(repr, nearest))}?" if nearest else f"'{program} --help' lists those that it has"
    return f"parameter {name!r} is unknown and has no effect: {hint}"


def _unused_qos(rest: str, image_topics: Collection[str]) -> str:
    """Why ``<topic>.<entity>.<policy>`` has no effect; empty if it has one."""
    topic, _, choice = rest.partition(".")
    entity, _, policy = choice.partition(".")
    if topic not in image_topics:
        known = ", ".join(image_topics)
        return f"qos_overrides of {topic} have no effect: only those of the images can be given, which come on {known}"
    if (entity, policy) in [(QOS_ENTITY, known) for known in QOS_POLICIES]:
        return ""
    known = ", ".join(f"{QOS_ENTITY}.{policy}" for policy in QOS_POLICIES)
    return f"qos_overrides of {topic} have no {choice!r}: there are {known}"
