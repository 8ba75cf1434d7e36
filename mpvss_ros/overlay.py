"""Class colours, and label maps blended onto camera images."""

from __future__ import annotations

import cv2
import numpy as np

from mpvss_model.semantics import UNLABELED

__all__ = ["PALETTE", "overlay"]


def _pascal_voc_palette() -> np.ndarray:
    """The colour map of PASCAL VOC, uint8 ``[256, 3]`` RGB: bit k of the class index goes to bit 7 - k // 3 of channel k % 3.

    Class 0 would be black, the colour of unlabeled pixels, so that each class takes the colour of the next one.
    """
    index = np.arange(1, 257)
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(9):
        palette[:, bit % 3] |= (((index >> bit) & 1) << (7 - bit // 3)).astype(np.uint8)
    palette[UNLABELED] = 0
    return palette


PALETTE = _pascal_voc_palette()


def overlay(image: np.ndarray, labels: np.ndarray, alpha: float) -> np.ndarray:
    """Blend the classes' colours onto an image.

    Args:
        image: uint8 RGB ``[H, W, 3]``.
        labels: uint8 ``[H, W]``.
        alpha: Opacity of the colours, 0..1.

    Returns:
        uint8 RGB ``[H, W, 3]``.
    """
    return cv2.addWeighted(PALETTE[labels], alpha, image, 1.0 - alpha, 0.0)
