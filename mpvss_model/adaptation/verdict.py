"""Whether an adapted model is taken: it must see the held-back part better, and not have forgotten what it knew."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mpvss_model.data import ClipSet
from mpvss_model.evaluation.clip_evaluation import ClipEvaluation
from mpvss_model.semantics import UNLABELED
from mpvss_model.stream.video_segmentor import VideoSegmentor

__all__ = ["Measured", "Verdict", "measured"]


@dataclass(frozen=True)
class Measured:
    """A model before and after on one data set, each frame segmented.

    Attributes:
        frames: That were compared.
        miou: Before and after, 0..1.
        iou_per_class: By class, before and after; NaN for classes that the data set does not show.
        agreement: float64 ``[2, frames]``: the share of the labelled pixels that are the same, before and after.
    """

    frames: int
    miou: tuple[float, float]
    iou_per_class: dict[str, tuple[float, float]]
    agreement: np.ndarray

    @property
    def gain(self) -> float:
        """In mIoU."""
        return self.miou[1] - self.miou[0]


@dataclass(frozen=True)
class Verdict:
    """What came of an adaptation.

    Attributes:
        held_back: On the held-back frames of the recordings, against the teacher's labels.
        mixed: On the held-back part of what was mixed in, against its labels; None if nothing was.
        min_gain: That is asked of ``held_back``.
        max_loss: That ``mixed`` is allowed.
    """

    held_back: Measured
    mixed: Measured | None
    min_gain: float
    max_loss: float

    @property
    def is_taken(self) -> bool:
        """Whether the adapted model takes the old one's place."""
        return self._is_better and not self._has_forgotten

    @property
    def reason(self) -> str:
        """One line with the figures that decide."""
        figures = f"held-back frames {_change(self.held_back)}"
        figures += "" if self.mixed is None else f", mixed-in data {_change(self.mixed)}"
        if self.is_taken:
            return f"the adapted model is taken: {figures}"
        why = (
            f"gained less than {100 * self.min_gain:g} points"
            if not self._is_better
            else (f"lost more than {100 * self.max_loss:g} points on the mixed-in data")
        )
        return f"the old model is kept, since the adapted one {why}: {figures}"

    @property
    def _is_better(self) -> bool:
        return math.isfinite(self.held_back.gain) and self.held_back.gain >= self.min_gain

    @property
    def _has_forgotten(self) -> bool:
        return self.mixed is not None and not -self.mixed.gain <= self.max_loss


def measured(before: VideoSegmentor, after: VideoSegmentor, clips: ClipSet) -> Measured:
    """Compare two models of the same classes on labelled clips, whose class indices are theirs.

    Args:
        before: Segments every frame.
        after: Likewise.
        clips: With labels; frames without are left out.

    Raises:
        MPVSSError: If a frame cannot be used.
    """
    evaluations, agreement = [], []
    for segmentor in (before, after):
        evaluation, right = ClipEvaluation(segmentor), []
        for clip in clips.clips:
            evaluation.start_video()
            for frame in clip.frames:
                if frame.read_label is None:
                    continue
                truth = frame.read_label()
                labels = evaluation.add_frame(frame.read_image(), frame.stamp_ns, truth).labels
                is_labelled = truth != UNLABELED
                right.append(float((labels == truth)[is_labelled].mean()) if is_labelled.any() else math.nan)
        evaluations.append(evaluation.confusion)
        agreement.append(right)
    names = clips.class_names or tuple(map(str, range(len(evaluations[0].counts))))
    pairs = zip(*(confusion.iou_per_class.tolist() for confusion in evaluations), strict=True)
    miou_before, miou_after = (confusion.miou for confusion in evaluations)
    return Measured(
        frames=len(agreement[0]),
        miou=(miou_before, miou_after),
        iou_per_class=dict(zip(names, pairs, strict=True)),
        agreement=np.array(agreement),
    )


def _change(result: Measured) -> str:
    before, after = result.miou
    return f"{before:.3f} -> {after:.3f} mIoU"
