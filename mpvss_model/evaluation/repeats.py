"""How much an evaluation's figures depend on where in a clip its key frames happen to be."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mpvss_model.config import PER_FRAME, StreamConfig
from mpvss_model.data import ClipSet
from mpvss_model.errors import ConfigError
from mpvss_model.evaluation.evaluation_report import EvaluationReport
from mpvss_model.evaluation.panoptic.panoptic_evaluation import mean_figures
from mpvss_model.evaluation.source_evaluation import evaluate_clips

__all__ = ["evaluate_repeatedly", "first_intervals", "mean_report"]

METRICS = ("miou", "weighted_iou", "mvc8", "mvc16", "boundary_miou", "pixel_accuracy", "mean_accuracy")
COSTS = ("gflops_per_frame", "fps", "fps_with_reading")
PER_CLASS = ("iou_per_class", "boundary_iou_per_class", "accuracy_per_class", "pixel_share_per_class")


def first_intervals(interval: int, repeats: int) -> tuple[int, ...]:
    """The distances from the first to the second key frame that some repeats have, evenly spread.

    A clip begins with a key frame wherever a recording happens to begin, and that decides which frames are labelled well. With
    as many repeats as the interval, each frame is as often a key frame as it is at any distance from one; more would only be
    the same again.

    >>> first_intervals(5, 5), first_intervals(10, 3), first_intervals(3, 5)
    ((5, 4, 3, 2, 1), (10, 7, 4), (3, 2, 1))

    Args:
        interval: A key frame every so many frames.
        repeats: At least 1.

    Raises:
        ConfigError: If there are no repeats.
    """
    if repeats < 1:
        raise ConfigError(f"repeats must be a whole number of at least 1, got {repeats!r}")
    different = min(repeats, interval)
    return tuple(interval - i * interval // different for i in range(different))


def evaluate_repeatedly(
    open_clips: Callable[[], ClipSet],
    *,
    repeats: int,
    propagation: str = "auto",
    config: StreamConfig | None = None,
    **settings: Any,
) -> EvaluationReport:
    """Evaluate with key frames in different places, see `first_intervals`.

    Args:
        open_clips: Opens the source anew, since what frames were read before may matter, as for those of 16 bits.
        repeats: How many at most.
        propagation: See `evaluate_clips`.
        config: See `evaluate_clips`.
        settings: See `evaluate_clips`.

    Raises:
        MPVSSError: If source, model or settings cannot be used.
    """
    config = config or StreamConfig()
    interval = 1 if propagation == PER_FRAME else config.max_interval_frames
    return mean_report(
        [
            evaluate_clips(open_clips(), propagation=propagation, config=config, first_interval=first, **settings)
            for first in first_intervals(interval, repeats)
        ]
    )


def mean_report(reports: Sequence[EvaluationReport]) -> EvaluationReport:
    """Several evaluations of one source in one way: mean and sample standard deviation of metrics, sums of counts."""
    first, *others = reports
    if not others:
        return first
    return replace(
        first,
        **{name: sum(getattr(report, name) for report in reports) for name in ("frames", "key_frames", "labelled_frames")},
        **{name: _mean([getattr(report, name) for report in reports]) for name in (*METRICS, *COSTS)},
        **{name: _means([getattr(report, name) for report in reports]) for name in PER_CLASS},
        confusion_matrix=sum(np.array(report.confusion_matrix) for report in reports).tolist(),
        notes=tuple(dict.fromkeys(note for report in reports for note in report.notes)),
        first_intervals=tuple(interval for report in reports for interval in report.first_intervals),
        panoptic=mean_figures([report.panoptic for report in reports if report.panoptic is not None]),
        deviation={name: _deviation([getattr(report, name) for report in reports]) for name in (*METRICS, *COSTS)},
    )


def _mean(values: Sequence[float | None]) -> float | None:
    return None if None in values else statistics.fmean(values)


def _means(values: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    return {name: _mean([value[name] for value in values]) for name in values[0]}


def _deviation(values: Sequence[float | None]) -> float | None:
    return None if None in values else statistics.stdev(values)
