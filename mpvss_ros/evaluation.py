"""A bag's camera frames beside their ground truth, and how good the labels of a replay are."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from mpvss_model import DataError, FrameError
from mpvss_model.data import Frame
from mpvss_model.metrics import ConfusionMatrix
from mpvss_model.semantics import UNLABELED
from mpvss_model.sixteen_bits import SixteenBitRange
from mpvss_model.stamps import stamp_text
from mpvss_ros.bag import GROUND_TRUTH_TOPIC, Bag
from mpvss_ros.conversions import labels_from_message, rgb_from_message, stamp_ns

__all__ = ["EvaluatedFrame", "LabelledFrame", "bag_frames", "evaluated_frames"]


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


def bag_frames(bag: Bag, topic: str) -> Iterator[Frame]:
    """A bag's camera frames with their ground truth, decoded as the node does; those it would refuse are left out."""
    truths = _ground_truth_messages(bag)
    last_stamp = None
    sixteen_bits = SixteenBitRange()
    for message in bag.messages(topic):
        stamp = stamp_ns(message)
        try:
            image = rgb_from_message(message, sixteen_bits=sixteen_bits)
        except FrameError:
            continue
        if stamp == last_stamp:
            continue
        last_stamp = stamp
        truth = truths.pop(stamp, None)
        yield Frame(
            stamp_ns=stamp,
            read_image=partial(_identity, image),
            read_label=None if truth is None else partial(_ground_truth, truth, image),
        )


def evaluated_frames(
    bag: Bag, topic: str, answers: Mapping[int, LabelledFrame], confusion: ConfusionMatrix
) -> Iterator[EvaluatedFrame]:
    """Read a bag once more and compare the answers with its ground truth, where it has any.

    Args:
        bag: With camera frames on ``topic`` and, perhaps, label images on `GROUND_TRUTH_TOPIC`. If stamps repeat, as in the
            recording of a loop, the first frame of a stamp goes with its first ground truth, the second with the second.
        topic: Of the camera.
        answers: By the number of their camera frame in the bag, from 0.
        confusion: Is updated with each frame that has an answer and ground truth.

    Raises:
        DataError: If the ground truth does not fit the images or the model's classes.
    """
    truths: dict[int, deque] = {}
    for message in bag.messages(GROUND_TRUTH_TOPIC):
        truths.setdefault(stamp_ns(message), deque()).append(message)
    sixteen_bits = SixteenBitRange()
    for number, message in enumerate(bag.messages(topic)):
        stamp = stamp_ns(message)
        truth = truths[stamp].popleft() if truths.get(stamp) else None
        try:
            image = rgb_from_message(message, sixteen_bits=sixteen_bits)
        except FrameError:
            continue
        answer = answers.get(number)
        miou = float("nan")
        if answer is not None and truth is not None:
            miou = _frame_miou(answer.labels, _ground_truth(truth, image), confusion)
        yield EvaluatedFrame(stamp, image, answer, miou)


def _identity(image: np.ndarray) -> np.ndarray:
    return image


def _ground_truth_messages(bag: Bag) -> dict[int, object]:
    """Still encoded, by stamp: a label map of a few kilobytes each."""
    return {stamp_ns(message): message for message in bag.messages(GROUND_TRUTH_TOPIC)}


def _ground_truth(message, image: np.ndarray) -> np.ndarray:
    try:
        truth = labels_from_message(message)
    except FrameError as error:
        raise DataError(f"ground truth at {stamp_text(stamp_ns(message))}: {error}") from error
    if truth.shape != image.shape[:2]:
        stamp = stamp_text(stamp_ns(message))
        raise DataError(f"ground truth at {stamp} is of size {truth.shape}, its image of {image.shape[:2]}")
    return truth


def _frame_miou(labels: np.ndarray, truth: np.ndarray, confusion: ConfusionMatrix) -> float:
    frame = ConfusionMatrix(len(confusion.counts))
    frame.update(labels, truth)
    confusion.counts += frame.counts
    return frame.miou if (truth != UNLABELED).any() else float("nan")
