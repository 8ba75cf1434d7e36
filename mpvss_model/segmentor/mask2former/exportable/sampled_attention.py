"""Multi-scale deformable attention in operators that runtimes have: each level's samples are taken by ``grid_sample``."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["SampledAttention", "sample_centres"]


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

    def forward(
        self, values: torch.Tensor, queries: torch.Tensor, sizes: list[tuple[int, int]], centres: torch.Tensor
    ) -> torch.Tensor:
        """``values`` and ``queries`` are ``[N, S, d]``, over the pixels of all levels; so is the result.

        ``centres`` are `sample_centres` of the same sizes.
        """
        samples = self.num_heads, len(sizes), self.num_points
        # grid_sample wants the image's borders at -1 and 1: offsets are in pixels, and scaled with what they are made by.
        scale = centres.new_tensor([[2 / width, 2 / height] for height, width in sizes])[None, :, None].expand(*samples, 2)
        scale, offsets = scale.flatten(), self.sampling_offsets
        positions = F.linear(queries, offsets.weight * scale[:, None], offsets.bias * scale) + centres
        grids = positions.unflatten(2, (*samples, 2)).permute(0, 2, 3, 4, 1, 5).flatten(0, 1)  # [N * heads, L, points, S, 2]
        weights = self.attention_weights(queries).unflatten(2, (self.num_heads, -1)).softmax(dim=-1)
        weights = weights.permute(0, 2, 3, 1).flatten(0, 1).unflatten(1, samples[1:])  # [N * heads, L, points, S]
        images = self.value_proj(values).transpose(1, 2).split([height * width for height, width in sizes], dim=2)
        read = []
        for level, (image, size) in enumerate(zip(images, sizes, strict=True)):
            image = image.unflatten(1, (self.num_heads, -1)).flatten(0, 1).unflatten(2, size)
            sampled = F.grid_sample(image, grids[:, level], align_corners=False)  # [N * heads, d / heads, points, S]
            read.append((sampled * weights[:, None, level]).sum(dim=2))
        summed = sum(read).unflatten(0, (-1, self.num_heads)).flatten(1, 2)  # [N, d, S]
        return self.output_proj(summed.transpose(1, 2))


def sample_centres(sizes: list[tuple[int, int]], num_samples: int, like: torch.Tensor) -> torch.Tensor:
    """Pixel centres of all levels in -1..1, x then y, so often for each pixel: ``[S, num_samples * 2]``."""
    centres = torch.cat([_centres(size, like) for size in sizes])
    return centres[:, None].expand(-1, num_samples, 2).flatten(1)


def _centres(size: tuple[int, int], like: torch.Tensor) -> torch.Tensor:
    """Pixel centres, x then y, in -1..1: ``[h * w, 2]``."""
    ys, xs = ((torch.arange(side, dtype=like.dtype, device=like.device) * 2 + 1) / side - 1 for side in size)
    return torch.stack(torch.meshgrid(ys, xs, indexing="ij")[::-1], dim=-1).flatten(0, 1)
