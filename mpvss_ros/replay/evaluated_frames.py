"""How good the labels of a replay are, frame by frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mpvss_model import FrameError
from mpvss_model.config import DecodingConfig
from mpvss_model.evaluation.metrics import ConfusionMatrix
from mpvss_model.images.sixteen_bits import SixteenBitRange
from mpvss_model.semantics import UNLABELED
from mpvss_ros.bags.bag import GROUND_TRUTH_TOPIC, Bag
from mpvss_ros.bags.bag_frames import ground_truth_labels
from mpvss_ros.messages.conversions import rgb_from_message, stamp_ns
from mpvss_ros.replay.answers import LabelledFrame

__all__ = ["EvaluatedFrame", "evaluated_frames"]


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


def evaluated_frames(
    bag: Bag,
    topic: str,
    answers: Mapping[int, LabelledFrame],
    confusion: ConfusionMatrix,
    *,
    decoding: DecodingConfig | None = None,
) -> Iterator[EvaluatedFrame]:
    """Read a bag once more and compare the answers with its ground truth, where it has any.

    Args:
        bag: With camera frames on ``topic`` and, perhaps, label images on `GROUND_TRUTH_TOPIC`. If stamps repeat, as in the
            recording of a loop, the first frame of a stamp goes with its first ground truth, the second with the second.
        topic: Of the camera.
        answers: By the number of their camera frame in the bag, from 0.
        confusion: Is updated with each frame that has an answer and ground truth.
        decoding: Of images and label images; by default with the limits of `DecodingConfig`.

    Raises:
        DataError: If the ground truth does not fit the images or the model's classes.
    """
    decoding = decoding or DecodingConfig()
    truths: dict[int, deque] = {}
    for message in bag.messages(GROUND_TRUTH_TOPIC):
        truths.setdefault(stamp_ns(message), deque()).append(message)
    sixteen_bits = SixteenBitRange(significant_bits=decoding.significant_bits)
    for number, message in enumerate(bag.messages(topic)):
        stamp = stamp_ns(message)
        truth = truths[stamp].popleft() if truths.get(stamp) else None
        try:
            image = rgb_from_message(message, max_image_pixels=decoding.max_image_pixels, sixteen_bits=sixteen_bits)
        except FrameError:
            continue
        answer = answers.get(number)
        miou = float("nan")
        if answer is not None and truth is not None:
            labels = ground_truth_labels(truth, image, max_image_pixels=decoding.max_image_pixels)
            miou = _frame_miou(answer.labels, labels, confusion)
        yield EvaluatedFrame(stamp, image, answer, miou)


def _frame_miou(labels: np.ndarray, truth: np.ndarray, confusion: ConfusionMatrix) -> float:
    frame = ConfusionMatrix(len(confusion.counts))
    frame.update(labels, truth)
    confusion.counts += frame.counts
    return frame.miou if (truth != UNLABELED).any() else float("nan")
