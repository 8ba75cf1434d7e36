"""How good labels are, and how long they take, at several sizes of inference.

    python -m benchmarks.inference_size SOURCE [--split SPLIT] [--every N] [--model M] [--sizes 240,320,480] [--json FILE]

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
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from mpvss_model import StreamConfig, VideoSegmentor
from mpvss_model.class_names import distinct_names
from mpvss_model.config import DEFAULT_MODEL
from mpvss_model.data import Frame, in_classes_of
from mpvss_model.evaluation.clip_evaluation import ClipEvaluation
from mpvss_model.evaluation.timing import timed_method
from mpvss_model.runtime.threads import use_threads
from mpvss_ros.bags.labelled_source import open_labelled_source
from mpvss_ros.cli.common.json_output import write_json

CAMERA_SIZE = (1920, 1080)
CAMERA_FRAMES, KEY_FRAME_INTERVAL = 13, 4
PAN_PX = 8
FRAME_PERIOD_NS = 66_666_667


@dataclass(frozen=True)
class SizeFigures:
    """What one size of inference gives.

    Attributes:
        inference_size: See `StreamConfig`.
        miou: 0..1, of all frames, each segmented.
        weighted_iou: Of the same.
        frame_ms: Mean of the source's frames, each segmented.
        camera_key_ms: Median of a 1920x1080 camera's key frames.
        camera_propagated_ms: Median of its frames in between.
        iou_per_class: By the model's names; None for a class that does not occur.
    """

    inference_size: int
    miou: float
    weighted_iou: float
    frame_ms: float
    camera_key_ms: float
    camera_propagated_ms: float
    iou_per_class: dict[str, float | None]


def measure(model: VideoSegmentor, frames: Sequence[Frame], size: int) -> SizeFigures:
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


def main() -> None:
    """Measure all sizes, each in its turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="bag, folder of frames or data set, with ground truth")
    parser.add_argument("--split", help="part of a data set")
    parser.add_argument("--every", type=int, default=1, help="take one frame of so many")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--sizes", default="240,320,480,0", help="shorter sides in pixels, separated by commas; 0: the frame's"
    )
    parser.add_argument("--json", type=Path, help="file to write")
    options = parser.parse_args()
    use_threads(1)
    model = VideoSegmentor.from_pretrained(options.model, device=options.device)
    source = in_classes_of(open_labelled_source(options.source, split=options.split), model.class_names, model.segmentor.name)
    labelled = [frame for clip in source.clips for frame in clip.frames if frame.is_labelled]
    frames = labelled[:: options.every]
    print(f"{options.model}, {len(frames)} of {len(labelled)} frames of {source.name}")
    print("size    mIoU   wIoU   ms   1920x1080: key frame ms, propagated ms")
    figures = []
    for size in map(int, options.sizes.split(",")):
        found = measure(model, frames, size)
        figures.append(asdict(found))
        print(
            f"{size:4d}   {found.miou:.3f}  {found.weighted_iou:.3f}  {found.frame_ms:5.0f}"
            f"   {found.camera_key_ms:6.0f}  {found.camera_propagated_ms:6.1f}",
            flush=True,
        )
    if options.json is not None:
        write_json(options.json, {"model": options.model, "frames": len(frames), "every": options.every, "sizes": figures})


if __name__ == "__main__":
    main()
