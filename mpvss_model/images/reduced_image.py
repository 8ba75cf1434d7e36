"""Images that are decoded no larger than they are needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["NeededSize", "ReducedImage", "reduction_for"]

# From an image's height and width to those that are enough.
NeededSize = Callable[[tuple[int, int]], tuple[int, int]]
# JPEG is made of blocks of 8x8 pixels. Its decoders make fewer pixels of each at little cost; those that all of them know.
REDUCTIONS = (8, 4, 2)


@dataclass(frozen=True)
class ReducedImage:
    """An image's pixels, or the means of blocks of them.

    >>> ReducedImage(np.zeros((270, 480, 3), np.uint8), reduction=4).size
    (1080, 1920)

    Attributes:
        pixels: ``[H / reduction, W / reduction, 3]``, or the same without channels.
        reduction: Side of the blocks in pixels, 1 for the image itself; divides its height and width.
    """

    pixels: np.ndarray
    reduction: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image itself."""
        height, width = self.pixels.shape[:2]
        return height * self.reduction, width * self.reduction


def reduction_for(size: tuple[int, int], needed: tuple[int, int]) -> int:
    """The largest reduction, 1, 2, 4 or 8, that leaves what is needed of an image and divides it without remainder.

    >>> reduction_for((1080, 1920), (240, 427)), reduction_for((1080, 1920), (541, 960)), reduction_for((431, 767), (32, 32))
    (4, 1, 1)

    Args:
        size: Height and width of the image.
        needed: Height and width that the reduced image has at least.
    """
    return next(
        (
            reduction
            for reduction in REDUCTIONS
            if all(side % reduction == 0 and side // reduction >= least for side, least in zip(size, needed, strict=True))
        ),
        1,
    )
