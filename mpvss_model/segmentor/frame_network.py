"""A network for camera frames as they are, made of one for frames that are normalised and padded."""

from __future__ import annotations

import torch
from torch import nn

from mpvss_model.image import FramePadding

__all__ = ["FrameNetwork"]


class FrameNetwork(nn.Module):
    """Normalises and pads frames of one size, then runs a network on them.

    Args:
        network: Takes float32 ``[N, 3, H', W']``.
        padding: Of the frames.
        image_mean: RGB mean on the 0..1 scale.
        image_std: RGB standard deviation on the 0..1 scale.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, network: nn.Module, padding: FramePadding, *, image_mean: tuple[float, ...], image_std: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.network = network
        self.padding = padding
        self.register_buffer("mean", torch.tensor(image_mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(image_std).view(1, 3, 1, 1) * 255)

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """uint8 RGB ``[N, H, W, 3]`` -> what the network gives."""
        pixels = (frames.to(self.mean.dtype).permute(0, 3, 1, 2) - self.mean) / self.std
        outputs: tuple[torch.Tensor, ...] = self.network(self.padding.pad(pixels))
        return outputs
