"""A model's metrics, cost and speed on labelled video."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch

from mpvss_model.class_names import distinct_names
from mpvss_model.config import PER_FRAME, DecodingConfig, ExecutionConfig, StreamConfig
from mpvss_model.data import ClipSet, Frame, in_classes_of
from mpvss_model.data.source_counts import CountedFrames, SourceCounts, listed_frames
from mpvss_model.errors import ConfigError, DataError, left_out_reason
from mpvss_model.evaluation.clip_evaluation import ClipEvaluation
from mpvss_model.evaluation.evaluation_report import EvaluationReport
from mpvss_model.evaluation.flops import stream_cost
from mpvss_model.evaluation.label_export import LabelExport
from mpvss_model.evaluation.timing import Stopwatch
from mpvss_model.propagation.registry import AUTO, make_propagator, propagation_choices
from mpvss_model.segmentor.registry import load_model
from mpvss_model.segmentor.shipped_models import model_location
from mpvss_model.settings import changed_settings
from mpvss_model.stream.segmentation import Segmentation
from mpvss_model.stream.video_segmentor import VideoSegmentor

__all__ = ["check_way", "check_ways_of", "evaluate_clips"]


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


def check_way(propagation: str) -> None:
    """Raise `ConfigError` unless it is ``per-frame`` or a way of propagation."""
    if propagation not in (choices := (PER_FRAME, *propagation_choices())):
        raise ConfigError(f"propagation must be one of {', '.join(choices)}, got {propagation!r}")


def check_ways_of(model: str, ways: Iterable[str]) -> None:
    """Raise before anything is segmented if a model cannot propagate in one of several ways.

    Args:
        model: See `VideoSegmentor.from_pretrained`.
        ways: Each as `evaluate_clips` takes it.

    Raises:
        CheckpointError: If the model cannot be loaded.
        ConfigError: If a way needs a motion module and the model has none.
    """
    loaded = load_model(model_location(model), device=torch.device("cpu"))
    for way in ways:
        if way != PER_FRAME:
            make_propagator(way, motion=loaded.motion, recommended=loaded.propagation)


def evaluate_clips(
    clips: ClipSet,
    *,
    source: str,
    model: str,
    propagation: str = "auto",
    config: StreamConfig | None = None,
    decoding: DecodingConfig | None = None,
    device: str = "auto",
    precision: str = "auto",
    execution: ExecutionConfig | None = None,
    thing_classes: Sequence[str] = (),
    first_interval: int | None = None,
    export: LabelExport | None = None,
    on_frame: Callable[[int, int], None] = lambda done, total: None,
) -> EvaluationReport:
    """Segment all clips of a set and measure the result against their ground truth.

    Args:
        clips: From a recording or a data set.
        source: Where they come from, for the report.
        model: See `VideoSegmentor.from_pretrained`.
        propagation: See `VideoSegmentor.from_pretrained`, or ``per-frame`` to segment every frame, without a history.
        config: Of the stream; where every frame is segmented, only the size of inference counts.
        decoding: That the clips were opened with, for the report.
        device: See `VideoSegmentor.from_pretrained`.
        precision: See `VideoSegmentor.from_pretrained`.
        execution: See `VideoSegmentor.from_pretrained`.
        thing_classes: See `VideoSegmentor.from_pretrained`.
        first_interval: Frames from the first key frame of a clip to the second, 1 up to the interval; by default that. A clip
            begins with a key frame anyway, so this shifts all others.
        export: Gets the labels.
        on_frame: Called with the frames done and their total.

    Raises:
        MPVSSError: If clips, model or settings cannot be used, or no frame of the clips can.
    """
    check_way(propagation)
    is_per_frame = propagation == PER_FRAME
    config = config or StreamConfig()
    if is_per_frame:
        config = StreamConfig(max_interval_frames=1, inference_size=config.inference_size)
    segmentor = VideoSegmentor.from_pretrained(
        model,
        device=device,
        propagation=AUTO if is_per_frame else propagation,
        precision=precision,
        config=config,
        execution=execution,
        thing_classes=thing_classes,
    )
    segmentor.follows_things = bool(segmentor.things) and _have_instances(clips)
    first_interval = _checked_first_interval(first_interval, config.max_interval_frames)
    name = segmentor.segmentor.name
    clips = in_classes_of(clips, segmentor.class_names, name)
    if export is not None:
        export.use_classes(segmentor.class_names, name)
    counter = FrameCounter(sum(listed_frames(clip) for clip in clips.clips), on_frame)
    counts = SourceCounts()

    def export_answer(frame: Frame, segmentation: Segmentation) -> None:
        if export is not None:
            export.write(frame, segmentation.labels)

    evaluation = ClipEvaluation(
        segmentor,
        counter,
        on_unanswered=lambda error: counts.leave_out(error, left_out_reason(error)),
        on_answer=export_answer,
        with_boundary=True,
    )
    with Stopwatch() as everything:
        for clip in clips.clips:
            if export is not None:
                export.start_clip(clip.name)
            evaluation.add_video(_with_key_frame(clip.frames, first_interval, segmentor))
            if isinstance(clip.frames, CountedFrames):
                counts.include(clip.frames.counts)
    if counter.frames == 0:
        raise DataError(f"{clips.name} has no frame that can be evaluated: {'; '.join(counts.lines()) or 'no images'}")
    confusion, boundary = evaluation.confusion, evaluation.boundary

    def by_class(values: np.ndarray) -> dict[str, float | None]:
        return dict(zip(distinct_names(segmentor.class_names), map(_or_none, values.tolist()), strict=True))

    return EvaluationReport(
        frames=counter.frames,
        key_frames=counter.key_frames,
        labelled_frames=evaluation.labelled_frames,
        **{metric: _or_none(value) for metric, value in evaluation.summary().items()},
        boundary_miou=_or_none(boundary.miou),
        pixel_accuracy=_or_none(confusion.pixel_accuracy),
        mean_accuracy=_or_none(confusion.mean_accuracy),
        gflops_per_frame=_gflops_per_frame(segmentor, counter),
        fps=counter.frames / evaluation.step_s,
        fps_with_reading=counter.frames / everything.total_s,
        iou_per_class=by_class(confusion.iou_per_class),
        boundary_iou_per_class=by_class(boundary.iou_per_class),
        accuracy_per_class=by_class(confusion.accuracy_per_class),
        pixel_share_per_class=by_class(confusion.pixel_shares),
        confusion_matrix=confusion.counts.tolist(),
        counts=counts,
        notes=(
            *_encoding_notes(counts),
            *counts.lines(),
            *_size_notes(segmentor, counter.frame_size),
            *_ground_truth_notes(clips, counter.frames, evaluation.labelled_frames),
        ),
        source=source,
        split=clips.split,
        model=name,
        propagation=PER_FRAME if is_per_frame else segmentor.propagator.name,
        interval=config.max_interval_frames,
        first_intervals=(first_interval,),
        deviation={},
        history_weight=config.history_weight,
        settings={
            **changed_settings(config),
            **changed_settings(decoding or DecodingConfig()),
            **changed_settings(execution or ExecutionConfig()),
        },
        panoptic=None if evaluation.panoptic is None else evaluation.panoptic.figures(),
    )


def _have_instances(clips: ClipSet) -> bool:
    """Whether ground truth shows single things; that of recordings does not."""
    folders = [clip.frames for clip in clips.clips if not isinstance(clip.frames, CountedFrames)]
    return any(frame.read_instances is not None for frames in folders for frame in frames)


def _checked_first_interval(first_interval: int | None, interval: int) -> int:
    if first_interval is None:
        return interval
    if not 1 <= first_interval <= interval:
        raise ConfigError(f"first_interval must be 1 up to the interval of {interval}, got {first_interval!r}")
    return first_interval


def _with_key_frame(frames: Iterable[Frame], index: int, segmentor: VideoSegmentor) -> Iterator[Frame]:
    """The frames of a clip, with a key frame at one of them, whatever the schedule says."""
    for i, frame in enumerate(frames):
        if i == index and index < segmentor.config.max_interval_frames:
            segmentor.request_key_frame()
        yield frame


def _encoding_notes(counts: SourceCounts) -> list[str]:
    encodings = ", ".join(f"{count} {encoding}" for encoding, count in counts.encodings.items())
    return [f"frames by encoding: {encodings}"] if encodings else []


def _size_notes(segmentor: VideoSegmentor, frame_size: tuple[int, int]) -> list[str]:
    """At which size frames were segmented, if not at their own."""
    (height, width), own = segmentor.inference_size(frame_size), frame_size
    return [f"frames of {own[1]} x {own[0]} pixels were segmented at {width} x {height}"] if (height, width) != own else []


def _ground_truth_notes(clips: ClipSet, frames: int, labelled_frames: int) -> list[str]:
    """What the metrics are of."""
    if labelled_frames == 0:
        return ["no frame has ground truth to compare with"]
    notes = [f"{labelled_frames} of {frames} frames have ground truth"] if labelled_frames < frames else []
    if clips.class_names is None:
        notes.append("the ground truth has no class names: its values are taken for the model's class indices")
    return notes


def _gflops_per_frame(segmentor: VideoSegmentor, counter: FrameCounter) -> float | None:
    """Average over the frames that were segmented and those that were not; None where the segmentor's cost is unknown."""
    size = segmentor.inference_size(counter.frame_size)
    cost = stream_cost(segmentor.segmentor, segmentor.propagator, frame_size=size)
    if cost is None:
        return None
    cost = cost.with_history() if segmentor.config.history_weight else cost
    propagated = counter.frames - counter.key_frames
    return (counter.key_frames * cost.key_frame_gflops + propagated * cost.propagated_frame_gflops) / counter.frames


def _or_none(value: float) -> float | None:
    """JSON has no NaN."""
    return None if np.isnan(value) else value
