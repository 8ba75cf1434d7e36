"""Class scores of pixels as masks: one for each class, so that they can be propagated like any others.

A mask logit is a class logit less a number that is the same for all classes of a pixel. So the largest mask is that of the
best class, also between pixels, where both are interpolated. The number is chosen so that the sigmoid of the best class's mask
is its probability, which makes confidence right.
"""

from __future__ import annotations

import torch

__all__ = ["class_logits_of_masks", "masks_of_class_logits", "masks_of_class_scores"]

# Of a probability that is 0 in float32, also after a softmax.
NEVER = -1000.0
# Masks stay finite where a class is certain.
LARGEST_LOGIT = 30.0


def masks_of_class_logits(class_logits: torch.Tensor) -> torch.Tensor:
    """Mask logits ``[..., C, h, w]`` of class logits ``[..., C, h, w]`` that a softmax makes probabilities of; float32."""
    logits = class_logits.float()
    best, index = logits.max(dim=-3, keepdim=True)
    others = logits.scatter(-3, index, -torch.inf).logsumexp(dim=-3, keepdim=True)
    return logits - torch.maximum(others, best - LARGEST_LOGIT)


def masks_of_class_scores(scores: torch.Tensor) -> torch.Tensor:
    """Mask logits ``[..., C, h, w]`` of class scores ``[..., C, h, w]`` of at least 0, of which 1 is certain; float32."""
    logits = scores.float().clamp(min=torch.finfo(torch.float32).tiny).log()
    best = logits.amax(dim=-3, keepdim=True)
    # log(1 - score), which is minus infinity for a score of 1, and not defined beyond.
    others = torch.log1p(-best.exp().clamp(max=1.0))
    return logits - torch.maximum(others, best - LARGEST_LOGIT)


def class_logits_of_masks(num_classes: int, like: torch.Tensor) -> torch.Tensor:
    """Class logits ``[C, C + 1]``, the last column "no object": each mask has its class, with a probability of 1."""
    return like.new_full((num_classes, num_classes + 1), NEVER, dtype=torch.float32).fill_diagonal_(0.0)
