"""Class and mask logits of queries -> class scores, label map and confidence (Mask2Former's semantic inference)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from mpvss_model.image import FramePadding

__all__ = ["UNLABELED", "class_scores", "confidence_map", "label_map", "relevant_queries"]

UNLABELED = 255


def class_probabilities(class_logits: torch.Tensor) -> torch.Tensor:
    """``[Q, C + 1]`` logits, the last one "no object", -> ``[Q, C]`` probabilities of the real classes."""
    return class_logits.softmax(dim=-1)[:, :-1]


def relevant_queries(class_logits: torch.Tensor, tolerance: float) -> torch.Tensor:
    """The queries that can matter for the label map, as a sorted index tensor ``[Q']``.

    A query adds at most its class probability to a class score, since a mask lies in 0..1. The queries left out are the
    largest set, weakest first, whose probabilities of any one class sum to at most ``tolerance``: no class score of any
    pixel changes by more than that without them. At least one query is always kept.
    """
    probabilities = class_probabilities(class_logits)  # [Q, C]
    weakest_first = probabilities.sum(dim=-1).argsort()
    lost_score = probabilities[weakest_first].cumsum(dim=0).amax(dim=-1)
    dropped = min(int((lost_score <= tolerance).sum()), len(weakest_first) - 1)
    return weakest_first[dropped:].sort().values


def class_scores(mask_logits: torch.Tensor, class_logits: torch.Tensor, padding: FramePadding) -> torch.Tensor:
    """Scores of each class at each pixel of the frame.

    Args:
        mask_logits: ``[Q, h, w]``, at any resolution of the padded frame.
        class_logits: ``[Q, C + 1]``, the last one "no object".
        padding: Geometry of the frame; its padding is cropped.

    Returns:
        ``[C, H, W]``, at least 0: sum over the queries of class probability times mask probability.
    """
    masks = F.interpolate(mask_logits.unsqueeze(0), size=padding.padded_size, mode="bilinear", align_corners=False)
    masks = padding.unpad(masks)[0].sigmoid()  # [Q, H, W]
    return torch.einsum("qc,qhw->chw", class_probabilities(class_logits), masks)


def label_map(scores: torch.Tensor) -> np.ndarray:
    """``[C, H, W]`` scores -> the best class of each pixel, uint8 ``[H, W]``."""
    # Over the first dimension torch's argmax takes four times as long as max.
    return scores.max(dim=0).indices.to(torch.uint8).cpu().numpy()


def confidence_map(scores: torch.Tensor) -> np.ndarray:
    """``[C, H, W]`` scores -> the best class's score, clipped to 0..1, float32 ``[H, W]``."""
    return scores.amax(dim=0).clamp(0.0, 1.0).float().cpu().numpy()
