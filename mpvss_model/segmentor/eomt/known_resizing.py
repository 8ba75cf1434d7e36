"""Frames of one size at another one, in operators that can be traced: the whole numbers that OpenCV gives."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mpvss_model.image import resize_steps

__all__ = ["KnownResizing"]

# OpenCV interpolates 8-bit images in whole numbers: with weights of this many parts, along rows and then along columns. Each
# time it leaves out what is below a divisor, and it rounds quarters in the end.
WEIGHT_PARTS = 2048
DROPPED_FIRST, DROPPED_LAST, LEFT = 16, 2**16, 4


class KnownResizing(nn.Module):
    """As `mpvss_model.image.resized`, for frames of one size.

    Args:
        before: Height and width of the frames.
        after: Height and width of the result.
    """

    def __init__(self, before: tuple[int, int], after: tuple[int, int]) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        for size, interpolation in resize_steps(before, after):
            steps.append(_step(before, size, interpolation))
            before = size
        self.steps = nn.Sequential(*steps)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """``[N, 3, H, W]`` -> ``[N, 3, *after]``, whole numbers 0..255 in floating point."""
        resized: torch.Tensor = self.steps(frames)
        return resized


class _Blocks(nn.Module):
    """Each pixel is the mean of a square of them, as ``INTER_AREA`` of whole pixels."""

    def __init__(self, before: tuple[int, int], after: tuple[int, int]) -> None:
        super().__init__()
        self._side = before[0] // after[0]

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        means = F.avg_pool2d(frames, self._side)
        # Blocks of four are rounded up in the middle, all others to even numbers.
        return (means + 0.5).floor() if self._side == 2 else means.round()


class _Bilinear(nn.Module):
    """Each pixel is made of the four around its place, as ``INTER_LINEAR``."""

    def __init__(self, before: tuple[int, int], after: tuple[int, int]) -> None:
        super().__init__()
        # Beyond the first and the last pixel OpenCV leaves out the other one along a row, and not along a column.
        self._rows = _pairs(before[0], after[0], keeps_weights=True)
        self._columns = _pairs(before[1], after[1], keeps_weights=False)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        left, right = (frames.index_select(3, index) * weights for index, weights in self._columns)
        across = ((left + right) / DROPPED_FIRST).floor()
        upper, lower = (across.index_select(2, index) * weights[:, None] for index, weights in self._rows)
        quarters = (upper / DROPPED_LAST).floor() + (lower / DROPPED_LAST).floor()
        return ((quarters + LEFT // 2) / LEFT).floor()


def _pairs(before: int, after: int, *, keeps_weights: bool) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The two pixels along a side that each one after it lies between, and their weights, each ``[after]``."""
    places = ((np.arange(after) + 0.5) * (before / after) - 0.5).astype(np.float32)
    first = np.floor(places)
    share = places - first
    if not keeps_weights:
        share[(first < 0) | (first >= before - 1)] = 0
    return [
        (torch.from_numpy((first + number).clip(0, before - 1)).long(), torch.from_numpy(np.rint(weight * WEIGHT_PARTS)))
        for number, weight in enumerate((1 - share, share))
    ]


def _step(before: tuple[int, int], after: tuple[int, int], interpolation: int) -> nn.Module:
    return _Bilinear(before, after) if interpolation == cv2.INTER_LINEAR else _Blocks(before, after)
