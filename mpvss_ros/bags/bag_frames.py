"""A bag's camera frames beside their ground truth, and how good the labels of a replay are."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from mpvss_model import DataError, FrameError
from mpvss_model.data import Frame
from mpvss_model.evaluation.metrics import ConfusionMatrix
from mpvss_model.images.sixteen_bits import SixteenBitRange
from mpvss_model.semantics import UNLABELED
from mpvss_model.stamps import stamp_text
from mpvss_ros.bags.bag import GROUND_TRUTH_TOPIC, Bag
from mpvss_ros.bags.source_counts import SourceCounts
from mpvss_ros.messages.conversions import labels_from_message, rgb_from_message, stamp_ns

__all__ = ["BROKEN_MESSAGE", "EvaluatedFrame", "GroundTruth", "LabelledFrame", "bag_frames", "evaluated_frames"]

# Why a message that cannot be deserialized is left out.
BROKEN_MESSAGE = "broken message"
# Why a label image is: it is broken, of another size than its frame, or none.
UNUSABLE = "unusable"


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


class GroundTruth:
    """The label images of a bag, each for the camera frame of its stamp.

    If stamps repeat, as in the recording of a loop, the first frame of a stamp goes with its first label image, the second
    with the second.

    Args:
        bag: Perhaps with label images on `GROUND_TRUTH_TOPIC`.
        on_broken: See `Bag.messages`.
    """

    def __init__(self, bag: Bag, on_broken: Callable[[DataError], None]) -> None:
        # Still encoded: a label map of a few kilobytes each.
        self._messages: dict[int, deque] = {}
        for message in bag.messages(GROUND_TRUTH_TOPIC, on_broken):
            self._messages.setdefault(stamp_ns(message), deque()).append(message)

    def take(self, stamp_ns: int) -> Any | None:
        """The label image of the next frame of a stamp, usable or not; each is given once."""
        waiting = self._messages.get(stamp_ns)
        return waiting.popleft() if waiting else None

    def left(self) -> list[int]:
        """Stamps of the label images that no frame was given."""
        return [stamp for stamp, waiting in self._messages.items() for _ in waiting]


def bag_frames(bag: Bag, topic: str, counts: SourceCounts | None = None) -> Iterator[Frame]:
    """A bag's camera frames with their ground truth, decoded as the node does; those it would refuse are left out.

    Args:
        bag: With camera frames on ``topic`` and, perhaps, label images on `GROUND_TRUTH_TOPIC` with the stamps of the frames.
        topic: Of the camera.
        counts: Is told what is left out and why; complete when the frames come to their end.
    """
    counts = SourceCounts() if counts is None else counts
    truths = _counted_ground_truth(bag, counts)
    sixteen_bits = SixteenBitRange()
    stamps: set[int] = set()
    last_stamp, read = None, 0
    for message in bag.messages(topic, partial(counts.leave_out, reason=BROKEN_MESSAGE)):
        read += 1
        stamp = stamp_ns(message)
        stamps.add(stamp)
        truth = truths.take(stamp)
        try:
            image = rgb_from_message(message, sixteen_bits=sixteen_bits)
            _check_new(stamp, last_stamp)
        except FrameError as error:
            counts.leave_out(error)
            continue
        last_stamp = stamp
        counts.encodings[_encoding(message)] += 1
        label = None if truth is None else _usable_ground_truth(truth, image, counts)
        yield Frame(
            stamp_ns=stamp,
            read_image=partial(_identity, image),
            read_label=None if label is None else partial(_identity, label),
        )
    missing = bag.count(topic) - read - counts.left_out[BROKEN_MESSAGE]
    if missing > 0:
        counts.left_out[f"listed in the bag, but not in its files: try 'ros2 bag reindex {bag.path}'"] += missing
    counts.match_ground_truth(stamps, truths.left())


def evaluated_frames(
    bag: Bag,
    topic: str,
    answers: Mapping[int, LabelledFrame],
    confusion: ConfusionMatrix,
    counts: SourceCounts | None = None,
) -> Iterator[EvaluatedFrame]:
    """Read a bag once more and compare the answers with its ground truth, where it has any.

    Args:
        bag: With camera frames on ``topic`` and, perhaps, label images on `GROUND_TRUTH_TOPIC`.
        topic: Of the camera.
        answers: By the number of their camera frame in the bag, from 0, without those that cannot be deserialized.
        confusion: Is updated with each frame that has an answer and ground truth.
        counts: Is told what is left out and why; complete when the frames come to their end.

    Raises:
        DataError: If the ground truth does not fit the model's classes.
    """
    counts = SourceCounts() if counts is None else counts
    truths = _counted_ground_truth(bag, counts)
    sixteen_bits = SixteenBitRange()
    stamps: set[int] = set()
    for number, message in enumerate(bag.messages(topic, partial(counts.leave_out, reason=BROKEN_MESSAGE))):
        stamp = stamp_ns(message)
        stamps.add(stamp)
        truth = truths.take(stamp)
        try:
            image = rgb_from_message(message, sixteen_bits=sixteen_bits)
        except FrameError as error:
            counts.leave_out(error)
            continue
        answer = answers.get(number)
        miou = float("nan")
        label = None if answer is None or truth is None else _usable_ground_truth(truth, image, counts)
        if label is not None:
            miou = _frame_miou(answer.labels, label, confusion)
        yield EvaluatedFrame(stamp, image, answer, miou)
    counts.match_ground_truth(stamps, truths.left())


def _identity(image: np.ndarray) -> np.ndarray:
    return image


def _encoding(message) -> str:
    return getattr(message, "encoding", None) or f"{message.format} (compressed)"


def _check_new(stamp: int, last_stamp: int | None) -> None:
    """Raise `FrameError` if the frame before had the same stamp."""
    if stamp == last_stamp == 0:
        raise FrameError("zero stamp", "two frames in a row are stamped 0, as by a camera driver that sets no stamps")
    if stamp == last_stamp:
        raise FrameError("duplicate stamp", f"two frames in a row are stamped {stamp} ns")


def _counted_ground_truth(bag: Bag, counts: SourceCounts) -> GroundTruth:
    counts.ground_truth = bag.count(GROUND_TRUTH_TOPIC)
    return GroundTruth(bag, partial(counts.leave_out_ground_truth, reason=UNUSABLE))


def _usable_ground_truth(message, image: np.ndarray, counts: SourceCounts) -> np.ndarray | None:
    try:
        return _ground_truth(message, image)
    except DataError as error:
        counts.leave_out_ground_truth(error, UNUSABLE)
        return None


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
