"""A bag's camera frames beside their ground truth."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from mpvss_model import DataError, FrameError
from mpvss_model.config import MAX_IMAGE_PIXELS, DecodingConfig
from mpvss_model.data import Frame
from mpvss_model.data.source_counts import SourceCounts
from mpvss_model.images.sixteen_bits import SixteenBitRange
from mpvss_model.stamps import stamp_text
from mpvss_ros.bags.bag import GROUND_TRUTH_TOPIC, Bag
from mpvss_ros.messages.conversions import labels_from_message, rgb_from_message, stamp_ns

__all__ = ["bag_frames", "ground_truth_labels"]


def bag_frames(
    bag: Bag, topic: str, counts: SourceCounts | None = None, *, decoding: DecodingConfig | None = None
) -> Iterator[Frame]:
    """A bag's camera frames with their ground truth, decoded as the node does; those it would refuse are left out.

    Args:
        bag: With camera frames on ``topic`` and, perhaps, label images on `GROUND_TRUTH_TOPIC` with the stamps of the frames.
        topic: Of the camera.
        counts: Is told what is left out and why; complete when the frames come to their end.
        decoding: Of images and label images; by default with the limits of `DecodingConfig`.
    """
    counts, decoding = SourceCounts() if counts is None else counts, decoding or DecodingConfig()
    truths = _counted_ground_truth(bag, counts)
    sixteen_bits = SixteenBitRange(significant_bits=decoding.significant_bits)
    stamps: set[int] = set()
    last_stamp, read = None, 0
    for read, message in enumerate(bag.messages(topic), start=1):
        stamp = stamp_ns(message)
        stamps.add(stamp)
        truth = truths.pop(stamp, None)
        try:
            image = rgb_from_message(message, max_image_pixels=decoding.max_image_pixels, sixteen_bits=sixteen_bits)
            _check_new(stamp, last_stamp)
        except FrameError as error:
            counts.leave_out(error)
            continue
        last_stamp = stamp
        counts.encodings[_encoding(message)] += 1
        label = None if truth is None else _usable_ground_truth(truth, image, counts, decoding)
        yield Frame(
            stamp_ns=stamp,
            read_image=partial(_identity, image),
            read_label=None if label is None else partial(_identity, label),
        )
    if read < bag.count(topic):
        missing = bag.count(topic) - read
        counts.left_out[f"listed in the bag, but not in its files: try 'ros2 bag reindex {bag.path}'"] += missing
    counts.match_ground_truth(stamps, truths)


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


def _usable_ground_truth(message, image: np.ndarray, counts: SourceCounts, decoding: DecodingConfig) -> np.ndarray | None:
    try:
        return ground_truth_labels(message, image, max_image_pixels=decoding.max_image_pixels)
    except DataError as error:
        counts.leave_out_ground_truth(error, "unusable")
        return None


def _ground_truth_messages(bag: Bag) -> dict[int, object]:
    """Still encoded, by stamp: a label map of a few kilobytes each."""
    return {stamp_ns(message): message for message in bag.messages(GROUND_TRUTH_TOPIC)}


def ground_truth_labels(message, image: np.ndarray, *, max_image_pixels: int = MAX_IMAGE_PIXELS) -> np.ndarray:
    """The ground truth of a camera frame, uint8 ``[H, W]``.

    Args:
        message: A label image.
        image: Of the camera, uint8 RGB ``[H, W, 3]``.
        max_image_pixels: Width x height, at most.

    Raises:
        DataError: If it cannot be decoded, or is not of the image's size.
    """
    try:
        truth = labels_from_message(message, max_image_pixels=max_image_pixels)
    except FrameError as error:
        raise DataError(f"ground truth at {stamp_text(stamp_ns(message))}: {error}") from error
    if truth.shape != image.shape[:2]:
        stamp = stamp_text(stamp_ns(message))
        raise DataError(f"ground truth at {stamp} is of size {truth.shape}, its image of {image.shape[:2]}")
    return truth
