"""Camera frames to network input, and network output back to the frame's size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from mpvss_model.errors import FrameError

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "MASK_STRIDE",
    "FramePadding",
    "check_frame",
    "motion_blurred",
    "normalized",
    "resized",
]

# RGB, on the 0..1 scale.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Pixels of a padded frame to each value of a mask, along both sides.
MASK_STRIDE = 4
MIN_SIDE_PX = 16
# Where bilinear interpolation makes an image smaller by no more than this, each pixel has a share in the result.
MAX_BILINEAR_REDUCTION = 1.6
# Points along a streak of motion blur, per pixel of its length.
BLUR_SAMPLES_PER_PX = 4


def check_frame(frame: np.ndarray) -> None:
    """Raise `FrameError` unless ``frame`` is a uint8 RGB image ``[H, W, 3]`` of at least 16 x 16 pixels."""
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        got = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise FrameError("wrong layout", f"a frame must be a uint8 array of shape (H, W, 3), got {got}")
    if min(frame.shape[:2]) < MIN_SIDE_PX:
        raise FrameError("too small", f"a frame needs at least {MIN_SIDE_PX} x {MIN_SIDE_PX} pixels, got {frame.shape[:2]}")


@dataclass(frozen=True)
class FramePadding:
    """Zero padding on the right and bottom, up to a multiple of the network's stride, and its removal.

    Attributes:
        height: Of the frame, in pixels.
        width: Of the frame, in pixels.
        multiple: Both padded sides are multiples of this.
    """

    height: int
    width: int
    multiple: int = 32

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frame."""
        return self.height, self.width

    @property
    def padded_size(self) -> tuple[int, int]:
        """Height and width after padding."""
        return -(-self.height // self.multiple) * self.multiple, -(-self.width // self.multiple) * self.multiple

    @property
    def mask_size(self) -> tuple[int, int]:
        """Height and width of masks of the padded frame."""
        height, width = self.padded_size
        return height // MASK_STRIDE, width // MASK_STRIDE

    def pad(self, image: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` -> ``[N, C, H', W']``, zeros right and bottom; the image itself if it has that size."""
        if self.size == self.padded_size:
            return image
        padded_height, padded_width = self.padded_size
        return F.pad(image, (0, padded_width - self.width, 0, padded_height - self.height))

    def unpad(self, image: torch.Tensor) -> torch.Tensor:
        """``[..., H', W']`` -> ``[..., H, W]``."""
        return image[..., : self.height, : self.width]


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image at another height and width; the image itself if it has them.

    Each pixel has a share in a smaller one, without averages over parts of pixels, for which OpenCV takes two to ten times as
    long: averages are of whole blocks of pixels, before bilinear interpolation or after it.

    Args:
        image: uint8 ``[H, W, 3]``.
        size: Height and width.
    """
    height, width = image.shape[:2]
    for step, interpolation in resize_steps((height, width), size):
        image = cv2.resize(image, step[::-1], interpolation=interpolation)
    return image


def resize_steps(before: tuple[int, int], after: tuple[int, int]) -> list[tuple[tuple[int, int], int]]:
    """The sizes that `resized` brings an image to, one after the other, and OpenCV's interpolation to each.

    ``INTER_AREA`` is always the average of blocks, of as many whole pixels along both sides.
    """
    if before == after:
        return []
    steps = []
    factor = _block_side(before, after)
    if factor > 1:
        before = before[0] // factor, before[1] // factor
        steps.append((before, cv2.INTER_AREA))
    reduction = max(old / new for old, new in zip(before, after, strict=True))
    factor = max(1, math.ceil(reduction / MAX_BILINEAR_REDUCTION))
    steps.append(((factor * after[0], factor * after[1]), cv2.INTER_LINEAR))
    return [*steps, (after, cv2.INTER_AREA)] if factor > 1 else steps


def _block_side(before: tuple[int, ...], after: tuple[int, int]) -> int:
    """Side of the largest blocks that an image can be divided into without remainder and without getting too small."""
    whole = math.gcd(*before)
    most = min(side // wanted for side, wanted in zip(before, after, strict=True))
    return next((factor for factor in range(most, 1, -1) if whole % factor == 0), 1)


def normalized(image: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """A uint8 RGB image ``[H, W, 3]`` as ``(image - mean) / std``, float32 ``[1, 3, H, W]``.

    ``mean`` and ``std`` are ``[1, 3, 1, 1]`` on the 0..255 scale, on the image's device.
    """
    height, width, _ = image.shape
    # Row by row: torch takes three times as long over operands that broadcast along the innermost dimension, of 3 channels.
    mean_row, std_row = (x.flatten().repeat(width) for x in (mean, std))
    rows = image.to(mean.dtype).reshape(height, -1).sub_(mean_row).div_(std_row)
    return rows.view(image.shape).permute(2, 0, 1).unsqueeze(0)


def motion_blurred(image: np.ndarray, length_px: float, angle_rad: float) -> np.ndarray:
    """An image averaged along straight streaks, as by a camera that moves while the shutter is open.

    Args:
        image: uint8 ``[H, W, 3]``.
        length_px: Of the streaks, from the middle of the first pixel to that of the last, plus one; up to 1 changes nothing.
        angle_rad: Of the streaks, from the image's x axis to its y axis.

    Returns:
        The same layout.
    """
    reach = round(length_px) // 2
    positions_px = np.linspace(-0.5, 0.5, max(1, round(BLUR_SAMPLES_PER_PX * length_px))) * max(0.0, length_px - 1)
    rows = np.rint(reach + positions_px * np.sin(angle_rad)).astype(int)
    columns = np.rint(reach + positions_px * np.cos(angle_rad)).astype(int)
    kernel = np.zeros((2 * reach + 1,) * 2, np.float32)
    np.add.at(kernel, (rows, columns), 1.0 / len(positions_px))
    return cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT)
