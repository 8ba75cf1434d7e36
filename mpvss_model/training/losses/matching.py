"""Which query answers for which class of an image: the assignment of least cost (Carion et al., DETR, ECCV 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment

from mpvss_model.runtime.precision import at_least_float32
from mpvss_model.training.losses.points import labels_at, logits_at
from mpvss_model.training.recipe.config import LossConfig

__all__ = ["matched", "present_classes"]


def present_classes(labels: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Which classes occur in label maps, uint8 ``[B, H, W]`` -> bool ``[B, C]``."""
    occurs = torch.zeros(len(labels), 256, dtype=torch.bool, device=labels.device)
    return occurs.scatter_(1, labels.flatten(1).long(), True)[:, :num_classes]


@torch.no_grad()
def matched(
    mask_logits: Sequence[torch.Tensor],
    class_logits: Sequence[torch.Tensor],
    labels: torch.Tensor,
    present: torch.Tensor,
    config: LossConfig,
    target_classes: torch.Tensor | None = None,
) -> torch.Tensor:
    """Assign a query of its own to every target that occurs in an image, in every decoder layer: to every class by default.

    The device is waited for once, for the costs of all layers and images together.

    Args:
        mask_logits: For each of ``L`` layers, ``[B, Q, h, w]``.
        class_logits: Likewise ``[B, Q, C + 1]``.
        labels: uint8 ``[B, H, W]``, the target of each pixel.
        present: bool ``[B, T]``, which targets occur; as `present_classes` makes it.
        config: Weights of the costs, and the number of points to compare masks at.
        target_classes: int64 ``[B, T]``, the class of each target, or anything where there is none; None where targets are the
            classes themselves.

    Returns:
        int64 ``[L, M, 3]``: for each layer, image, query and target of each pair. An image has fewer pairs than targets only
        if there are not enough queries.
    """
    points = torch.rand(len(labels), config.train_num_points, 2, device=labels.device)
    points = points.to(at_least_float32(mask_logits[0]).dtype)
    targets = _targets_at(labels, points, present.shape[1])
    layers = zip(mask_logits, class_logits, strict=True)
    costs = torch.stack(
        [
            _costs(at_least_float32(masks), at_least_float32(classes), points, targets, config, target_classes)
            for masks, classes in layers
        ]
    )
    worst = torch.finfo(torch.float32).max
    costs = costs.nan_to_num(nan=worst, posinf=worst, neginf=worst)  # a diverging network must not end in scipy
    costs = costs.masked_fill(~present[:, None], torch.inf).cpu().numpy()  # [L, B, Q, C]
    pairs = np.stack([np.concatenate([_assigned(i, image) for i, image in enumerate(layer)]) for layer in costs])
    return torch.from_numpy(pairs).to(labels.device, non_blocking=True)


def _targets_at(labels: torch.Tensor, points: torch.Tensor, num_classes: int) -> torch.Tensor:
    """The binary masks of all classes at points ``[B, P, 2]``: ``[B, P, C]``."""
    around, weights = labels_at(labels, torch.arange(len(labels), device=labels.device), points)
    targets = torch.zeros(
        *points.shape[:2], num_classes + 1, dtype=points.dtype, device=labels.device
    )  # the last one collects unlabeled pixels
    for corner, weight in zip(around.long().clamp_(max=num_classes), weights, strict=True):
        targets.scatter_add_(2, corner[..., None], weight[..., None])
    return targets[..., :num_classes]


def _costs(
    mask_logits: torch.Tensor,
    class_logits: torch.Tensor,
    points: torch.Tensor,
    targets: torch.Tensor,
    config: LossConfig,
    target_classes: torch.Tensor | None,
) -> torch.Tensor:
    """Cost of each pair of a query and a target, ``[B, Q, T]``."""
    logits = logits_at(mask_logits, points)  # [B, Q, P]
    masks = logits.sigmoid()
    # Binary cross entropy of a logit x and a target t is softplus(x) - x t.
    cross_entropy = (F.softplus(logits).sum(2, keepdim=True) - logits @ targets) / points.shape[1]
    dice = 1 - (2 * masks @ targets + 1) / (masks.sum(2, keepdim=True) + targets.sum(1, keepdim=True) + 1)
    classes = -class_logits.softmax(2)[..., :-1]
    if target_classes is not None:
        classes = classes.gather(2, target_classes.clamp(min=0)[:, None].expand(-1, classes.shape[1], -1))
    return config.mask_weight * cross_entropy + config.dice_weight * dice + config.class_weight * classes


def _assigned(image: int, costs: np.ndarray) -> np.ndarray:
    """Image, query and target of an image's pairs, ``[M, 3]``, of least total cost ``[Q, T]``; absent ones cost infinity."""
    present = np.flatnonzero(np.isfinite(costs[0]))
    queries, chosen = linear_sum_assignment(costs[:, present])
    return np.stack([np.full_like(queries, image), queries, present[chosen]], axis=1)
