"""``mpvss evaluate``: a model's metrics, cost and speed on a bag, a folder of frames or a data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.table import Table

from mpvss_model import ConfigError, Segmentation, StreamConfig, VideoSegmentor
from mpvss_model.class_names import distinct_names
from mpvss_model.data import Clip, ClipSet, in_classes_of
from mpvss_model.errors import DataError, FrameError, MPVSSError, PropagationError, SegmentorError, StaleKeyFrameError
from mpvss_model.evaluation.clip_evaluation import ClipEvaluation
from mpvss_model.evaluation.flops import can_be_counted, stream_cost
from mpvss_model.evaluation.timing import Stopwatch
from mpvss_model.propagation.registry import AUTO, propagation_choices
from mpvss_ros.bags.labelled_source import BagFrames, open_labelled_source
from mpvss_ros.bags.source_counts import SourceCounts

__all__ = ["PER_FRAME", "evaluate_source", "evaluation_table"]

PER_FRAME = "per-frame"
UNANSWERED_REASONS = {
    SegmentorError: "no key frame",
    StaleKeyFrameError: "masks too old",
    PropagationError: "propagation failed",
}
# What the table shows, and how.
FIGURES = {
    "frames": "{}",
    "key_frames": "{}",
    "miou": "{:.3f}",
    "weighted_iou": "{:.3f}",
    "mvc8": "{:.3f}",
    "mvc16": "{:.3f}",
    "gflops_per_frame": "{:.2f}",
    "fps": "{:.1f}",
}


class FrameCounter:
    """Counts results and tells how far along they are."""

    def __init__(self, total: int, on_frame: Callable[[int, int], None]) -> None:
        self.frames = 0
        self.key_frames = 0
        self.frame_size: tuple[int, int] | None = None
        self._total = total
        self._on_frame = on_frame

    def __call__(self, segmentation: Segmentation) -> None:
        self.frames += 1
        self.key_frames += segmentation.is_key_frame
        self.frame_size = self.frame_size or segmentation.labels.shape
        self._on_frame(self.frames, self._total)


def evaluate_source(
    source: Path,
    *,
    model: str,
    propagation: str,
    interval: int,
    history_weight: float = StreamConfig.history_weight,
    topic: str | None = None,
    split: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    on_frame: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, object]:
    """Segment everything in a source and measure the result against its ground truth.

    Args:
        source: A rosbag2 recording, or a folder in one of the layouts of `mpvss_model.data`.
        model: See `VideoSegmentor.from_pretrained`.
        propagation: Likewise, or ``per-frame`` to segment every frame, without a history.
        interval: A key frame every so many frames.
        history_weight: See `StreamConfig`.
        topic: Of a bag's camera, if it has several.
        split: Of a data set.
        device: See `VideoSegmentor.from_pretrained`.
        precision: Likewise.
        on_frame: Called with the frames done and their total.

    Returns:
        The figures of the table, ``iou_per_class`` and the settings; None for what could not be measured. ``fps`` is of the
        time inside `VideoSegmentor.step` alone, ``fps_with_reading`` of all. What of the source was left out is counted by
        reason, see `SourceCounts`; ``notes`` says it in words.

    Raises:
        MPVSSError: If source, model or settings cannot be used, or no frame of the source can.
    """
    if propagation not in (choices := (PER_FRAME, *propagation_choices())):
        raise ConfigError(f"propagation must be one of {', '.join(choices)}, got {propagation!r}")
    if propagation == PER_FRAME:
        config = StreamConfig(max_interval_frames=1)
    else:
        config = StreamConfig(max_interval_frames=interval, history_weight=history_weight)

    def load() -> VideoSegmentor:
        return VideoSegmentor.from_pretrained(
            model,
            device=device,
            propagation=AUTO if propagation == PER_FRAME else propagation,
            precision=precision,
            config=config,
        )

    clips = open_labelled_source(source, split=split, topic=topic)
    segmentor = load()
    clips = in_classes_of(clips, segmentor.class_names, segmentor.segmentor.name)
    figures = _evaluated(segmentor, clips, on_frame)
    return {
        **figures,
        "source": str(source),
        "model": segmentor.segmentor.name,
        "propagation": PER_FRAME if propagation == PER_FRAME else segmentor.propagator.name,
        "interval": config.max_interval_frames,
        "history_weight": config.history_weight,
    }


def evaluation_table(report: dict[str, object]) -> Table:
    """The report's figures, without the classes."""
    table = Table(
        title=f"{report['model']} on {Path(report['source']).name}, {report['propagation']}, interval {report['interval']}",
        show_header=False,
    )
    table.add_column()
    table.add_column(justify="right")
    for name, pattern in FIGURES.items():
        table.add_row(name, "-" if report[name] is None else pattern.format(report[name]))
    return table


