"""A bag's camera frames beside their ground truth."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mpvss_model import DataError, FrameError
from mpvss_model.config import DecodingConfig
from mpvss_model.data import Frame
from mpvss_model.data.source_counts import SourceCounts
from mpvss_model.images.encoded_image import decoded_image
from mpvss_model.images.jpeg import JPEG_START
from mpvss_model.images.reduced_image import NeededSize, ReducedImage
from mpvss_model.images.sixteen_bits import SixteenBitRange
from mpvss_model.stamps import stamp_text
from mpvss_ros.bags.bag import GROUND_TRUTH_TOPIC, Bag
from mpvss_ros.bags.bag_storage import EVER, TimeRange
from mpvss_ros.messages.conversions import (
    encoding_name,
    labels_from_message,
    reduced_rgb_from_message,
    rgb_from_message,
    stamp_ns,
)

__all__ = [
    "BROKEN_MESSAGE",
    "GroundTruth",
    "bag_frames",
    "counted_ground_truth",
    "leave_out_unread",
    "usable_ground_truth",
]

# Why a message that cannot be deserialized is left out.
BROKEN_MESSAGE = "broken message"
# Why a label image is: it is broken, of another size than its frame, or none.
UNUSABLE = "unusable"
PNG_START = b"\x89PNG"


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


def bag_frames(
    bag: Bag,
    topic: str,
    counts: SourceCounts | None = None,
    *,
    decoding: DecodingConfig | None = None,
    sixteen_bits: SixteenBitRange | None = None,
    with_ground_truth: bool = True,
    when: TimeRange = EVER,
    listed: int | None = None,
) -> Iterator[Frame]:
    """A bag's camera frames with their ground truth, decoded as the node does; those it would refuse are left out.

    Args:
        bag: With camera frames on ``topic`` and, perhaps, label images on `GROUND_TRUTH_TOPIC` with the stamps of the frames.
        topic: Of the camera.
        counts: Is told what is left out and why; complete when the frames come to their end.
        decoding: Of images and label images; by default with the limits of `DecodingConfig`.
        sixteen_bits: The camera's range of 16-bit values; by default a new one, as ``decoding`` says.
        with_ground_truth: Without, frames have no labels, and memory does not grow with the recording.
        when: Times of recording; by default all.
        listed: How many messages the bag has of that time; by default all that it lists.
    """
    counts, decoding = SourceCounts() if counts is None else counts, decoding or DecodingConfig()
    truths = counted_ground_truth(bag, counts) if with_ground_truth else None
    sixteen_bits = sixteen_bits or SixteenBitRange(significant_bits=decoding.significant_bits)
    stamps: set[int] = set()
    last_stamp, read = None, 0
    for message in bag.messages(topic, partial(counts.leave_out, reason=BROKEN_MESSAGE), when):
        read += 1
        stamp, truth = stamp_ns(message), None
        if truths is not None:
            stamps.add(stamp)
            truth = truths.take(stamp)
        try:
            image = rgb_from_message(message, max_image_pixels=decoding.max_image_pixels, sixteen_bits=sixteen_bits)
            _check_new(stamp, last_stamp)
        except FrameError as error:
            counts.leave_out(error)
            continue
        last_stamp = stamp
        counts.encodings[encoding_name(message)] += 1
        label = None if truth is None else usable_ground_truth(truth, image, counts, decoding)
        yield Frame(
            stamp_ns=stamp,
            read_image=partial(_identity, image),
            read_label=None if label is None else partial(_identity, label),
            read_encoded=partial(_encoded, message, image),
            read_reduced=partial(_reduced, message, image),
        )
    missing = (bag.count(topic) if listed is None else listed) - read - counts.left_out[BROKEN_MESSAGE]
    leave_out_unread(counts, bag.path, missing)
    if truths is not None:
        counts.match_ground_truth(stamps, truths.left())


def leave_out_unread(counts: SourceCounts, path: Path, messages: int) -> None:
    """Count messages that a bag lists but does not have; the number may be 0 or, of a list that is too short, below."""
    if messages > 0:
        counts.left_out[f"listed in the bag, but not in its files: try 'ros2 bag reindex {path}'"] += messages


def _identity(image: np.ndarray) -> np.ndarray:
    return image


def _reduced(message, image: np.ndarray, needed_size: NeededSize) -> ReducedImage:
    """Of a message whose whole image is known, which is all that those have that are no JPEG."""
    if not hasattr(message, "format") or bytes(message.data[: len(JPEG_START)]) != JPEG_START:
        return ReducedImage(image)
    return reduced_rgb_from_message(message, needed_size=needed_size, max_image_pixels=image.shape[0] * image.shape[1])


def _encoded(message, image: np.ndarray) -> bytes | None:
    """What a compressed message holds, if a file of it shows the same image: messages may hold mosaics and swapped colours."""
    data = bytes(getattr(message, "data", b"")) if hasattr(message, "format") else b""
    if not data.startswith((JPEG_START, PNG_START)):
        return None
    pixels = decoded_image(data, image.shape[0] * image.shape[1])
    if pixels.ndim == 2 and pixels.dtype == np.uint8:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    return data if np.array_equal(pixels, image) else None


def _check_new(stamp: int, last_stamp: int | None) -> None:
    """Raise `FrameError` if the frame before had the same stamp."""
    if stamp == last_stamp == 0:
        raise FrameError("zero stamp", "two frames in a row are stamped 0, as by a camera driver that sets no stamps")
    if stamp == last_stamp:
        raise FrameError("duplicate stamp", f"two frames in a row are stamped {stamp} ns")


def counted_ground_truth(bag: Bag, counts: SourceCounts) -> GroundTruth:
    """A bag's ground truth; how many messages there are, and which of them cannot be used, is counted."""
    counts.ground_truth = bag.count(GROUND_TRUTH_TOPIC)
    return GroundTruth(bag, partial(counts.leave_out_ground_truth, reason=UNUSABLE))


def usable_ground_truth(message, image: np.ndarray, counts: SourceCounts, decoding: DecodingConfig) -> np.ndarray | None:
    """The labels uint8 ``[H, W]`` in a message for an image of that size; None, and counted, if they cannot be used."""
    try:
        return _ground_truth(message, image, decoding.max_image_pixels)
    except DataError as error:
        counts.leave_out_ground_truth(error, UNUSABLE)
        return None


def _ground_truth(message, image: np.ndarray, max_image_pixels: int) -> np.ndarray:
    try:
        truth = labels_from_message(message, max_image_pixels=max_image_pixels)
    except FrameError as error:
        raise DataError(f"ground truth at {stamp_text(stamp_ns(message))}: {error}") from error
    if truth.shape != image.shape[:2]:
        stamp = stamp_text(stamp_ns(message))
        raise DataError(f"ground truth at {stamp} is of size {truth.shape}, its image of {image.shape[:2]}")
    return truth
