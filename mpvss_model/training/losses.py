"""Label maps as mask targets, and Mask2Former's losses on the predictions of all decoder layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mpvss_model.semantics import UNLABELED

__all__ = ["mask_targets", "segmentation_losses"]


def mask_targets(labels: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """One binary mask per class that occurs in a label map, as Mask2Former is trained for semantic segmentation.

    Args:
        labels: uint8 ``[B, H, W]``, 255 for unlabeled; such pixels belong to no mask.

    Returns:
        Masks, float32 ``[T_b, H, W]``, and their classes, int64 ``[T_b]``, of each image.
    """
    classes = [label_map.unique() for label_map in labels]
    classes = [present[present != UNLABELED].long() for present in classes]
    return [(label_map == present[:, None, None]).float() for label_map, present in zip(labels, classes)], classes


def segmentation_losses(
    model: torch.nn.Module, mask_logits: Sequence[torch.Tensor], class_logits: Sequence[torch.Tensor], labels: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Weighted losses of every decoder layer (deep supervision; Cheng et al., Mask2Former, CVPR 2022, section 3.3).

    Args:
        model: The ``Mask2FormerForUniversalSegmentation`` whose matcher, loss and weights are used.
        mask_logits: For each layer, the last one last, ``[B, Q, h, w]``.
        class_logits: Likewise ``[B, Q, C + 1]``.
        labels: uint8 ``[B, H, W]``.

    Returns:
        The losses by name; their sum is to be minimised.
    """
    masks, classes = mask_targets(labels)
    layers = [
        {"masks_queries_logits": layer_masks.float(), "class_queries_logits": layer_classes.float()}
        for layer_masks, layer_classes in zip(mask_logits, class_logits)
    ]
    # The costs of the matching overflow in half precision.
    with torch.autocast(labels.device.type, enabled=False):
        return model.get_loss_dict(**layers[-1], mask_labels=masks, class_labels=classes, auxiliary_predictions=layers[:-1])
