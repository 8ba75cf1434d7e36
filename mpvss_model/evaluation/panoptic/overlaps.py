"""Which segments of an answer and of the ground truth share how many pixels, in one frame or in several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mpvss_model.config import UNLABELED
from mpvss_model.instances.panoptic import CLASS_SHIFT

__all__ = ["VOID", "Overlaps"]

# What no segment is, in an answer, and what is not labelled, in the ground truth.
VOID = UNLABELED << CLASS_SHIFT
# Segments of the ground truth stand in the upper half of 64 bits.
HALF = 32
# Two segments with more in common than with all others together: there is at most one such partner.
MIN_IOU = 0.5


@dataclass(frozen=True)
class Overlaps:
    """Pixels of each pair of segments that have any in common.

    Attributes:
        truth: int64 ``[N]``, ``class << 16 | instance`` of the ground truth's segment in each pair, or `VOID`.
        found: The same of the answer's segment, int64 ``[N]``.
        pixels: int64 ``[N]``.
    """

    truth: np.ndarray
    found: np.ndarray
    pixels: np.ndarray

    @classmethod
    def of_frame(cls, found: np.ndarray, truth: np.ndarray) -> Overlaps:
        """Of two images of segments, int32 ``[H, W]``, as `mpvss_model.instances.panoptic.Panoptic.encoded`."""
        pairs, pixels = np.unique(truth.astype(np.int64) << HALF | found, return_counts=True)
        return cls(pairs >> HALF, pairs & ((1 << HALF) - 1), pixels)

    @classmethod
    def together(cls, frames: Sequence[Overlaps]) -> Overlaps:
        """Of segments that go through several frames."""
        keys = np.concatenate([frame.truth << HALF | frame.found for frame in frames])
        pairs, place = np.unique(keys, return_inverse=True)
        pixels = np.bincount(place, weights=np.concatenate([frame.pixels for frame in frames])).astype(np.int64)
        return cls(pairs >> HALF, pairs & ((1 << HALF) - 1), pixels)

    def ious(self) -> np.ndarray:
        """Intersection over union of each pair, float64 ``[N]``, without pixels that are not labelled; 0 with `VOID`."""
        areas = np.bincount(self._truth_place, weights=self.pixels)[self._truth_place]
        union = areas + self._found_areas - self._found_in_void - self.pixels
        is_segment = (self.truth != VOID) & (self.found != VOID)
        return np.where(is_segment, self.pixels / np.maximum(union, 1), 0.0)

    def mostly_void(self) -> np.ndarray:
        """Of each pair: whether more than half of the answer's segment is not labelled, bool ``[N]``."""
        return self._found_in_void > self._found_areas / 2

    @property
    def _truth_place(self) -> np.ndarray:
        return np.unique(self.truth, return_inverse=True)[1]

    @property
    def _found_place(self) -> np.ndarray:
        return np.unique(self.found, return_inverse=True)[1]

    @property
    def _found_areas(self) -> np.ndarray:
        return np.bincount(self._found_place, weights=self.pixels)[self._found_place]

    @property
    def _found_in_void(self) -> np.ndarray:
        in_void = np.where(self.truth == VOID, self.pixels, 0)
        return np.bincount(self._found_place, weights=in_void)[self._found_place]
