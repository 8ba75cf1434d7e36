"""Class and mask logits of queries -> class scores, label map and confidence (Mask2Former's semantic inference).

Most cells of the masks' grid, of 4x4 pixels each, lie inside one class. What the masks can be between their values bounds the
scores of every class in a cell; where the best class at its worst beats all others at their best, the cell's labels are known
without a look at its pixels.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from mpvss_model.config import UNLABELED
from mpvss_model.image import FramePadding

__all__ = [
    "UNLABELED",
    "best_labels",
    "best_scores",
    "class_probabilities",
    "class_scores",
    "confidence_map",
    "grid_scores",
    "label_map",
    "relevant_queries",
]

MASK_STRIDE = 4
# Bilinear upsampling by 4: shares of the value before, at and after its cell in each of the cell's four pixels.
SHARES = torch.tensor([[0.375, 0.625, 0.0], [0.125, 0.875, 0.0], [0.0, 0.875, 0.125], [0.0, 0.625, 0.375]])
# [16, 9]: pixels of a cell from the 3x3 mask values around it.
CELL_SHARES = torch.kron(SHARES, SHARES)
MAX_NEIGHBOUR_SHARE = 0.375
# A bound may be off by what sums of floats are off.
ROUNDING = 1e-5
# 2 MiB of masks at a time stay in the cache from one operation to the next.
BLOCK_NUMBERS = 2**19
FAR = 1e38


def class_probabilities(class_logits: torch.Tensor) -> torch.Tensor:
    """``[Q, C + 1]`` logits, the last one "no object", -> ``[Q, C]`` probabilities of the real classes."""
    return class_logits.softmax(dim=-1)[:, :-1]


def relevant_queries(
    mask_logits: torch.Tensor, class_logits: torch.Tensor, tolerance: float, multiple: int = 1
) -> torch.Tensor:
    """The queries that can matter for the label map, as a sorted index tensor ``[Q']``.

    A query adds at most its class probability times its mask's largest value to a class score, wherever its mask is carried.
    The queries left out are the largest set, weakest first, whose shares of any one class sum to at most ``tolerance``: no
    class score of any pixel changes by more than that without them. At least one query is always kept; their number is
    rounded up to a ``multiple``, as far as there are so many.

    Args:
        mask_logits: ``[Q, h, w]``.
        class_logits: ``[Q, C + 1]``, the last one "no object".
        tolerance: At least 0.
        multiple: At least 1.
    """
    largest = mask_logits.flatten(1).amax(dim=1, keepdim=True).float().sigmoid()
    shares = class_probabilities(class_logits) * largest  # [Q, C]
    weakest_first = shares.sum(dim=-1).argsort()
    lost_score = shares[weakest_first].cumsum(dim=0).amax(dim=-1)
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
    return grid_scores(padding.unpad(masks)[0], class_logits)


def grid_scores(mask_logits: torch.Tensor, class_logits: torch.Tensor) -> torch.Tensor:
    """As `class_scores`, of each place that the masks have themselves: ``[Q, h, w]`` -> ``[C, h, w]``."""
    return torch.einsum("qc,qhw->chw", class_probabilities(class_logits), mask_logits.float().sigmoid())


def label_map(scores: torch.Tensor) -> np.ndarray:
    """``[C, H, W]`` scores -> the best class of each pixel, uint8 ``[H, W]``."""
    return _best(scores).cpu().numpy()


def best_labels(mask_logits: torch.Tensor, class_logits: torch.Tensor, padding: FramePadding) -> torch.Tensor:
    """The best class of each pixel of the frame, uint8 ``[H, W]``: that of the largest of `class_scores`.

    Args:
        mask_logits: ``[Q, h, w]``, at 1/4 of the padded frame.
        class_logits: ``[Q, C + 1]``, the last one "no object".
        padding: Geometry of the frame; its padding is cropped.
    """
    if not _has_cells(mask_logits, padding):
        return _best(class_scores(mask_logits, class_logits, padding))
    cells = _Cells(mask_logits, class_logits)
    inside, is_decided = cells.bounded()
    height, width = inside.shape
    labels = inside[:, None, :, None].expand(height, MASK_STRIDE, width, MASK_STRIDE).contiguous()
    for some in cells.blocks((~is_decided).flatten().nonzero()[:, 0]):
        found = _best(cells.scores(some)).view(MASK_STRIDE, MASK_STRIDE, -1)
        labels[some // width, :, some % width] = found.permute(2, 0, 1)
    return padding.unpad(labels.view(padding.padded_size))


def best_scores(mask_logits: torch.Tensor, class_logits: torch.Tensor, padding: FramePadding) -> torch.Tensor:
    """The largest of `class_scores` at each pixel of the frame, ``[H, W]``; arguments as in `best_labels`."""
    if not _has_cells(mask_logits, padding):
        return class_scores(mask_logits, class_logits, padding).amax(dim=0)
    cells = _Cells(mask_logits, class_logits)
    height, width = mask_logits.shape[1:]
    blocks = [cells.scores(some).amax(dim=0) for some in cells.blocks(torch.arange(height * width))]
    scores = torch.cat([block.view(MASK_STRIDE, MASK_STRIDE, -1) for block in blocks], dim=2)
    return padding.unpad(scores.unflatten(2, (height, width)).permute(2, 0, 3, 1).reshape(padding.padded_size))


def confidence_map(best_scores: torch.Tensor) -> np.ndarray:
    """``[H, W]`` scores of the best classes -> clipped to 0..1, float32."""
    return best_scores.clamp(0.0, 1.0).float().cpu().numpy()


class _Cells:
    """Class scores in the cells of the masks' grid, on the CPU.

    Args:
        mask_logits: ``[Q, h, w]``, at 1/4 of the padded frame.
        class_logits: ``[Q, C + 1]``.
    """

    def __init__(self, mask_logits: torch.Tensor, class_logits: torch.Tensor) -> None:
        self._probabilities = class_probabilities(class_logits).t().contiguous()  # [C, Q]
        self._masks = F.pad(mask_logits.float().unsqueeze(0), (1, 1, 1, 1), mode="replicate")[0]
        self._positions = self._masks.flatten(1).t().contiguous()  # [(h + 2) * (w + 2), Q]

    def bounded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Per cell a class, uint8 ``[h, w]``, and whether all of its pixels are sure to have it."""
        best = self._probabilities @ _largest_between(self._masks).sigmoid_().flatten(1)
        worst = self._probabilities @ (-_largest_between(-self._masks)).sigmoid_().flatten(1)
        may_win = (best >= worst.amax(dim=0) - ROUNDING).float()  # [C, h * w]
        numbers = torch.arange(len(may_win), dtype=torch.float32)
        count, label = torch.stack([torch.ones_like(numbers), numbers]) @ may_win
        size = self._masks.shape[1] - 2, self._masks.shape[2] - 2
        # The sum of several classes' numbers is none of them; it is not used then.
        return label.to(torch.uint8).view(size), (count == 1).view(size)

    def blocks(self, cells: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Cells ``[n]``, counted row by row, in groups of a convenient size."""
        return cells.split(max(1, BLOCK_NUMBERS // (MASK_STRIDE**2 * self._positions.shape[1])))

    def scores(self, cells: torch.Tensor) -> torch.Tensor:
        """Class scores of all pixels of some cells: ``[C, 16 * n]``, the cells of a block's first pixels first."""
        num_queries, _, stride = self._masks.shape
        width = stride - 2
        corner = cells + 2 * (cells // width)
        around = (torch.arange(3)[:, None] * stride + torch.arange(3)).flatten()
        values = self._positions[(around[:, None] + corner).flatten()]  # [9 * n, Q]
        masks = (CELL_SHARES @ values.view(len(around), -1)).sigmoid_()  # [16, n * Q]
        return self._probabilities @ masks.view(-1, num_queries).t()


def _has_cells(mask_logits: torch.Tensor, padding: FramePadding) -> bool:
    # A GPU is faster with more work and fewer questions.
    return not mask_logits.is_cuda and padding.padded_size == tuple(MASK_STRIDE * side for side in mask_logits.shape[1:])


def _largest_between(masks: torch.Tensor) -> torch.Tensor:
    """No interpolated pixel of a cell is larger: ``[Q, h + 2, w + 2]`` with a border -> ``[Q, h, w]``."""
    here = masks[:, 1:-1]
    tall = torch.lerp(here, torch.maximum(masks[:, :-2], masks[:, 2:]), MAX_NEIGHBOUR_SHARE).maximum(here)
    here = tall[..., 1:-1]
    return torch.lerp(here, torch.maximum(tall[..., :-2], tall[..., 2:]), MAX_NEIGHBOUR_SHARE).maximum(here)


def _best(scores: torch.Tensor) -> torch.Tensor:
    """The place of the maximum over the first dimension, the lowest class where several are best, uint8."""
    if scores.is_cuda:
        return scores.argmax(dim=0).to(torch.uint8)
    # Over the first dimension, torch finds the place of a maximum an order of magnitude slower than its value: so find the
    # value, push everything below it far below zero, and take the maximum of what is left plus a number for the class.
    countdown = torch.arange(len(scores), 0, -1, dtype=scores.dtype).view(-1, *[1] * (scores.ndim - 1))
    winner = torch.add(countdown, scores - scores.amax(dim=0), alpha=FAR).amax(dim=0)
    return (len(scores) - winner).to(torch.uint8)
