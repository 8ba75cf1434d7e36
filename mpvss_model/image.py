"""Camera frames to network input, and network output back to the frame's size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from mpvss_model.errors import FrameError

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "FramePadding", "check_frame", "normalized"]

# RGB, on the 0..1 scale.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MIN_SIDE_PX = 16


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
    def padded_size(self) -> tuple[int, int]:
        """Height and width after padding."""
        return -(-self.height // self.multiple) * self.multiple, -(-self.width // self.multiple) * self.multiple

    def pad(self, image: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` -> ``[N, C, H', W']``, zeros right and bottom."""
        padded_height, padded_width = self.padded_size
        return F.pad(image, (0, padded_width - self.width, 0, padded_height - self.height))

    def unpad(self, image: torch.Tensor) -> torch.Tensor:
        """``[..., H', W']`` -> ``[..., H, W]``."""
        return image[..., : self.height, : self.width]


def normalized(image: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """A uint8 RGB image ``[H, W, 3]`` as ``(image - mean) / std``, float32 ``[1, 3, H, W]``.

    ``mean`` and ``std`` are ``[1, 3, 1, 1]`` on the 0..255 scale, on the image's device.
    """
    return image.permute(2, 0, 1).unsqueeze(0).to(mean.dtype).sub_(mean).div_(std)
