"""Mask2Former's losses on the predictions of all decoder layers, for all images and layers at once.

The mathematics are those of ``Mask2FormerLoss`` of ``transformers``. That one goes through images and layers one by one and
waits for the device each time: at batch 64 and four layers 256 times a step instead of once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import distributed

from mpvss_model.runtime.precision import at_least_float32
from mpvss_model.training.losses.matching import matched, present_classes
from mpvss_model.training.losses.points import labels_at, logits_at, uncertain_points
from mpvss_model.training.recipe.config import LossConfig

__all__ = ["segmentation_losses"]


def segmentation_losses(
    mask_logits: Sequence[torch.Tensor],
    class_logits: Sequence[torch.Tensor],
    labels: torch.Tensor,
    config: LossConfig,
    target_classes: torch.Tensor | None = None,
) -> dict[str, torch.Tensor]:
    """Weighted losses of every decoder layer (deep supervision; Cheng et al., Mask2Former, CVPR 2022, section 3.3).

    As Mask2Former is trained for semantic segmentation, each class that occurs in an image is one mask to find, unless
    ``target_classes`` say which masks there are.

    Args:
        mask_logits: For each layer, the last one last, ``[B, Q, h, w]``.
        class_logits: Likewise ``[B, Q, C + 1]``.
        labels: uint8 ``[B, H, W]``, 255 for unlabeled; such pixels belong to no mask.
        config: Weights and sampling.
        target_classes: int64 ``[B, T]``, where ``labels`` are no classes but numbers of single masks: the class of each, -1
            for numbers that an image does not have.

    Returns:
        ``cross_entropy``, ``mask`` and ``dice`` of the last layer, and ``earlier_layers``, the sum of all others. The sum of
        these is to be minimised.
    """
    # Half precision is too coarse for points and sums over them.
    with torch.autocast(labels.device.type, enabled=False):
        num_targets = class_logits[-1].shape[2] - 1 if target_classes is None else target_classes.shape[1]
        present = present_classes(labels, num_targets)
        pairs = matched(mask_logits, class_logits, labels, present, config, target_classes)
        classes = pairs[..., 2] if target_classes is None else target_classes[pairs[..., 0], pairs[..., 2]]
        stacked = at_least_float32(torch.stack(list(class_logits)))
        cross_entropy = config.class_weight * _class_losses(stacked, pairs, classes, config)
        mask, dice = _mask_losses(mask_logits, labels, pairs, config) / _mean_over_processes(present.sum()).clamp(min=1)
        mask, dice = config.mask_weight * mask, config.dice_weight * dice
        earlier_layers = (cross_entropy + mask + dice)[:-1].sum()
        return {"cross_entropy": cross_entropy[-1], "mask": mask[-1], "dice": dice[-1], "earlier_layers": earlier_layers}


def _class_losses(class_logits: torch.Tensor, pairs: torch.Tensor, classes: torch.Tensor, config: LossConfig) -> torch.Tensor:
    """Cross entropy of each layer, ``[L, B, Q, C + 1]`` -> ``[L]``; queries without a mask are to say "no object"."""
    no_object = class_logits.shape[3] - 1
    layers = torch.arange(len(pairs), device=pairs.device)[:, None]
    targets = torch.full(class_logits.shape[:3], no_object, device=pairs.device)
    targets[layers, pairs[..., 0], pairs[..., 1]] = classes
    weights = torch.where(targets == no_object, config.no_object_weight, 1.0)
    losses = F.cross_entropy(class_logits.flatten(0, 2), targets.flatten(), reduction="none").view_as(weights)
    return (weights * losses).sum((1, 2)) / weights.sum((1, 2))


def _mask_losses(
    mask_logits: Sequence[torch.Tensor], labels: torch.Tensor, pairs: torch.Tensor, config: LossConfig
) -> torch.Tensor:
    """Sums of binary cross entropy and dice loss over the pairs of each layer, ``[2, L]``."""
    chosen = zip(mask_logits, pairs[..., 0], pairs[..., 1], strict=True)
    masks = torch.cat([layer[images, queries] for layer, images, queries in chosen])
    masks = at_least_float32(masks)[:, None]  # [L * M, 1, h, w]
    images, _, numbers = pairs.flatten(0, 1).unbind(1)
    with torch.no_grad():
        points = uncertain_points(
            masks,
            config.train_num_points,
            oversample_ratio=config.oversample_ratio,
            importance_sample_ratio=config.importance_sample_ratio,
        )
        around, weights = labels_at(labels, images, points)
        targets = (weights * (around == numbers[:, None])).sum(0)  # [L * M, P]
    logits = logits_at(masks, points)[:, 0]
    predicted = logits.sigmoid()
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(1)
    dice = 1 - (2 * (predicted * targets).sum(1) + 1) / (predicted.sum(1) + targets.sum(1) + 1)
    return torch.stack([cross_entropy, dice]).unflatten(1, pairs.shape[:2]).sum(2)


def _mean_over_processes(count: torch.Tensor) -> torch.Tensor:
    mean = count.float()
    if distributed.is_initialized():
        distributed.all_reduce(mean)
        mean /= distributed.get_world_size()
    return mean
