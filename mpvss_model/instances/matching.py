"""Which mask of one frame shows the same thing as which of another."""

from __future__ import annotations

import numpy as np
import torch

__all__ = ["mask_overlaps", "matched_instances"]

# Two masks with less in common are not the same thing; ...
MIN_SIMILARITY = 0.25
# ... and those of different classes, between which a network may waver, must have more in common.
OTHER_CLASS = 0.5


def mask_overlaps(masks: torch.Tensor, others: torch.Tensor) -> np.ndarray:
    """Intersection over union of each pair of binary masks, bool ``[N, h, w]`` and ``[M, h, w]`` -> float64 ``[N, M]``."""
    flat, other = masks.flatten(1).float(), others.flatten(1).float()
    intersection = flat @ other.t()
    union = flat.sum(1)[:, None] + other.sum(1) - intersection
    return (intersection / union.clamp(min=1)).double().cpu().numpy()


def matched_instances(overlaps: np.ndarray, same_class: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of masks that show the same thing: those with the most in common altogether, each in one pair at most.

    Args:
        overlaps: ``[N, M]`` in 0..1, see `mask_overlaps`.
        same_class: bool ``[N, M]``.
    """
    similarity = np.where(same_class, overlaps, OTHER_CLASS * overlaps)
    # What is too different is worth nothing, so that it takes no partner from another.
    similarity[similarity < MIN_SIMILARITY] = 0.0
    from scipy.optimize import linear_sum_assignment  # takes a third of a second, which other models need not wait for

    rows, columns = linear_sum_assignment(similarity, maximize=True)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if similarity[i, j] > 0.0]
