"""Where labels hold from several points of view."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mpvss_model.image import FramePadding
from mpvss_model.propagation.optical_flow import TrackedFlowPropagator, positions_in_key
from mpvss_model.semantics import UNLABELED
from mpvss_model.stream.change import is_cut, measure_change, thumbnail

__all__ = ["REACH", "agrees", "carried_labels", "is_video"]

# Frames from one to those that must agree with it: neighbours agree on everything, also on mistakes.
REACH = 2
# As much as this of a place that motion does not explain is another place.
MAX_UNEXPLAINED = 0.5


def is_video(images: Sequence[np.ndarray]) -> bool:
    """Whether most of some images, uint8 RGB ``[H, W, 3]`` each, show what those before show, a little later.

    Args:
        images: In their order, an even number: first a pair in a row, then another one.
    """
    pairs = list(zip(images[::2], images[1::2], strict=True))
    same_size = [(before, after) for before, after in pairs if before.shape == after.shape]
    return sum(not is_cut(before, after) for before, after in same_size) * 2 > len(pairs)


def carried_labels(images: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Labels of the first of some frames, carried to the last by flow that is tracked from frame to frame.

    Args:
        images: uint8 RGB ``[H, W, 3]`` each, at least two, in the order of time or against it.
        labels: uint8 ``[H, W]`` of the first.

    Returns:
        uint8 ``[H, W]`` of the last; 255 for what comes from outside the first frame, or looks different there.
    """
    height, width = labels.shape
    padding = FramePadding(height, width)
    tracker = TrackedFlowPropagator()
    for image in images[1:]:
        flow = tracker.flow_to_key(images[0], image, padding)
    places = positions_in_key(flow, padding)
    carried = cv2.remap(labels, *places, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=UNLABELED)
    unexplained = measure_change(thumbnail(images[0]), thumbnail(images[-1])).error_map(height, width)
    return np.where(unexplained > MAX_UNEXPLAINED, np.uint8(UNLABELED), carried)


def agrees(labels: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """Bool ``[H, W]``: where all other label maps say the same as one; nowhere if there is no other."""
    if not others:
        return np.zeros(labels.shape, bool)
    return np.logical_and.reduce([labels == other for other in others]) & (labels != UNLABELED)
