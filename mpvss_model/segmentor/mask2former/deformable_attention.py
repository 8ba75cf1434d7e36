"""Multi-scale deformable attention as one weighted sum of table rows per query and head.

Every query and head reads ``levels * points`` positions, each interpolated between four pixels. That is an embedding bag: its
rows are the pixels' values, its weights are attention times bilinear weight. Sampling, stacking, weighing and adding images of
samples one after the other, as usual, costs ten times as much.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from mpvss_model.segmentor.mask2former.convolutions import linear

__all__ = ["DeformableAttention", "SamplingGrid"]


class SamplingGrid:
    """Where the pixels of all levels lie in the table of values, in which each level has a border of zeros.

    Args:
        sizes: Height and width of each level, in pixels.
        num_heads: Of the attention.
        num_points: That each head reads in each level.
        device: Where the attention runs.
        dtype: Of positions; half precision is too coarse for them.
    """

    def __init__(
        self,
        sizes: tuple[tuple[int, int], ...],
        num_heads: int,
        num_points: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.sizes = sizes
        self.num_heads = num_heads
        starts, self.num_rows = [], 0
        for height, width in sizes:
            starts.append(self.num_rows)
            self.num_rows += (height + 2) * (width + 2)
        # A position on the far border has a right and a lower neighbour beyond it, which count for nothing.
        self.num_rows += sizes[-1][1] + 3
        extent = torch.tensor([[w for _, w in sizes], [h for h, _ in sizes]], dtype=dtype, device=device)
        centres = torch.cat([_relative_centres(*size, extent) for size in sizes])  # [S, 2] in 0..1

        # Operations on tensors that broadcast along their last dimensions run several times slower: so all are spelled out.
        def per_sample(values: torch.Tensor) -> torch.Tensor:
            return values.expand(*values.shape[:-3], num_heads, len(sizes), num_points).flatten(-3).contiguous()

        # + 1 for the border, - 0.5 because pixel 0 has its centre there.
        self.origin = per_sample((centres[:, :, None] * extent + 0.5)[:, :, None, :, None])  # [S, 2, samples]
        self.limit = per_sample((extent + 1)[:, None, :, None])  # [2, samples]
        row_step = ((extent[0] + 2) * num_heads)[None, :, None]
        self.row_step = per_sample(row_step)
        heads = torch.arange(num_heads, device=device)[:, None, None]
        self.start = per_sample(torch.tensor(starts, device=device)[None, :, None] * num_heads + heads).to(dtype)
        down = row_step.expand(1, len(sizes), num_points).flatten().to(torch.int32)
        self.corners = torch.stack([down * 0, down * 0 + num_heads, down, down + num_heads])  # [4, L * points]

    def table(self, values: torch.Tensor) -> torch.Tensor:
        """``[S, d]`` values of all pixels -> ``[rows * heads, d / heads]``."""
        rows = values.new_zeros(self.num_rows, values.shape[1])
        begin = row = 0
        for height, width in self.sizes:
            level = rows[row : row + (height + 2) * (width + 2)].view(height + 2, width + 2, -1)
            level[1:-1, 1:-1] = values[begin : begin + height * width].view(height, width, -1)
            begin, row = begin + height * width, row + (height + 2) * (width + 2)
        return rows.view(self.num_rows * self.num_heads, -1)

    def bags(self, offsets_px: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows of the table that each query and head reads, and how much of them.

        Args:
            offsets_px: float32 ``[S, 2, samples]``, x then y, from the query's own place, in pixels of each level; the samples
                are those of the first head in the first level, in the second, and so on.
            weights: float32 ``[S, heads, L * points]``.

        Returns:
            int32 indices and float32 weights, ``[S * heads, 4 * L * points]``.
        """
        # Beyond the border all is zero, as on it.
        position = (offsets_px + self.origin).clamp_(min=0)
        position = torch.minimum(position, self.limit, out=position)
        corner = position.floor()
        (right, below), (x, y) = position.sub_(corner).unbind(1), corner.unbind(1)
        # Floats hold these whole numbers exactly, up to 2**24.
        first = x.mul_(self.num_heads).add_(self.start).add_(y.mul_(self.row_step)).to(torch.int32)
        num_queries, num_heads, num_samples = weights.shape
        indices = first.view(num_queries, num_heads, 1, num_samples) + self.corners
        shares = weights.new_empty(indices.shape)
        upper_left, upper_right, lower_left, lower_right = shares.unbind(2)
        right, below = right.view_as(weights), below.view_as(weights)
        torch.mul(weights, below, out=lower_left)
        torch.mul(lower_left, right, out=lower_right)
        torch.sub(weights, lower_left, out=upper_left)
        lower_left.sub_(lower_right)
        torch.mul(upper_left, right, out=upper_right)
        upper_left.sub_(upper_right)
        bags = num_queries * num_heads, 4 * num_samples
        return indices.view(bags), shares.view(bags)


class DeformableAttention(nn.Module):
    """The pixel decoder's self-attention, with the weights of ``transformers``' module. For inference only.

    Args:
        attention: A ``Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention``.
    """

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.num_heads = attention.n_heads
        self.num_points = attention.n_points
        self.value_proj = attention.value_proj
        self.output_proj = attention.output_proj
        # One product for all that a query decides: x offsets, y offsets, attention.
        offsets, logits = attention.sampling_offsets, attention.attention_weights
        self.register_buffer("weight", torch.cat([offsets.weight[0::2], offsets.weight[1::2], logits.weight]))
        self.register_buffer("bias", torch.cat([offsets.bias[0::2], offsets.bias[1::2], logits.bias]))

    def forward(self, values: torch.Tensor, queries: torch.Tensor, grid: SamplingGrid) -> torch.Tensor:
        """``values`` plus what is read; both and ``queries`` are ``[S, d]``, over the pixels of all levels."""
        decided = linear(queries, self.weight, self.bias).float().unflatten(1, (3, -1))
        weights = _softmax(decided[:, 2].unflatten(1, (self.num_heads, -1)))
        indices, shares = grid.bags(decided[:, :2], weights)
        rows = grid.table(linear(values, self.value_proj.weight, self.value_proj.bias))
        summed = F.embedding_bag(indices, rows, per_sample_weights=shares.to(rows.dtype), mode="sum")
        return linear(summed.view(values.shape), self.output_proj.weight, self.output_proj.bias, added=values)


def _softmax(logits: torch.Tensor) -> torch.Tensor:
    """Along the last dimension of ``[S, heads, samples]``.

    There torch takes one number after the other where they are fewer than a vector register holds, along any other dimension
    many at a time: two transpositions and that take a tenth of the time.
    """
    if logits.is_cuda:
        return logits.softmax(dim=-1)
    by_sample = logits.flatten(1).t().contiguous().unflatten(0, logits.shape[1:])  # [heads, samples, S]
    return by_sample.softmax(dim=1).flatten(0, 1).t().contiguous().view(logits.shape)


def _relative_centres(height: int, width: int, like: torch.Tensor) -> torch.Tensor:
    """Pixel centres, x then y, in 0..1: ``[height * width, 2]``."""
    kind = {"dtype": like.dtype, "device": like.device}
    ys = (torch.arange(height, **kind) + 0.5) / height
    xs = (torch.arange(width, **kind) + 0.5) / width
    return torch.stack(torch.meshgrid(ys, xs, indexing="ij")[::-1], dim=-1).flatten(0, 1)
