"""What queries are to find in a frame: a mask for each class, or for each single thing and each class of stuff."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from mpvss_model.config import UNLABELED

__all__ = ["MAX_TARGETS", "NO_TARGET", "panoptic_targets", "present_targets"]

# In an image. The largest count; there are hardly more queries in any network.
MAX_TARGETS = 100
# Smaller ones, such as what is left of a thing at the edge of a crop, are left out.
MIN_TARGET_PX = 16
NO_TARGET = -1
CLASS_SHIFT = 16


def panoptic_targets(label: np.ndarray, instances: np.ndarray, things: Collection[int]) -> tuple[np.ndarray, np.ndarray]:
    """Number the single things and the classes of stuff of a frame.

    Args:
        label: uint8 ``[H, W]``, class indices and 255 for unlabeled.
        instances: ``[H, W]``, the number of each thing; 0 where it is not known, which is as if it was unlabeled.
        things: Class indices of things.

    Returns:
        A number for each pixel, uint8 ``[H, W]``, 255 for none, and int64 ``[T]``, the class of each number.
    """
    is_thing = np.isin(label, list(things))
    keys = label.astype(np.int64) << CLASS_SHIFT | np.where(is_thing, instances, 0)
    keys[(label == UNLABELED) | (is_thing & (instances == 0))] = NO_TARGET
    found, numbers, areas = np.unique(keys, return_inverse=True, return_counts=True)
    largest = sorted(np.flatnonzero(found != NO_TARGET).tolist(), key=lambda place: -areas[place])[:UNLABELED]
    number_of = np.full(len(found), UNLABELED, np.uint8)
    number_of[largest] = np.arange(len(largest))
    return number_of[numbers].reshape(label.shape), found[largest] >> CLASS_SHIFT


def present_targets(numbers: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The targets that are left in a part of a frame, numbered anew.

    Args:
        numbers: uint8 ``[h, w]``, as `panoptic_targets` returns them.
        classes: int64 ``[T]``, of each number.

    Returns:
        uint8 ``[h, w]``, and int64 ``[MAX_TARGETS]``, the class of each number; `NO_TARGET` for those that nothing has.
    """
    areas = np.bincount(numbers.ravel(), minlength=UNLABELED + 1)[: len(classes)]
    kept = np.flatnonzero(areas >= MIN_TARGET_PX)
    kept = kept[np.argsort(-areas[kept], kind="stable")][:MAX_TARGETS]
    number_of = np.full(UNLABELED + 1, UNLABELED, np.uint8)
    number_of[kept] = np.arange(len(kept))
    padded = np.full(MAX_TARGETS, NO_TARGET, np.int64)
    padded[: len(kept)] = classes[kept]
    return number_of[numbers], padded
