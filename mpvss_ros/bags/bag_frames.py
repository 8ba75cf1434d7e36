"""A bag's camera frames beside their ground truth, and how good the labels of a replay are."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

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
    for read, message in enumerate(bag.messages(topic), start=1):
        stamp = stamp_ns(message)
        stamps.add(stamp)
        truth = truths.pop(stamp, None)
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
    if read < bag.count(topic):
        missing = bag.count(topic) - read
        counts.left_out[f"listed in the bag, but not in its files: try 'ros2 bag reindex {bag.path}'"] += missing
    counts.match_ground_truth(stamps, truths)


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


def _encoding(message) -> str:
    return getattr(message, "encoding", None) or f"{message.format} (compressed)"


def _check_new(stamp: int, last_stamp: int | None) -> None:
    """Raise `FrameError` if the frame before had the same stamp."""
    if stamp == last_stamp == 0:
        raise FrameError("zero stamp", "two frames in a row are stamped 0, as by a camera driver that sets no stamps")
    if stamp == last_stamp:
        raise FrameError("duplicate stamp", f"two frames in a row are stamped {stamp} ns")


def _counted_ground_truth(bag: Bag, counts: SourceCounts) -> dict[int, object]:
    truths = _ground_truth_messages(bag)
    counts.ground_truth = bag.count(GROUND_TRUTH_TOPIC)
    if len(truths) < counts.ground_truth:
        counts.ground_truth_left_out["duplicate stamp"] += counts.ground_truth - len(truths)
    return truths


def _usable_ground_truth(message, image: np.ndarray, counts: SourceCounts) -> np.ndarray | None:
    try:
        return _ground_truth(message, image)
    except DataError as error:
        counts.leave_out_ground_truth(error, "unusable")
        return None


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
