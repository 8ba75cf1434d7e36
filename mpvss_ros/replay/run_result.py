"""What ``mpvss run`` found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["RunResult", "RunSettings"]

# Attributes that are arranged in another way in the file.
NESTED = ("latency_p50_ms", "latency_p99_ms", "settings")


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What was replayed, and how.

    Attributes:
        model: The name that the node reports.
        interval: A key frame at least every so many frames.
        bag: As the user gave it.
        topic: Of the camera.
        rate: Speed of the replay; 0 for as fast as it goes.
        settings: All that differ from the defaults of `StreamConfig` and `DecodingConfig`.
    """

    model: str
    interval: int
    bag: str
    topic: str
    rate: float
    settings: dict[str, object]


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """The contents of ``report.json``; None stands for what could not be measured.

    Attributes:
        frames_in: Camera frames that the bag lists.
        labels_out: Those of them that were answered.
        dropped: The others.
        dropped_by_reason: As the node counts them.
        last_refusal: What the node says of the newest frame without labels; may be empty.
        key_frames: Answers that were segmented rather than propagated.
        miou: Against the bag's ground truth, 0..1.
        weighted_iou: Each class by its share of the ground truth, 0..1.
        iou_per_class: By the model's names, 0..1.
        ground_truth_left_out: Label images that were not compared with, by reason.
        notes: The same for people, one line each.
        latency_p50_ms: Median time from a frame to its labels.
        latency_p99_ms: Of all but the slowest hundredth.
        settings: What was replayed, and how.
    """

    frames_in: int
    labels_out: int
    dropped: int
    dropped_by_reason: dict[str, int]
    last_refusal: str
    key_frames: int
    miou: float | None
    weighted_iou: float | None
    iou_per_class: dict[str, float | None]
    ground_truth_left_out: dict[str, int]
    notes: list[str]
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    settings: RunSettings

    def as_dict(self) -> dict[str, Any]:
        """For JSON; the settings stand beside the figures."""
        figures = {name: value for name, value in vars(self).items() if name not in NESTED}
        latency_ms = {"p50": self.latency_p50_ms, "p99": self.latency_p99_ms}
        return {**figures, "latency_ms": latency_ms, **vars(self.settings)}
