"""Values of masks at points: losses on sampled points need a fraction of the memory of whole masks (PointRend, CVPR 2020).

Points are ``[..., 2]``, x then y, from 0 at the first pixel's outer edge to 1 at the last one's. Between pixel centres, values
are interpolated bilinearly; outside, they are 0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

__all__ = ["labels_at", "logits_at", "uncertain_points"]


def logits_at(mask_logits: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Mask logits ``[N, C, h, w]`` at points ``[N, P, 2]`` -> ``[N, C, P]``."""
    return F.grid_sample(mask_logits, 2 * points[:, None] - 1, align_corners=False)[:, :, 0]


def labels_at(labels: torch.Tensor, images: torch.Tensor, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What bilinear interpolation of one-hot labels reads at points: a class's mask there is the sum of its labels' weights.

    Args:
        labels: uint8 ``[B, H, W]``.
        images: Indices ``[N]`` of the label maps to read.
        points: ``[N, P, 2]``.

    Returns:
        The labels of the four pixels around each point, ``[4, N, P]``, and their weights, likewise.
    """
    height, width = labels.shape[1:]
    x, y = points.unbind(-1)
    left, right = _neighbours(x, width)
    above, below = _neighbours(y, height)
    # Tensors that broadcast along short last dimensions are slow: so the four corners come one by one.
    first = images[:, None] * (height * width)
    corners = [(row, column) for row in (above, below) for column in (left, right)]
    pixels = torch.stack([first + row.index * width + column.index for row, column in corners])
    weights = torch.stack([row.weight * column.weight for row, column in corners])
    return labels.flatten().index_select(0, pixels.flatten()).view_as(pixels), weights


def uncertain_points(
    mask_logits: torch.Tensor, count: int, *, oversample_ratio: float, importance_sample_ratio: float
) -> torch.Tensor:
    """Random points, most of them where masks are undecided (Mask2Former, section 3.3).

    Args:
        mask_logits: ``[N, 1, h, w]``, float32 or float64.
        count: Points ``P`` for each mask.
        oversample_ratio: So many times ``P`` points are drawn, ...
        importance_sample_ratio: ... and of them the most uncertain make up this part of ``P``. The rest is drawn anew.

    Returns:
        ``[N, P, 2]``.
    """
    candidates = _random_points(mask_logits, int(count * oversample_ratio))
    certainty = logits_at(mask_logits, candidates)[:, 0].abs()
    num_uncertain = int(count * importance_sample_ratio)
    chosen = certainty.topk(num_uncertain, dim=1, largest=False, sorted=False).indices
    uncertain = candidates.gather(1, chosen[..., None].expand(-1, -1, 2))
    return torch.cat([uncertain, _random_points(mask_logits, count - num_uncertain)], dim=1)


def _random_points(mask_logits: torch.Tensor, count: int) -> torch.Tensor:
    """For each mask, ``[N, count, 2]``."""
    return torch.rand(len(mask_logits), count, 2, device=mask_logits.device).to(mask_logits.dtype)


class _Neighbour(NamedTuple):
    """Along one axis, a pixel beside each coordinate ``[N, P]``: its index, and its weight, which is 0 outside."""

    index: torch.Tensor
    weight: torch.Tensor


def _neighbours(coordinates: torch.Tensor, size: int) -> tuple[_Neighbour, _Neighbour]:
    positions = coordinates * size - 0.5
    first = positions.floor()
    share = positions - first
    index = first.long()
    sides = (index, 1 - share), (index + 1, share)
    return tuple(_Neighbour(i.clamp(0, size - 1), weight * ((i >= 0) & (i < size))) for i, weight in sides)
