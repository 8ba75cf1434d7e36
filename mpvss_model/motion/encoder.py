"""Motion encoder: a FlowNetS that reads two frames (MPVSS, section 3.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from mpvss_model.image import FramePadding

__all__ = ["LEAKY_SLOPE", "MotionEncoder", "half_size_input"]

LEAKY_SLOPE = 0.1
# RGB, on the 0..1 scale.
FRAME_MEAN = (0.411, 0.432, 0.450)
# (kernel of the first, stride-2 convolution; number of convolutions) of conv1 .. conv6. The others have 3x3 kernels.
STAGES = ((7, 1), (5, 1), (5, 2), (3, 2), (3, 2), (3, 2))


def half_size_input(images: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Centre frames, zero-pad them right and bottom to a multiple of 32, and halve them.

    Args:
        images: uint8 RGB ``[B, 3, H, W]``.
        dtype: Of the result.

    Returns:
        ``[B, 3, H'/2, W'/2]``, where ``H'`` and ``W'`` are the padded sides.
    """
    height, width = images.shape[-2:]
    pixels = F.pad(images.to(dtype), (0, width % 2, 0, height % 2))
    # Halving bilinearly is averaging 2 x 2 pixels. The mean of those in the frame is subtracted afterwards, from a quarter as
    # many numbers; padding counts as zero after that.
    half = F.interpolate(pixels, scale_factor=0.5, mode="bilinear", align_corners=False)
    inside = _share_inside(height, half)[:, None] * _share_inside(width, half)
    # Numbers that come from the processor would keep a CUDA graph from being recorded, and hold up a GPU without one.
    mean = torch.stack([half.new_full((1, 1), value) for value in FRAME_MEAN])
    padded_height, padded_width = FramePadding(height, width).padded_size
    missing = padded_width // 2 - half.shape[-1], padded_height // 2 - half.shape[-2]
    return F.pad(half / 255 - mean * inside, (0, missing[0], 0, missing[1]))


def _share_inside(side_px: int, like: torch.Tensor) -> torch.Tensor:
    """Of each pair of pixels along a side of the frame: 1, but 1/2 for the last one of an odd side."""
    share = like.new_ones(-(-side_px // 2))
    share[side_px // 2 :].fill_(0.5)
    return share


class MotionEncoder(nn.Module):
    """Convolutions with stride 2 per stage, on the current and the key frame stacked along the channels.

    Args:
        channels: Output channels of ``conv1`` .. ``conv6``.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        channels_in = 6
        for channels_out, (kernel, num_convs) in zip(channels, STAGES, strict=True):
            convs = [nn.Conv2d(channels_in, channels_out, kernel, stride=2, padding=kernel // 2)]
            convs += [nn.Conv2d(channels_out, channels_out, 3, padding=1) for _ in range(num_convs - 1)]
            self.stages.append(nn.ModuleList(convs))
            channels_in = channels_out
        for conv in self.modules():
            if isinstance(conv, nn.Conv2d):
                nn.init.kaiming_normal_(conv.weight, a=LEAKY_SLOPE)
                nn.init.zeros_(conv.bias)

    def forward(self, current: torch.Tensor, key: torch.Tensor) -> list[torch.Tensor]:
        """Features of ``conv2`` .. ``conv6``, strides 8 .. 128 of the padded frame: ``[B, C_i, h_i, w_i]``.

        ``current`` and ``key`` are ``[B, 3, H'/2, W'/2]``, as `half_size_input` makes them.
        """
        x = torch.cat([current, key], dim=1)  # [B, 6, H'/2, W'/2]
        features = []
        for convs in self.stages:
            for conv in convs:
                x = F.leaky_relu(conv(x), LEAKY_SLOPE)
            features.append(x)
        return features[1:]