def _evaluated(segmentor: VideoSegmentor, clips: ClipSet, on_frame: Callable[[int, int], None]) -> dict[str, object]:
    counter = FrameCounter(sum(_listed(clip) for clip in clips.clips), on_frame)
    counts = SourceCounts()
    evaluation = ClipEvaluation(segmentor, counter, on_unanswered=lambda error: counts.leave_out(error, _reason(error)))
    with Stopwatch() as everything:
        for clip in clips.clips:
            evaluation.add_video(clip.frames)
            if isinstance(clip.frames, BagFrames):
                counts.include(clip.frames.counts)
    if counter.frames == 0:
        raise DataError(f"{clips.name} has no frame that can be evaluated: {'; '.join(counts.lines()) or 'no images'}")
    figures = {
        "frames": counter.frames,
        "key_frames": counter.key_frames,
        "labelled_frames": evaluation.labelled_frames,
        **evaluation.summary(),
        "gflops_per_frame": _gflops_per_frame(segmentor, counter),
        "fps": counter.frames / evaluation.step_s,
        "fps_with_reading": counter.frames / everything.total_s,
    }
    names_and_ious = zip(distinct_names(segmentor.class_names), evaluation.confusion.iou_per_class.tolist())
    return {
        **{name: _or_none(value) for name, value in figures.items()},
        "iou_per_class": {name: _or_none(iou) for name, iou in names_and_ious},
        **counts.as_dict(),
        "notes": [
            *_encoding_notes(counts),
            *counts.lines(),
            *_ground_truth_notes(clips, counter.frames, evaluation.labelled_frames),
        ],
    }


def _encoding_notes(counts: SourceCounts) -> list[str]:
    encodings = ", ".join(f"{count} {encoding}" for encoding, count in counts.encodings.items())
    return [f"frames by encoding: {encodings}"] if encodings else []


def _ground_truth_notes(clips: ClipSet, frames: int, labelled_frames: int) -> list[str]:
    """What the metrics are of."""
    if labelled_frames == 0:
        return ["no frame has ground truth to compare with"]
    notes = [f"{labelled_frames} of {frames} frames have ground truth"] if labelled_frames < frames else []
    if clips.class_names is None:
        notes.append("the ground truth has no class names: its values are taken for the model's class indices")
    return notes


def _listed(clip: Clip) -> int:
    return clip.frames.listed if isinstance(clip.frames, BagFrames) else len(clip.frames)


def _reason(error: MPVSSError) -> str:
    return error.reason if isinstance(error, FrameError) else UNANSWERED_REASONS[type(error)]


def _gflops_per_frame(segmentor: VideoSegmentor, counter: FrameCounter) -> float:
    """Average over the frames that were segmented and those that were not; NaN where the segmentor's cost is unknown."""
    if counter.frames == 0 or not can_be_counted(segmentor.segmentor):
        return float("nan")
    cost = stream_cost(segmentor.segmentor, segmentor.propagator, frame_size=counter.frame_size)
    cost = cost.with_history() if segmentor.config.history_weight else cost
    propagated = counter.frames - counter.key_frames
    return (counter.key_frames * cost.key_frame_gflops + propagated * cost.propagated_frame_gflops) / counter.frames


def _or_none(value: float) -> float | None:
    """JSON has no NaN."""
    return None if np.isnan(value) else value
