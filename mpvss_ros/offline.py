"""``mpvss evaluate``: a model's metrics, cost and speed on a bag, a folder of frames or a data set."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from rich.table import Table

from mpvss_model import ConfigError, Segmentation, StreamConfig, VideoSegmentor
from mpvss_model.data import Frame, open_clips
from mpvss_model.evaluation import ClipEvaluation
from mpvss_model.flops import can_be_counted, stream_cost
from mpvss_model.propagation import PROPAGATIONS
from mpvss_ros.bag import Bag
from mpvss_ros.bag_files import is_bag_file, is_bag_folder

__all__ = ["PER_FRAME", "evaluate_source", "evaluation_table", "is_bag"]

PER_FRAME = "per-frame"
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
        The figures of the table, ``iou_per_class`` and the settings; None for what could not be measured.

    Raises:
        MPVSSError: If source, model or settings cannot be used.
    """
    if propagation != PER_FRAME and propagation not in PROPAGATIONS:
        raise ConfigError(f"propagation must be one of {PER_FRAME}, {', '.join(PROPAGATIONS)}, got {propagation!r}")
    if propagation == PER_FRAME:
        config = StreamConfig(max_interval_frames=1)
    else:
        config = StreamConfig(max_interval_frames=interval, history_weight=history_weight)

    def load() -> VideoSegmentor:
        return VideoSegmentor.from_pretrained(
            model,
            device=device,
            propagation="auto" if propagation == PER_FRAME else propagation,
            precision=precision,
            config=config,
        )

    if is_bag(source):
        from mpvss_ros.evaluation import bag_frames  # needs ROS, which folders do not

        with Bag(source) as bag:
            camera_topic = bag.image_topic(topic)
            segmentor = load()
            figures = _evaluated(segmentor, [bag_frames(bag, camera_topic)], bag.count(camera_topic), on_frame)
    else:
        clips = open_clips(source, split=split)
        segmentor = load()
        clips.check_classes(segmentor.class_names, segmentor.segmentor.name)
        total = sum(len(clip.frames) for clip in clips.clips)
        figures = _evaluated(segmentor, (clip.frames for clip in clips.clips), total, on_frame)
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


def _evaluated(
    segmentor: VideoSegmentor, videos: Iterable[Iterable[Frame]], total: int, on_frame: Callable[[int, int], None]
) -> dict[str, object]:
    counter = FrameCounter(total, on_frame)
    evaluation = ClipEvaluation(segmentor, counter)
    started_s = time.perf_counter()
    for frames in videos:
        evaluation.add_video(frames)
    elapsed_s = time.perf_counter() - started_s
    figures = {
        "frames": counter.frames,
        "key_frames": counter.key_frames,
        **evaluation.summary(),
        "gflops_per_frame": _gflops_per_frame(segmentor, counter),
        "fps": counter.frames / elapsed_s,
    }
    names_and_ious = zip(segmentor.class_names, evaluation.confusion.iou_per_class.tolist())
    return {
        **{name: _or_none(value) for name, value in figures.items()},
        "iou_per_class": {name: _or_none(iou) for name, iou in names_and_ious},
    }


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


def is_bag(source: Path) -> bool:
    """Whether a source is read as a bag, also where there is nothing: a bag's errors tell what may be given."""
    return is_bag_file(source) or is_bag_folder(source) or not source.exists()
