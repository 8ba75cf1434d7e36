"""Panoptic quality (Kirillov et al., CVPR 2019) and video panoptic quality (Kim et al., VPSNet, CVPR 2020).

No package that is installed with pip has the latter; with windows of one frame it is the former.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from mpvss_model.evaluation.panoptic.overlaps import MIN_IOU, VOID, Overlaps
from mpvss_model.instances.panoptic import CLASS_SHIFT

__all__ = ["PanopticQuality", "Quality"]


@dataclass(frozen=True)
class Quality:
    """Means over classes, each 0..1; nan where there are none.

    Attributes:
        pq: Panoptic quality, ``sum of IoU / (TP + FP / 2 + FN / 2)``.
        sq: Segmentation quality, ``sum of IoU / TP``.
        rq: Recognition quality, ``TP / (TP + FP / 2 + FN / 2)``.
    """

    pq: float
    sq: float
    rq: float


class PanopticQuality:
    """Counts segments that are right, missing, and wrong, over windows of successive frames.

    In a window, a segment of the answer and one of the ground truth of the same class and with an IoU above 0.5 are a match: a
    thing must therefore keep its id all the time. Windows begin at each frame and are pooled over all videos, as in VPSNet's
    evaluation. Pixels that are not labelled do not count, and a segment that lies mostly there is not wrong.

    Args:
        num_classes: ``C``.
        window: Frames, at least 1. Videos that are shorter do not count.
    """

    def __init__(self, num_classes: int, window: int = 1) -> None:
        self._counts = np.zeros((num_classes, 4))  # sum of IoU, true positives, false positives, false negatives
        self._window = window
        self._frames: deque[Overlaps] = deque(maxlen=window)

    def start_video(self) -> None:
        """Say that the next frame does not follow on the last one."""
        self._frames.clear()

    def update(self, frame: Overlaps) -> None:
        """Count the next frame of the video."""
        self._frames.append(frame)
        if len(self._frames) == self._window:
            self._count(frame if self._window == 1 else Overlaps.together(self._frames))

    def _count(self, window: Overlaps) -> None:
        ious = window.ious()
        is_match = (ious > MIN_IOU) & (window.truth >> CLASS_SHIFT == window.found >> CLASS_SHIFT)
        matched, classes = ious[is_match], window.truth[is_match] >> CLASS_SHIFT
        np.add.at(self._counts[:, 0], classes, matched)
        np.add.at(self._counts[:, 1], classes, 1)
        wrong = np.unique(window.found[~window.mostly_void()])
        self._count_unmatched(2, wrong, window.found[is_match])
        self._count_unmatched(3, np.unique(window.truth), window.truth[is_match])

    def _count_unmatched(self, column: int, segments: np.ndarray, matched: np.ndarray) -> None:
        unmatched = np.setdiff1d(segments, [*matched, VOID])
        np.add.at(self._counts[:, column], unmatched >> CLASS_SHIFT, 1)

    def of(self, classes: Collection[int]) -> Quality:
        """Means over those of some classes that ground truth or answers have."""
        iou, right, wrong, missing = self._counts[sorted(classes)].T
        all_counts = right + (wrong + missing) / 2
        occurs = all_counts > 0
        if not occurs.any():
            return Quality(*[float("nan")] * 3)
        iou, right, all_counts = iou[occurs], right[occurs], all_counts[occurs]
        return Quality(
            pq=float((iou / all_counts).mean()),
            sq=float((iou / np.maximum(right, 1)).mean()),
            rq=float((right / all_counts).mean()),
        )
