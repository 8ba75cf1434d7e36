"""Class and mask logits of queries -> class scores, label map and confidence (Mask2Former's semantic inference)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from mpvss_model.image import FramePadding

__all__ = ["UNLABELED", "BestClasses", "best_classes", "class_scores", "confidence_map", "label_map", "relevant_queries"]

UNLABELED = 255
MASK_STRIDE = 4
# Bilinear upsampling by 4: each new pixel lies between its old pixel and a neighbour, by this share of the way.
NEIGHBOURS = ((-1, 0.375), (-1, 0.125), (1, 0.125), (1, 0.375))
# 2 MiB of masks at a time.
BLOCK_NUMBERS = 2**19
FAR = 1e38


class BestClasses(NamedTuple):
    """Per pixel the best class, uint8 ``[H, W]``, and its score, ``[H, W]``."""

    labels: torch.Tensor
    scores: torch.Tensor


def class_probabilities(class_logits: torch.Tensor) -> torch.Tensor:
    """``[Q, C + 1]`` logits, the last one "no object", -> ``[Q, C]`` probabilities of the real classes."""
    return class_logits.softmax(dim=-1)[:, :-1]


def relevant_queries(class_logits: torch.Tensor, tolerance: float, multiple: int = 1) -> torch.Tensor:
    """The queries that can matter for the label map, as a sorted index tensor ``[Q']``.

    A query adds at most its class probability to a class score, since a mask lies in 0..1. The queries left out are the
    largest set, weakest first, whose probabilities of any one class sum to at most ``tolerance``: no class score of any
    pixel changes by more than that without them. At least one query is always kept; their number is rounded up to a
    ``multiple``, as far as there are so many.
    """
    probabilities = class_probabilities(class_logits)  # [Q, C]
    weakest_first = probabilities.sum(dim=-1).argsort()
    lost_score = probabilities[weakest_first].cumsum(dim=0).amax(dim=-1)
    num_queries = len(weakest_first)
    kept = max(1, num_queries - int((lost_score <= tolerance).sum()))
    kept = min(-(-kept // multiple) * multiple, num_queries)
    return weakest_first[num_queries - kept :].sort().values


def class_scores(mask_logits: torch.Tensor, class_logits: torch.Tensor, padding: FramePadding) -> torch.Tensor:
    """Scores of each class at each pixel of the frame.

    Args:
        mask_logits: ``[Q, h, w]``, at any resolution of the padded frame.
        class_logits: ``[Q, C + 1]``, the last one "no object".
        padding: Geometry of the frame; its padding is cropped.

    Returns:
        ``[C, H, W]``, at least 0: sum over the queries of class probability times mask probability.
    """
    masks = F.interpolate(mask_logits.float().unsqueeze(0), size=padding.padded_size, mode="bilinear", align_corners=False)
    masks = padding.unpad(masks)[0].sigmoid()  # [Q, H, W]
    return torch.einsum("qc,qhw->chw", class_probabilities(class_logits), masks)


def label_map(scores: torch.Tensor) -> np.ndarray:
    """``[C, H, W]`` scores -> the best class of each pixel, uint8 ``[H, W]``."""
    return _best(scores).labels.cpu().numpy()


def best_classes(mask_logits: torch.Tensor, class_logits: torch.Tensor, padding: FramePadding) -> BestClasses:
    """The best class of each pixel of the frame and its score: the maximum of `class_scores`, without keeping them all.

    Args:
        mask_logits: ``[Q, h, w]``, at 1/4 of the padded frame.
        class_logits: ``[Q, C + 1]``, the last one "no object".
        padding: Geometry of the frame; its padding is cropped.
    """
    if mask_logits.is_cuda or padding.padded_size != tuple(MASK_STRIDE * side for side in mask_logits.shape[1:]):
        return _best(class_scores(mask_logits, class_logits, padding))
    probabilities = class_probabilities(class_logits).t().contiguous()  # [C, Q]
    num_queries, height, width = mask_logits.shape
    labels = torch.empty(height, MASK_STRIDE, width, MASK_STRIDE, dtype=torch.uint8)
    scores = torch.empty(labels.shape)
    padded = F.pad(mask_logits.float().unsqueeze(0), (1, 1, 1, 1), mode="replicate")[0]
    # A block's masks stay in the cache from one operation to the next.
    rows = max(1, BLOCK_NUMBERS // (num_queries * width * MASK_STRIDE**2))
    for top in range(0, height, rows):
        masks = _upsampled(padded[:, top : top + rows + 2]).sigmoid_()  # [Q, 4, 4, rows, w]
        best = _best(torch.mm(probabilities, masks.flatten(1)).view(-1, *masks.shape[1:]))
        labels[top : top + rows] = best.labels.permute(2, 0, 3, 1)
        scores[top : top + rows] = best.scores.permute(2, 0, 3, 1)
    full = (MASK_STRIDE * height, MASK_STRIDE * width)
    return BestClasses(*(padding.unpad(x.view(full)) for x in (labels, scores)))


def confidence_map(best_scores: torch.Tensor) -> np.ndarray:
    """``[H, W]`` scores of the best classes -> clipped to 0..1, float32."""
    return best_scores.clamp(0.0, 1.0).float().cpu().numpy()


def _upsampled(masks: torch.Tensor) -> torch.Tensor:
    """Bilinear upsampling by 4, the new pixels of each old one in dimensions of their own, so that all is contiguous.

    ``[Q, rows + 2, w + 2]`` with a border -> ``[Q, 4, 4, rows, w]``: new row, new column, old row, old column.
    """
    num_queries, rows, width = masks.shape[0], masks.shape[1] - 2, masks.shape[2] - 2
    tall = masks.new_empty(num_queries, MASK_STRIDE, rows, width + 2)
    for i, (neighbour, share) in enumerate(NEIGHBOURS):
        torch.lerp(masks[:, 1 : rows + 1], masks[:, 1 + neighbour : rows + 1 + neighbour], share, out=tall[:, i])
    full = masks.new_empty(num_queries, MASK_STRIDE, MASK_STRIDE, rows, width)
    for i, (neighbour, share) in enumerate(NEIGHBOURS):
        torch.lerp(tall[..., 1 : width + 1], tall[..., 1 + neighbour : width + 1 + neighbour], share, out=full[:, :, i])
    return full


def _best(scores: torch.Tensor) -> BestClasses:
    """Maximum over the first dimension, the lowest class where several are best."""
    if scores.is_cuda:
        best = scores.max(dim=0)
        return BestClasses(best.indices.to(torch.uint8), best.values)
    # Over the first dimension, torch finds the place of a maximum an order of magnitude slower than its value: so find the
    # value, push everything below it far below zero, and take the maximum of what is left plus a number for the class.
    best = scores.amax(dim=0)
    countdown = torch.arange(len(scores), 0, -1, dtype=scores.dtype).view(-1, *[1] * best.ndim)
    winner = torch.add(countdown, scores - best, alpha=FAR).amax(dim=0)
    return BestClasses((len(scores) - winner).to(torch.uint8), best)
