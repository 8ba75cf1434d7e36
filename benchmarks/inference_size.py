"""How good labels are, and how long they take, at several sizes of inference.

    python -m benchmarks.inference_size [SOURCE] [--split SPLIT] [--every N] [--model M] [--sizes 240,320,480] [--json FILE]

Frames of labelled images or video are segmented one by one, resized so that their shorter side has each of the sizes (0: at
their own). mIoU is against the ground truth at the frames' size. Times are from an image in memory to its labels, on one
thread, and of a CPU its processor time, so that others who use the machine count little: the mean of the source's frames,
and medians of a 1920x1080 camera's, whose frames in between are propagated as the model recommends. Choose on another part of
a data set than the one that figures are published of.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks.rows import Row, printed
from mpvss_model import StreamConfig, VideoSegmentor
from mpvss_model.class_names import distinct_names
from mpvss_model.config import DEFAULT_MODEL
from mpvss_model.data import Frame, in_classes_of
from mpvss_model.evaluation.clip_evaluation import ClipEvaluation
from mpvss_model.evaluation.timing import timed_method
from mpvss_model.runtime.threads import use_threads
from mpvss_ros.bags.labelled_source import open_labelled_source
from mpvss_ros.cli.common.json_output import write_json
from mpvss_ros.cli.common.options import SAMPLE_BAG

CAMERA_SIZE = (1920, 1080)
CAMERA_FRAMES, KEY_FRAME_INTERVAL = 13, 4
PAN_PX = 8
FRAME_PERIOD_NS = 66_666_667


@dataclass(frozen=True)
class SizeFigures:
    """What one size of inference gives.

    Attributes:
        inference_size: See `StreamConfig`.
        frames: Of the source.
        miou: 0..1, of all frames, each segmented.
        weighted_iou: Of the same.
        frame_ms: Mean of the source's frames, each segmented.
        camera_key_ms: Median of a 1920x1080 camera's key frames.
        camera_propagated_ms: Median of its frames in between.
        iou_per_class: By the model's names; None for a class that does not occur.
    """

    inference_size: int
    frames: int
    miou: float
    weighted_iou: float
    frame_ms: float
    camera_key_ms: float
    camera_propagated_ms: float
    iou_per_class: dict[str, float | None]


def figures_at(model: VideoSegmentor, frames: Sequence[Frame], size: int) -> SizeFigures:
    """Segment all frames at one size of inference, and time a camera's."""
    evaluation = ClipEvaluation(model.new_stream(StreamConfig(max_interval_frames=1, inference_size=size)))
    with timed_steps(model) as steps_s:
        for i, frame in enumerate(track(frames, f"size {size}", transient=True, console=Console(stderr=True))):
            evaluation.start_video()
            evaluation.add_frame(frame.read_image(), i * FRAME_PERIOD_NS, frame.read_label())
    key_ms, propagated_ms = camera_ms(model, frames[0].read_image(), size)
    ious = zip(distinct_names(model.class_names), evaluation.confusion.iou_per_class.tolist(), strict=True)
    return SizeFigures(
        inference_size=size,
        frames=len(frames),
        miou=evaluation.confusion.miou,
        weighted_iou=evaluation.confusion.weighted_iou,
        frame_ms=1e3 * statistics.mean(steps_s),
        camera_key_ms=key_ms,
        camera_propagated_ms=propagated_ms,
        iou_per_class={name: None if math.isnan(iou) else iou for name, iou in ious},
    )


def camera_ms(model: VideoSegmentor, image: np.ndarray, size: int) -> tuple[float, float]:
    """Median milliseconds of key frames and of frames in between, of a camera that pans over an image."""
    stream = model.new_stream(StreamConfig(max_interval_frames=KEY_FRAME_INTERVAL, inference_size=size))
    view = cv2.resize(image, CAMERA_SIZE, interpolation=cv2.INTER_CUBIC)
    key_s, propagated_s = [], []
    for i in range(CAMERA_FRAMES):
        frame = np.roll(view, PAN_PX * i, axis=1)
        with timed_steps(model) as steps_s:
            answer = stream.step(frame, stamp_ns=i * FRAME_PERIOD_NS)
        if i > 1:  # the first ones pay one-time costs
            (key_s if answer.is_key_frame else propagated_s).extend(steps_s)
    return 1e3 * statistics.median(key_s), 1e3 * statistics.median(propagated_s)


def timed_steps(model: VideoSegmentor) -> AbstractContextManager[list[float]]:
    """Of all streams of a model."""
    is_on_gpu = model.segmentor.device.type == "cuda"
    return timed_method(VideoSegmentor, "step", time.perf_counter if is_on_gpu else time.thread_time)


def all_figures(options: argparse.Namespace) -> Iterator[SizeFigures]:
    """Of all sizes, each in its turn."""
    use_threads(1)
    model = VideoSegmentor.from_pretrained(options.model, device=options.device)
    source = in_classes_of(open_labelled_source(options.source, split=options.split), model.class_names, model.segmentor.name)
    labelled = [frame for clip in source.clips for frame in clip.frames if frame.is_labelled]
    frames = labelled[:: options.every]
    print(f"{options.model}, {len(frames)} of {len(labelled)} frames of {source.name}")
    for size in map(int, options.sizes.split(",")):
        yield figures_at(model, frames, size)


def row_of(figures: SizeFigures) -> Row:
    """Of the table."""
    return {
        "inference size": figures.inference_size,
        "frames": figures.frames,
        "mIoU": figures.miou,
        "weighted IoU": figures.weighted_iou,
        "frame ms": figures.frame_ms,
        "1920x1080: key frame ms": figures.camera_key_ms,
        "1920x1080: propagated ms": figures.camera_propagated_ms,
    }


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """A row for each size."""
    return map(row_of, all_figures(options))


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument(
        "source",
        type=Path,
        nargs="?",
        default=SAMPLE_BAG,
        help="bag, folder of frames or data set, with ground truth; by default the shipped clip",
    )
    options.add_argument("--split", help="part of a data set")
    options.add_argument("--every", type=int, default=1, help="take one frame of so many")
    options.add_argument("--model", default=DEFAULT_MODEL)
    options.add_argument("--device", default="auto")
    options.add_argument(
        "--sizes", default="240,320,480,0", help="shorter sides in pixels, separated by commas; 0: the frame's"
    )
    options.add_argument("--json", type=Path, help="file to write")
    return options


def main() -> None:
    """Run the benchmark."""
    options = parser().parse_args()
    figures: list[SizeFigures] = []

    def rows() -> Iterator[Row]:
        for found in all_figures(options):
            figures.append(found)
            yield row_of(found)

    list(printed(rows()))
    if options.json is not None:
        sizes = [asdict(found) for found in figures]
        write_json(options.json, {"model": options.model, "every": options.every, "sizes": sizes})


if __name__ == "__main__":
    main()
