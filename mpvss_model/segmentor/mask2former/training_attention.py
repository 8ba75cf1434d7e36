"""Multi-scale deformable attention for training on CPUs: that of `deformable_attention`, for batches and with gradients.

The rows that queries read and how much of each form a sparse matrix, so that the attention and both its gradients are products
with sparse matrices: no row is ever copied once for each reader.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import nn
from torch.autograd.function import FunctionCtx, once_differentiable

from mpvss_model.runtime.precision import at_least_float32
from mpvss_model.segmentor.mask2former.deformable_attention import SamplingGrid
from mpvss_model.segmentor.mask2former.training_convolutions import TrainedLinear

__all__ = ["TrainedDeformableAttention"]

# Nothing that whoever trains a model can do about.
warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state", UserWarning)


class TrainedDeformableAttention(nn.Module):
    """The pixel decoder's self-attention, with the parameters of ``transformers``' module.

    Args:
        attention: A ``Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention``; its parameters are shared, not copied.
    """

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.num_heads = attention.n_heads
        self.num_points = attention.n_points
        self.value_proj = TrainedLinear(attention.value_proj)
        self.output_proj = TrainedLinear(attention.output_proj)
        self.sampling_offsets = attention.sampling_offsets
        self.attention_weights = attention.attention_weights

    def forward(self, values: torch.Tensor, queries: torch.Tensor, grid: SamplingGrid) -> torch.Tensor:
        """``values`` and ``queries`` are ``[B, S, d]``, over the pixels of all levels; so is the result."""
        offsets, logits = self.sampling_offsets, self.attention_weights
        # One product for all that a query decides: x offsets, y offsets, attention.
        weight = torch.cat([offsets.weight[0::2], offsets.weight[1::2], logits.weight])
        bias = torch.cat([offsets.bias[0::2], offsets.bias[1::2], logits.bias])
        decided = at_least_float32(F.linear(queries, weight, bias)).unflatten(2, (3, -1))
        attention = decided[:, :, 2].unflatten(2, (self.num_heads, -1))
        read = _SampledSum.apply(at_least_float32(self.value_proj(values)), decided[:, :, :2], attention, grid)
        return self.output_proj(read)


class _Samples(NamedTuple):
    """Where and how queries read the table of values.

    Attributes:
        indices: int32 ``[B * S * heads, 4 * samples]``, rows of the table: upper left, upper right, lower left, lower right.
        shares: float32, as large: attention times bilinear weight.
        fractions: float32 ``[B, S, 2, heads, samples]``, of a pixel, from the upper left one to the right and down.
        is_inside: bool, as large: whether the position still depends on the offset.
    """

    indices: torch.Tensor
    shares: torch.Tensor
    fractions: torch.Tensor
    is_inside: torch.Tensor


class _SampledSum(torch.autograd.Function):
    """Sums of values at sampled positions, weighted by the softmax of attention ``[B, S, heads, samples]``."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, values: torch.Tensor, offsets_px: torch.Tensor, attention: torch.Tensor, grid: SamplingGrid
    ) -> torch.Tensor:
        weights = _softmax(attention)
        samples = _samples(offsets_px, weights, grid)
        rows = _table(values, grid)
        ctx.save_for_backward(rows, weights, *samples)
        ctx.grid = grid
        summed = F.embedding_bag(samples.indices, rows, per_sample_weights=samples.shares, mode="sum")
        return summed.view(values.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, weights, *saved = ctx.saved_tensors
        samples = _Samples(*saved)
        bags = at_least_float32(gradient).reshape(len(samples.indices), -1)
        to_values = _from_table(_scattered(samples, bags, len(rows)), gradient.shape, ctx.grid)
        to_offsets, to_weights = _position_gradients(_products(samples.indices, rows, bags), samples, weights)
        to_weights.mul_(weights)
        to_attention = to_weights.addcmul_(weights, to_weights.sum(-1, keepdim=True), value=-1)
        return to_values, to_offsets, to_attention, None


def _softmax(logits: torch.Tensor) -> torch.Tensor:
    """Along the last dimension: torch takes four times as long where that has but few numbers."""
    weights = (logits - logits.amax(-1, keepdim=True)).exp_()
    return weights.div_(weights.sum(-1, keepdim=True))


def _samples(offsets_px: torch.Tensor, weights: torch.Tensor, grid: SamplingGrid) -> _Samples:
    """As `SamplingGrid.bags`: offsets ``[B, S, 2, heads * samples]``, weights ``[B, S, heads, samples]``."""
    position = offsets_px + grid.origin
    # A network that diverged looks nowhere; what it sees is no number either way.
    corner = torch.minimum(position.clamp(min=0), grid.limit).nan_to_num_(nan=0.0)
    is_inside = position == corner
    position, corner = corner, corner.floor()
    fractions = position.sub_(corner).unflatten(3, weights.shape[2:])
    x, y = corner.unbind(2)
    # Floats hold these whole numbers exactly, up to 2**24.
    first = x.mul_(grid.num_heads).add_(grid.start).add_(y.mul_(grid.row_step)).to(torch.int32).view(weights.shape)
    images = torch.arange(len(first), dtype=torch.int32, device=first.device) * (grid.num_rows * grid.num_heads)
    indices = first.add_(images[:, None, None, None]).unsqueeze(3) + grid.corners
    right, below = fractions.unbind(2)
    shares = weights.new_empty(indices.shape)
    lower = weights * below
    for side, (left_share, right_share) in ((weights - lower, (0, 1)), (lower, (2, 3))):
        at_right = torch.mul(side, right, out=shares[:, :, :, right_share])
        torch.sub(side, at_right, out=shares[:, :, :, left_share])
    bags = weights.shape[:3].numel(), -1
    return _Samples(indices.view(bags), shares.view(bags), fractions, is_inside.unflatten(3, weights.shape[2:]))


def _table(values: torch.Tensor, grid: SamplingGrid) -> torch.Tensor:
    """``[B, S, d]`` values of all pixels -> ``[B * rows * heads, d / heads]``, each level with a border of zeros."""
    rows = values.new_zeros(len(values), grid.num_rows, values.shape[2])
    for inside, pixels in _levels(rows, values, grid):
        inside.copy_(pixels)
    return rows.view(len(values) * grid.num_rows * grid.num_heads, -1)


def _from_table(rows: torch.Tensor, shape: torch.Size, grid: SamplingGrid) -> torch.Tensor:
    """The rows of pixels ``[B, S, d]`` in a table."""
    values = rows.new_empty(shape)
    for inside, pixels in _levels(rows.view(len(values), grid.num_rows, -1), values, grid):
        pixels.copy_(inside)
    return values


def _levels(rows: torch.Tensor, values: torch.Tensor, grid: SamplingGrid) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """For each level, its pixels ``[B, height, width, d]`` in a table ``[B, rows, d]`` and in values ``[B, S, d]``."""
    levels, first_row, first = [], 0, 0
    for height, width in grid.sizes:
        num_rows = (height + 2) * (width + 2)
        level = rows[:, first_row : first_row + num_rows].unflatten(1, (height + 2, width + 2))
        levels.append((level[:, 1:-1, 1:-1], values[:, first : first + height * width].unflatten(1, (height, width))))
        first_row, first = first_row + num_rows, first + height * width
    return levels


def _scattered(samples: _Samples, bags: torch.Tensor, num_rows: int) -> torch.Tensor:
    """Each row's sum of the bags that read it, by their shares: ``[num_rows, c]``."""
    count, size = samples.indices.shape
    starts = np.arange(0, (count + 1) * size, size, dtype=np.int32)
    shares = samples.shares.numpy().ravel(), samples.indices.numpy().ravel(), starts
    return torch.from_numpy(csr_matrix(shares, shape=(count, num_rows)).T @ bags.numpy())


def _products(indices: torch.Tensor, rows: torch.Tensor, bags: torch.Tensor) -> torch.Tensor:
    """Inner product of each bag with each row that it reads, ``[bags, size]``."""
    count, size = indices.shape
    starts = torch.arange(0, (count + 1) * size, size, dtype=torch.int32)
    pattern = torch.sparse_csr_tensor(
        starts, indices.view(-1), rows.new_zeros(indices.numel()), size=(count, len(rows)), check_invariants=False
    )
    return torch.sparse.sampled_addmm(pattern, bags, rows.t(), beta=0.0).values().view(count, size)


def _position_gradients(products: torch.Tensor, samples: _Samples, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of the offsets and the attention, as large as these."""
    upper_left, upper_right, lower_left, lower_right = products.view(*weights.shape[:3], 4, -1).unbind(3)
    right, below = samples.fractions.unbind(2)
    upper, lower = upper_right - upper_left, lower_right - lower_left
    to_right = torch.lerp(upper, lower, below) * weights
    left_side, right_side = lower_left - upper_left, lower_right - upper_right
    to_below = torch.lerp(left_side, right_side, right) * weights
    to_offsets = torch.stack([to_right, to_below], dim=2).mul_(samples.is_inside)
    to_weights = torch.addcmul(torch.addcmul(upper_left, right, upper), below, torch.addcmul(left_side, right, lower - upper))
    return to_offsets.flatten(3), to_weights
