"""How often frames with rare classes come (repeat factor sampling; Gupta et al., LVIS, CVPR 2019, section 4.3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mpvss_model.data import Frame
from mpvss_model.semantics import UNLABELED

__all__ = ["repeat_factors"]

# A frame has a class if it covers this share of it: a few pixels at an edge teach nothing.
MIN_SHARE = 1e-3


def repeat_factors(frames: Sequence[Frame], threshold: float) -> np.ndarray:
    """How often each frame is to come, relative to one without rare classes.

    Args:
        frames: Labelled ones; all labels are read.
        threshold: Classes are rare that are in a smaller part of the frames.

    Returns:
        float64 ``[N]``, at least 1: of a frame's classes, the largest ``sqrt(threshold / part of the frames with the class)``.

    Raises:
        DataError: If a label cannot be read.
    """
    has_class = np.stack([_has_class(frame.read_label()) for frame in frames])
    part = has_class.mean(axis=0)
    factor = np.sqrt(threshold / np.maximum(part, 1 / len(frames)))
    return np.maximum(np.where(has_class, factor, 1.0).max(axis=1), 1.0)


def _has_class(label: np.ndarray) -> np.ndarray:
    """Bool ``[255]``, by class index."""
    return np.bincount(label.ravel(), minlength=UNLABELED + 1)[:UNLABELED] >= MIN_SHARE * label.size
