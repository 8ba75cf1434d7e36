"""What ``mpvss evaluate`` found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from mpvss_model.data.source_counts import SourceCounts
from mpvss_model.evaluation.panoptic.panoptic_evaluation import PanopticFigures

__all__ = ["EvaluationReport"]


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """A model's metrics, cost and speed on labelled video; None stands for what could not be measured.

    Attributes:
        frames: That were segmented.
        key_frames: Those of them that went through the segmentor.
        labelled_frames: Those of them that have ground truth.
        miou: Mean of the classes that ground truth or labels contain; 0..1, as are all that follow up to ``mean_accuracy``.
        weighted_iou: Each class by its share of the ground truth.
        mvc8: Video consistency over 8 frames.
        mvc16: Video consistency over 16 frames.
        boundary_miou: See `mpvss_model.evaluation.boundary_iou`.
        pixel_accuracy: Share of the labelled pixels that are right.
        mean_accuracy: Mean of the classes' accuracies.
        gflops_per_frame: Average of key frames and others, a multiply-add as 1.
        fps: Frames per second of the time inside `VideoSegmentor.step` alone.
        fps_with_reading: Frames per second of all the time.
        iou_per_class: By the model's names, as are the next three.
        boundary_iou_per_class: See `mpvss_model.evaluation.boundary_iou`.
        accuracy_per_class: Share of the class's pixels that are right.
        pixel_share_per_class: Share of the labelled pixels that are the class's.
        confusion_matrix: Pixels by ground truth (rows) and label, both in the order of the names; a last column counts pixels
            without a label.
        counts: What of the source was left out and why.
        notes: The same and what the metrics are of, in words.
        source: As the user gave it.
        split: Which part of it; None where it has no parts.
        model: Its name.
        propagation: Its name, or ``per-frame``.
        interval: A key frame at least every so many frames.
        first_intervals: Of each repeat, frames from the first key frame of a clip to the second. Metrics and figures of speed
            and cost are means over the repeats, counts of frames and pixels are sums.
        deviation: Standard deviation of the repeats, by metric; empty where there is one.
        history_weight: See `StreamConfig`.
        settings: All that differ from the defaults of `StreamConfig` and `DecodingConfig`.
        panoptic: Of single things and stuff, where the model finds and the ground truth shows them.
    """

    frames: int
    key_frames: int
    labelled_frames: int
    miou: float | None
    weighted_iou: float | None
    mvc8: float | None
    mvc16: float | None
    boundary_miou: float | None
    pixel_accuracy: float | None
    mean_accuracy: float | None
    gflops_per_frame: float | None
    fps: float
    fps_with_reading: float
    iou_per_class: dict[str, float | None]
    boundary_iou_per_class: dict[str, float | None]
    accuracy_per_class: dict[str, float | None]
    pixel_share_per_class: dict[str, float | None]
    confusion_matrix: list[list[int]]
    counts: SourceCounts
    notes: tuple[str, ...]
    source: str
    split: str | None
    model: str
    propagation: str
    interval: int
    first_intervals: tuple[int, ...]
    deviation: dict[str, float | None]
    history_weight: float
    settings: dict[str, object]
    panoptic: PanopticFigures | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON; the counts' entries stand beside the others."""
        entries: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            entries |= value.as_dict() if field.name == "counts" else {field.name: value}
        entries["panoptic"] = None if self.panoptic is None else asdict(self.panoptic)
        return {**entries, "notes": list(self.notes), "first_intervals": list(self.first_intervals)}
