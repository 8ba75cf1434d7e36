"""A study's figures for one source, from the counts of its clips."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np

from mpvss_model.class_names import distinct_names
from mpvss_model.evaluation.clip_evaluation import CONSISTENCY_WINDOWS, metrics_summary
from mpvss_model.evaluation.metrics import ConfusionMatrix, VideoConsistency
from mpvss_model.evaluation.study.clip_study import ClipStudy
from mpvss_model.evaluation.study.config import PER_FRAME
from mpvss_model.evaluation.study.corruptions import CORRUPTIONS
from mpvss_model.evaluation.study.latency import Latency
from mpvss_model.evaluation.study.result import ClipResult
from mpvss_model.evaluation.study.study_report import RunFigures, SourceFigures

__all__ = ["NO_CORRUPTION", "source_summary"]

NO_CORRUPTION = "none"


def source_summary(study: ClipStudy, results: Sequence[ClipResult], latency: Latency) -> SourceFigures:
    """The figures of all clips together.

    Args:
        study: Model and runs.
        results: Of the clips.
        latency: Of the same runs.
    """
    class_names = distinct_names(study.model.segmentor.class_names)
    confusions = sum(result.confusion for result in results)
    consistencies = sum(result.consistency for result in results)
    key_frames = sum(result.is_key.sum(axis=1) for result in results)
    gflops = _gflops_per_frame(study, results)
    frames = sum(result.is_key.shape[1] for result in results)
    grid = []
    for row, run in enumerate(study.runs):
        confusion = _confusion_matrix(confusions[row])
        metrics = metrics_summary(confusion, _video_consistency(consistencies[row]))
        grid.append(
            RunFigures(
                way=run.way,
                method=run.method,
                interval=run.interval,
                motion_threshold=run.motion_threshold,
                history_weight=run.history_weight,
                key_frames=int(key_frames[row]),
                **{name: _or_none(value) for name, value in metrics.items()},
                gflops_per_frame=_or_none(gflops[row]),
                ms_per_frame=latency.mean_ms(run.way, float(key_frames[row]) / frames),
                iou_per_class=dict(zip(class_names, map(_or_none, confusion.iou_per_class.tolist()), strict=True)),
            )
        )
    by_distance = sum(result.confusion_by_distance for result in results)
    corrupted = sum(result.corrupted_confusion for result in results)
    repeated = {
        name: [_miou(counts) for counts in repeats]
        for name, repeats in zip((NO_CORRUPTION, *CORRUPTIONS), corrupted.swapaxes(0, 1), strict=True)
    }
    methods = (PER_FRAME, *study.methods)
    frame_sizes = sorted({tuple(result.frame_size.tolist()) for result in results})
    return SourceFigures(
        clips=len(results),
        frames=frames,
        labelled_frames=sum(int(np.isfinite(result.agreement[0]).sum()) for result in results),
        frame_sizes=[list(size) for size in frame_sizes],
        inference_sizes=[list(study.inference_size(size)) for size in frame_sizes],
        key_ms=latency.key_ms,
        propagated_ms=latency.propagated_ms,
        key_ms_deviation=latency.key_ms_deviation,
        propagated_ms_deviation=latency.propagated_ms_deviation,
        grid=grid,
        miou_by_distance={
            method: [_miou(counts) for counts in rows] for method, rows in zip(methods, by_distance, strict=True)
        },
        robustness={name: None if None in mious else statistics.fmean(mious) for name, mious in repeated.items()},
        robustness_deviation={
            name: None if None in mious or len(mious) < 2 else statistics.stdev(mious) for name, mious in repeated.items()
        },
    )


def _gflops_per_frame(study: ClipStudy, results: Sequence[ClipResult]) -> list[float]:
    """Averages over the frames of all clips, for each run; NaN where the segmentor's cost cannot be counted."""
    totals = [0.0] * len(study.runs)
    for result in results:
        for row, run in enumerate(study.runs):
            cost = study.cost(run.method, tuple(result.frame_size.tolist()))
            if cost is None:
                return [float("nan")] * len(study.runs)
            cost = cost.with_history() if run.history_weight else cost
            key_frames = int(result.is_key[row].sum())
            propagated_frames = result.is_key.shape[1] - key_frames
            totals[row] += key_frames * cost.key_frame_gflops + propagated_frames * cost.propagated_frame_gflops
    frames = sum(result.is_key.shape[1] for result in results)
    return [total / frames for total in totals]


def _confusion_matrix(counts: np.ndarray) -> ConfusionMatrix:
    confusion = ConfusionMatrix(len(counts))
    confusion.counts += counts
    return confusion


def _video_consistency(sums: np.ndarray) -> dict[int, VideoConsistency]:
    """From float64 ``[2, 2]``, see `ClipResult`."""
    consistency = {window: VideoConsistency(window) for window in CONSISTENCY_WINDOWS}
    for measured, (accuracy_sum, windows) in zip(consistency.values(), sums.tolist(), strict=True):
        measured.accuracy_sum, measured.windows = accuracy_sum, int(windows)
    return consistency


def _miou(counts: np.ndarray) -> float | None:
    return _or_none(_confusion_matrix(counts).miou)


def _or_none(value: float) -> float | None:
    """JSON has no NaN."""
    return None if np.isnan(value) else value
