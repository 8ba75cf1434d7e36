"""What a segmentation node did with its camera frames, read back from its diagnostics."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

__all__ = ["FrameCounts", "frame_counts"]


@dataclass(frozen=True)
class FrameCounts:
    """Frames of one camera since the node started.

    Attributes:
        received: Messages of the camera.
        published: Frames that were answered with labels.
        refused: Frames that never will be, by reason: malformed, dropped, or fine but without labels.
        last_refusal: What the node says of the newest of them; may be empty.
    """

    received: int = 0
    published: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    last_refusal: str = ""

    @property
    def handled(self) -> int:
        """Frames that the node has done with."""
        return self.published + sum(self.refused.values())


def frame_counts(report: DiagnosticArray, *, node: str | None = None) -> FrameCounts | None:
    """Read the counts of a node with one camera.

    Args:
        report: Of any node.
        node: Its full name, such as ``/mpvss/segmentation``; None to take any, where there is no other.

    Returns:
        None if the report is not of that node, or the node has several cameras.
    """
    statuses = [status for status in report.status if node is None or _is_of(status, node)]
    inputs = [status for status in statuses if status.name.endswith("input")]
    outputs = [status for status in statuses if status.name.endswith("output")]
    if len(inputs) != 1 or len(outputs) != 1:
        return None
    values = {pair.key: pair.value for status in (inputs[0], outputs[0]) for pair in status.values}
    refused = Counter()
    for key in ("malformed_by_reason", "dropped_by_reason", "unanswered_by_reason"):
        refused.update(_counts(values.get(key, "")))
    problem = outputs[0].message if outputs[0].level == DiagnosticStatus.ERROR else ""
    return FrameCounts(
        received=int(values.get("received", 0)),
        published=int(values.get("published", 0)),
        refused=dict(refused),
        last_refusal=values.get("last_malformed", "") or problem,
    )


def _is_of(status: DiagnosticStatus, node: str) -> bool:
    name = status.name.partition(":")[0]
    return name.strip("/") == node.strip("/") or name == node.rpartition("/")[2]


def _counts(text: str) -> dict[str, int]:
    """The inverse of how the diagnostics write counts by reason."""
    return {reason: int(count) for reason, count in re.findall(r"(.+?): (\d+)(?:, |$)", text)}
