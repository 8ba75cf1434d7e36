"""Fixed key frames against those that motion asks for, at as many key frames.

    python -m benchmarks.key_frame_schedules [BAG]

Two videos are made of the bag: its frames as they are, and a robot that stops and goes (drives 13 frames, stands for 17).
Both are begun at several frames, so that no schedule is lucky. Shown are mIoU against the ground truth, and, since a weak
model hides what propagation loses, mIoU and share of pixels against the labels that the model itself gives when it segments
every frame.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mpvss_model import StreamConfig, VideoSegmentor
from mpvss_model.config import DEFAULT_MODEL
from mpvss_model.evaluation.metrics import ConfusionMatrix
from mpvss_model.image import FramePadding
from mpvss_model.propagation.ways.copy import CopyPropagator
from mpvss_model.segmentor.key_frame import KeyFrame
from mpvss_model.semantics import class_scores, label_map
from mpvss_ros.bags.bag import Bag
from mpvss_ros.bags.bag_frames import bag_frames
from mpvss_ros.cli.common.options import SAMPLE_BAG

FIXED_INTERVALS = (5, 7, 10, 15)
STARTS = (0, 5)
DRIVEN_FRAMES, STANDING_FRAMES = 13, 17
FRAME_PERIOD_NS = 66_666_667
SEARCH_STEPS = 12


@dataclass(frozen=True)
class VideoFrame:
    """A camera frame with what its labels are compared with, uint8 ``[H, W]`` each."""

    image: np.ndarray
    truth: np.ndarray
    per_frame_labels: np.ndarray


class RememberingSegmentor:
    """Segments each image once, and alone, so that no key frame depends on those before it."""

    def __init__(self, segmentor) -> None:
        self._segmentor = segmentor
        self._key_frames: dict[int, KeyFrame] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(self._segmentor, name)

    def segment(self, frame: np.ndarray, stamp_s: float) -> KeyFrame:
        """The key frame of an image, uint8 RGB ``[H, W, 3]``, at a stamp in seconds."""
        if id(frame) not in self._key_frames:
            self._key_frames[id(frame)] = self._segmentor.segment(frame, stamp_s)
        key_frame = self._key_frames[id(frame)]
        return KeyFrame(**{**vars(key_frame), "stamp_s": stamp_s, "memory": None})


class NoSegmentor:
    """Makes key frames without masks: when a key frame is due does not depend on them."""

    def segment(self, frame: np.ndarray, stamp_s: float) -> KeyFrame:
        """A key frame of an image, uint8 RGB ``[H, W, 3]``, whose one query has no mask."""
        padding = FramePadding(*frame.shape[:2])
        return KeyFrame(frame, stamp_s, padding, torch.zeros(1, 8, 8), torch.zeros(1, 2), torch.zeros(1, 1))


def read_frames(bag_path: Path, segmentor: RememberingSegmentor) -> list[VideoFrame]:
    """The labelled frames of a bag."""
    frames = []
    with Bag(bag_path) as bag, torch.inference_mode():
        for frame in bag_frames(bag, bag.image_topic(None)):
            if frame.read_label is not None:
                image = frame.read_image()
                key = segmentor.segment(image, frame.stamp_s)
                labels = label_map(class_scores(key.mask_logits, key.class_logits, key.padding))
                frames.append(VideoFrame(image, frame.read_label(), labels))
    return frames


def stop_and_go(frames: Sequence[VideoFrame]) -> list[VideoFrame]:
    """The same drive with pauses in which nothing moves."""
    video = []
    for begin in range(0, len(frames), DRIVEN_FRAMES):
        driven = frames[begin : begin + DRIVEN_FRAMES]
        video += [*driven, *[driven[-1]] * STANDING_FRAMES]
    return video


def count_key_frames(videos: list[list[VideoFrame]], config: StreamConfig) -> int:
    """How many key frames a schedule makes, each video a stream of its own."""
    stream = VideoSegmentor(segmentor=NoSegmentor(), propagator=CopyPropagator(), config=config)
    count = 0
    for video in videos:
        stream.reset()
        count += sum(stream.step(frame.image, stamp_ns=i * FRAME_PERIOD_NS).is_key_frame for i, frame in enumerate(video))
    return count


def threshold_for(videos: list[list[VideoFrame]], key_frames: int) -> float:
    """The lowest threshold, to some digits, that makes at most so many key frames."""
    low, high = 0.0, 1.0
    for _ in range(SEARCH_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if count_key_frames(videos, by_motion(middle)) <= key_frames else (middle, high)
    return high


def fixed(interval: int) -> StreamConfig:
    """A key frame every ``interval`` frames, whatever moves."""
    return StreamConfig(max_interval_frames=interval, max_key_age_s=1000.0)


def by_motion(threshold: float) -> StreamConfig:
    """A key frame only when motion explains too little of the image, a share of 0..1."""
    return StreamConfig(max_interval_frames=1_000_000, motion_threshold=threshold, max_key_age_s=1000.0)


def print_row(name: str, stream: VideoSegmentor, videos: list[list[VideoFrame]], config: StreamConfig) -> None:
    """Label the videos by one schedule; print its key frames and how good its labels are."""
    stream.config = config
    truth, agreement = (ConfusionMatrix(len(stream.class_names)) for _ in range(2))
    key_frames = 0
    for video in videos:
        stream.reset()
        for i, frame in enumerate(video):
            answer = stream.step(frame.image, stamp_ns=i * FRAME_PERIOD_NS)
            key_frames += answer.is_key_frame
            truth.update(answer.labels, frame.truth)
            agreement.update(answer.labels, frame.per_frame_labels)
    same_pixels = agreement.counts.trace() / agreement.counts.sum()
    print(
        f"  {name:24}{key_frames:5d} of {sum(map(len, videos))} frames   mIoU {truth.miou:.3f}   against per-frame labels: "
        f"mIoU {agreement.miou:.3f}, pixels {same_pixels:.3f}",
        flush=True,
    )


def main() -> None:
    """Compare schedules with as many key frames, as recorded and with pauses."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bag", nargs="?", type=Path, default=SAMPLE_BAG)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    arguments = parser.parse_args()
    stream = VideoSegmentor.from_pretrained(arguments.model)
    stream.segmentor = RememberingSegmentor(stream.segmentor)
    frames = read_frames(arguments.bag, stream.segmentor)
    for title, make_video in (("as recorded", list), ("stop and go", stop_and_go)):
        videos = [make_video(frames[start:]) for start in STARTS]
        print(title)
        for interval in FIXED_INTERVALS:
            print_row(f"every {interval}", stream, videos, fixed(interval))
            threshold = threshold_for(videos, count_key_frames(videos, fixed(interval)))
            print_row(f"by motion, {threshold:.3f}", stream, videos, by_motion(threshold))


if __name__ == "__main__":
    main()
