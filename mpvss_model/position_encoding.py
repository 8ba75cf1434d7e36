"""Where pixels are, as transformers see it."""

from __future__ import annotations

import math

import torch

__all__ = ["sine_position_encoding"]

TEMPERATURE = 10000.0
EPSILON = 1e-6


def sine_position_encoding(height: int, width: int, *, like: torch.Tensor) -> torch.Tensor:
    """DETR's normalised sine encoding of each pixel, ``[height * width, d]``: first half of ``d`` for y, second for x.

    ``d``, dtype and device are those of ``like``, ``[..., d]``.
    """
    channels = like.shape[-1] // 2
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    wavelengths = TEMPERATURE ** (torch.arange(0, channels, 2, dtype=dtype, device=like.device) / channels)

    def encode(size: int) -> torch.Tensor:
        positions = torch.arange(1, size + 1, dtype=dtype, device=like.device) / (size + EPSILON) * (2 * math.pi)
        angles = positions[:, None] / wavelengths
        return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)  # [size, channels]

    rows = encode(height)[:, None].expand(height, width, channels)
    columns = encode(width)[None].expand(height, width, channels)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1).to(like.dtype)
