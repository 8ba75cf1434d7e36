"""How good the labels of a replay are, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from mpvss_model import FrameError
from mpvss_model.config import DecodingConfig
from mpvss_model.data.source_counts import SourceCounts
from mpvss_model.evaluation.metrics import ConfusionMatrix
from mpvss_model.images.sixteen_bits import SixteenBitRange
from mpvss_model.semantics import UNLABELED
from mpvss_ros.bags.bag import Bag
from mpvss_ros.bags.bag_frames import BROKEN_MESSAGE, counted_ground_truth, usable_ground_truth
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
    counts: SourceCounts | None = None,
    *,
    decoding: DecodingConfig | None = None,
) -> Iterator[EvaluatedFrame]:
    """Read a bag once more and compare the answers with its ground truth, where it has any.

    Args:
        bag: With camera frames on ``topic`` and, perhaps, label images on `GROUND_TRUTH_TOPIC`.
        topic: Of the camera.
        answers: By the number of their camera frame in the bag, from 0, without those that cannot be deserialized.
        confusion: Is updated with each frame that has an answer and ground truth.
        counts: Is told what is left out and why; complete when the frames come to their end.
        decoding: Of images and label images; by default with the limits of `DecodingConfig`.

    Raises:
        DataError: If the ground truth does not fit the model's classes.
    """
    counts, decoding = counts or SourceCounts(), decoding or DecodingConfig()
    truths = counted_ground_truth(bag, counts)
    sixteen_bits = SixteenBitRange(significant_bits=decoding.significant_bits)
    stamps: set[int] = set()
    for number, message in enumerate(bag.messages(topic, partial(counts.leave_out, reason=BROKEN_MESSAGE))):
        stamp = stamp_ns(message)
        stamps.add(stamp)
        truth = truths.take(stamp)
        try:
            image = rgb_from_message(message, max_image_pixels=decoding.max_image_pixels, sixteen_bits=sixteen_bits)
        except FrameError as error:
            counts.leave_out(error)
            continue
        answer = answers.get(number)
        miou = float("nan")
        labels = None if answer is None or truth is None else usable_ground_truth(truth, image, counts, decoding)
        if labels is not None:
            miou = _frame_miou(answer.labels, labels, confusion)
        yield EvaluatedFrame(stamp, image, answer, miou)
    counts.match_ground_truth(stamps, truths.left())


def _frame_miou(labels: np.ndarray, truth: np.ndarray, confusion: ConfusionMatrix) -> float:
    frame = ConfusionMatrix(len(confusion.counts))
    frame.update(labels, truth)
    confusion.counts += frame.counts
    return frame.miou if (truth != UNLABELED).any() else float("nan")
