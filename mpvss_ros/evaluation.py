"""Labels of a bag's camera frames, straight from the file, and how good they are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mpvss_model import DataError, FrameError, VideoSegmentor
from mpvss_model.metrics import ConfusionMatrix
from mpvss_model.semantics import UNLABELED
from mpvss_ros.bag import GROUND_TRUTH_TOPIC, Bag
from mpvss_ros.conversions import labels_from_message, rgb_from_message, stamp_ns, stamp_s

__all__ = ["EvaluatedFrame", "LabelledFrame", "evaluated_frames", "segmented_frames"]


@dataclass(frozen=True)
class LabelledFrame:
    """The answer to one camera frame.

    Attributes:
        stamp_ns: Of the camera frame.
        labels: uint8 ``[H, W]``.
        is_key_frame: Whether it was segmented rather than propagated.
        latency_ms: From the frame to its labels.
    """

    stamp_ns: int
    labels: np.ndarray
    is_key_frame: bool
    latency_ms: float


@dataclass(frozen=True)
class EvaluatedFrame:
    """One camera frame of a bag beside its answer and its ground truth.

    Attributes:
        image: uint8 RGB ``[H, W, 3]``.
        answer: None if the frame was dropped.
        miou: Of this frame alone; NaN without ground truth or answer.
    """

    stamp_ns: int
    image: np.ndarray
    answer: LabelledFrame | None
    miou: float


def segmented_frames(bag: Bag, topic: str, segmentor: VideoSegmentor) -> Iterator[LabelledFrame]:
    """Run a segmentor over a bag's camera frames, without ROS communication. Frames it cannot use are left out."""
    for message in bag.messages(topic):
        started_s = time.perf_counter()
        try:
            segmentation = segmentor.step(rgb_from_message(message), stamp_s(message))
        except FrameError:
            continue
        latency_ms = (time.perf_counter() - started_s) * 1000
        yield LabelledFrame(stamp_ns(message), segmentation.labels, segmentation.is_key_frame, latency_ms)


def evaluated_frames(
    bag: Bag, topic: str, answers: dict[int, LabelledFrame], confusion: ConfusionMatrix
) -> Iterator[EvaluatedFrame]:
    """Read a bag once more and compare the answers, by stamp, with its ground truth, where it has any.

    Args:
        bag: With camera frames on ``topic`` and, perhaps, label images on `GROUND_TRUTH_TOPIC`.
        topic: Of the camera.
        answers: By stamp in nanoseconds.
        confusion: Is updated with each frame that has an answer and ground truth.

    Raises:
        DataError: If the ground truth does not fit the images or the model's classes.
    """
    truths = {stamp_ns(message): message for message in bag.messages(GROUND_TRUTH_TOPIC)}
    for message in bag.messages(topic):
        try:
            image = rgb_from_message(message)
        except FrameError:
            continue
        stamp = stamp_ns(message)
        answer, truth = answers.get(stamp), truths.pop(stamp, None)
        miou = float("nan")
        if answer is not None and truth is not None:
            miou = _frame_miou(answer.labels, _ground_truth(truth, image), confusion)
        yield EvaluatedFrame(stamp, image, answer, miou)


def _ground_truth(message, image: np.ndarray) -> np.ndarray:
    try:
        truth = labels_from_message(message)
    except FrameError as error:
        raise DataError(f"ground truth at {stamp_s(message)} s: {error}") from error
    if truth.shape != image.shape[:2]:
        raise DataError(f"ground truth at {stamp_s(message)} s is of size {truth.shape}, its image of {image.shape[:2]}")
    return truth


def _frame_miou(labels: np.ndarray, truth: np.ndarray, confusion: ConfusionMatrix) -> float:
    frame = ConfusionMatrix(len(confusion.counts))
    frame.update(labels, truth)
    confusion.counts += frame.counts
    return frame.miou if (truth != UNLABELED).any() else float("nan")
