"""What ``mpvss evaluate`` found."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from mpvss_model.data.source_counts import SourceCounts

__all__ = ["EvaluationReport"]


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """A model's metrics, cost and speed on labelled video; None stands for what could not be measured.

    Attributes:
        frames: That were segmented.
        key_frames: Those of them that went through the segmentor.
        labelled_frames: Those of them that have ground truth.
        miou: 0..1, as are all that follow up to ``mvc16``.
        weighted_iou: Each class by its share of the ground truth.
        mvc8: Video consistency over 8 frames.
        mvc16: Video consistency over 16 frames.
        gflops_per_frame: Average of key frames and others, a multiply-add as 1.
        fps: Frames per second of the time inside `VideoSegmentor.step` alone.
        fps_with_reading: Frames per second of all the time.
        iou_per_class: By the model's names.
        counts: What of the source was left out and why.
        notes: The same and what the metrics are of, in words.
        source: As the user gave it.
        model: Its name.
        propagation: Its name, or ``per-frame``.
        interval: A key frame at least every so many frames.
        history_weight: See `StreamConfig`.
        settings: All that differ from the defaults of `StreamConfig` and `DecodingConfig`.
    """

    frames: int
    key_frames: int
    labelled_frames: int
    miou: float | None
    weighted_iou: float | None
    mvc8: float | None
    mvc16: float | None
    gflops_per_frame: float | None
    fps: float
    fps_with_reading: float
    iou_per_class: dict[str, float | None]
    counts: SourceCounts
    notes: tuple[str, ...]
    source: str
    model: str
    propagation: str
    interval: int
    history_weight: float
    settings: dict[str, object]

    def as_dict(self) -> dict[str, Any]:
        """For JSON; the counts' entries stand beside the others."""
        entries: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            entries |= value.as_dict() if field.name == "counts" else {field.name: value}
        return {**entries, "notes": list(self.notes)}
