"""Class colours, and label maps blended onto camera images."""

from __future__ import annotations

import cv2
import numpy as np

from mpvss_model.semantics import UNLABELED

__all__ = ["PALETTE", "overlay", "painted"]


def _distinct_colors() -> np.ndarray:
    """uint8 ``[256, 3]`` RGB: hues that differ by the golden ratio, in three brightnesses; unlabeled is black."""
    index = np.arange(256)
    hsv = np.empty((1, 256, 3), np.uint8)
    hsv[0, :, 0] = (index * GOLDEN_RATIO % 1.0 * 180).astype(np.uint8)
    hsv[0, :, 1] = np.array([200, 130, 235])[index % 3]
    hsv[0, :, 2] = np.array([235, 255, 175])[index % 3]
    palette = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0]
    palette[UNLABELED] = 0
    return palette


GOLDEN_RATIO = 0.618034
PALETTE = _distinct_colors()


def painted(labels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """The colour of each label: ``palette[labels]``, in a tenth of the time.

    Args:
        labels: uint8 ``[H, W]``.
        palette: uint8 ``[256, 3]``.

    Returns:
        uint8 ``[H, W, 3]``.
    """
    return cv2.applyColorMap(labels, np.asarray(palette)[:, None])


def overlay(image: np.ndarray, labels: np.ndarray, alpha: float) -> np.ndarray:
    """Blend the classes' colours onto an image.

    Args:
        image: uint8 RGB ``[H, W, 3]``.
        labels: uint8 ``[H, W]``.
        alpha: Opacity of the colours, 0..1.

    Returns:
        uint8 RGB ``[H, W, 3]``.
    """
    return cv2.addWeighted(painted(labels, PALETTE), alpha, image, 1.0 - alpha, 0.0)
