"""Multi-scale deformable attention in operators that runtimes have: each level's samples are taken by ``grid_sample``."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["SampledAttention"]


class SampledAttention(nn.Module):
    """The pixel decoder's self-attention, with the weights of ``transformers``' module.

    Args:
        attention: A ``Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention``.
    """

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.num_heads = attention.n_heads
        self.num_points = attention.n_points
        self.value_proj = attention.value_proj
        self.output_proj = attention.output_proj
        self.sampling_offsets = attention.sampling_offsets
        self.attention_weights = attention.attention_weights

    def forward(self, values: torch.Tensor, queries: torch.Tensor, sizes: list[tuple[int, int]]) -> torch.Tensor:
        """``values`` and ``queries`` are ``[N, S, d]``, over the pixels of all levels; so is the result."""
        samples = self.num_heads, len(sizes), self.num_points
        images = self.value_proj(values).transpose(1, 2).split([height * width for height, width in sizes], dim=2)
        offsets_px = self.sampling_offsets(queries).unflatten(2, (*samples, 2))  # [N, S, heads, L, points, 2]
        weights = self.attention_weights(queries).unflatten(2, (self.num_heads, -1)).softmax(dim=-1)
        weights = weights.unflatten(3, samples[1:]).transpose(1, 2).flatten(0, 1)  # [N * heads, S, L, points]
        centres = torch.cat([_centres(size, values) for size in sizes])[:, None, None]  # [S, 1, 1, 2]
        read = []
        for level, (image, (height, width)) in enumerate(zip(images, sizes, strict=True)):
            # grid_sample wants the image's borders at -1 and 1.
            grid = centres + offsets_px[:, :, :, level] * offsets_px.new_tensor([2 / width, 2 / height])
            image = image.unflatten(1, (self.num_heads, -1)).flatten(0, 1).unflatten(2, (height, width))
            sampled = F.grid_sample(image, grid.transpose(1, 2).flatten(0, 1), align_corners=False)
            read.append((sampled * weights[:, None, :, level]).sum(dim=-1))  # [N * heads, d / heads, S]
        summed = torch.stack(read).sum(dim=0).unflatten(0, (-1, self.num_heads)).flatten(1, 2)
        return self.output_proj(summed.transpose(1, 2))


def _centres(size: tuple[int, int], like: torch.Tensor) -> torch.Tensor:
    """Pixel centres, x then y, in -1..1: ``[h * w, 2]``."""
    ys, xs = ((torch.arange(side, dtype=like.dtype, device=like.device) * 2 + 1) / side - 1 for side in size)
    return torch.stack(torch.meshgrid(ys, xs, indexing="ij")[::-1], dim=-1).flatten(0, 1)
