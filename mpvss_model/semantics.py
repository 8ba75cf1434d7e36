"""Class and mask logits of queries -> class scores, label map and confidence (Mask2Former's semantic inference).

Labels may be of another size than the frame that was segmented: it is mask logits that are upsampled, so that borders are as
sharp as pixels can show them. Most cells between four mask values, of 4x4 pixels each at the frame's own size, lie inside one
class. An interpolated mask lies between the cell's four values, which bounds the scores of every class. Where the best class
at its worst beats all others at their best, the cell's labels are known without a look at its pixels.

Of networks that classify pixels each mask is a class of its own. The best class is that of the largest mask logit then, which
tells apart what is equal after a sigmoid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import torch
import torch.nn.functional as F

from mpvss_model.config import UNLABELED
from mpvss_model.image import FramePadding

__all__ = [
    "UNLABELED",
    "ClassesOfMasks",
    "best_labels",
    "best_scores",
    "class_probabilities",
    "class_scores",
    "class_shares",
    "confidence_map",
    "grid_scores",
    "label_map",
    "labels_of_masks",
    "largest_logits",
    "queries_that_matter",
    "relevant_queries",
]

# A bound may be off by what sums of floats are off.
ROUNDING = 1e-5
# 2 MiB of masks at a time stay in the cache from one operation to the next.
BLOCK_NUMBERS = 2**19
# 64 MiB of masks at a time keep the memory of a GPU free, and all of it busy.
STRIP_NUMBERS = 2**24
FAR = 1e38
# What a sum of scores is at least, to be divided by.
TINY = 1e-30
# Sizes of frames and labels whose geometry is kept: those of a few cameras, along both sides.
KEPT_AXES = 32


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
    return queries_that_matter(largest_logits(mask_logits), class_logits, tolerance, multiple)


def largest_logits(mask_logits: torch.Tensor) -> torch.Tensor:
    """Of each mask ``[Q, h, w]``, ``[Q, 1]``."""
    return mask_logits.flatten(1).amax(dim=1, keepdim=True)


def queries_that_matter(
    largest: torch.Tensor, class_logits: torch.Tensor, tolerance: float, multiple: int = 1
) -> torch.Tensor:
    """As `relevant_queries`, from the masks' `largest_logits`."""
    shares = class_probabilities(class_logits) * largest.float().sigmoid()  # [Q, C]
    weakest_first = shares.sum(dim=-1).argsort()
    lost_score = shares[weakest_first].cumsum(dim=0).amax(dim=-1)
    num_queries = len(weakest_first)
    kept = max(1, num_queries - int((lost_score <= tolerance).sum()))
    kept = min(-(-kept // multiple) * multiple, num_queries)
    return weakest_first[num_queries - kept :].sort().values


def class_scores(
    mask_logits: torch.Tensor, class_logits: torch.Tensor, padding: FramePadding, size: tuple[int, int] | None = None
) -> torch.Tensor:
    """Scores of each class at each pixel of the frame, or of an image of another size that shows the same.

    Args:
        mask_logits: ``[Q, h, w]``, at any resolution of the padded frame.
        class_logits: ``[Q, C + 1]``, the last one "no object".
        padding: Geometry of the frame; its padding is cropped.
        size: Height and width of the scores, ``H`` and ``W``; the frame's by default.

    Returns:
        ``[C, H, W]``, at least 0: sum over the queries of class probability times mask probability.
    """
    return _interpolated_scores(mask_logits, padding, size, partial(grid_scores, class_logits=class_logits))


def _interpolated_scores(
    mask_logits: torch.Tensor,
    padding: FramePadding,
    size: tuple[int, int] | None,
    scores_of: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """As `class_scores`, with what makes scores ``[C, h, w]`` of masks ``[Q, h, w]``."""
    masks = mask_logits.float()
    if size in (None, padding.size):
        masks = F.interpolate(masks.unsqueeze(0), size=padding.padded_size, mode="bilinear", align_corners=False)[0]
        return scores_of(padding.unpad(masks))
    rows, columns = axes = _axes(mask_logits, padding, size)
    strips = rows.interpolated(_used_masks(masks, axes), dim=1).split(max(1, STRIP_NUMBERS // (len(masks) * size[1])), dim=1)
    return torch.cat([scores_of(columns.interpolated(strip, dim=2)) for strip in strips], dim=1)


def class_shares(
    mask_logits: torch.Tensor,
    class_logits: torch.Tensor,
    padding: FramePadding,
    groups: torch.Tensor,
    size: tuple[int, int] | None = None,
) -> torch.Tensor:
    """What share of all class scores of a pixel some classes have: their probabilities, if it has one of the model's classes.

    Memory is for the groups, however many classes there are.

    Args:
        mask_logits: ``[Q, h, w]``, at any resolution of the padded frame.
        class_logits: ``[Q, C + 1]``, the last one "no object".
        padding: Geometry of the frame; its padding is cropped.
        groups: float ``[C, K]``, 1 where a class belongs to a group of classes, else 0.
        size: Height and width of the shares, ``H`` and ``W``; the frame's by default.

    Returns:
        float32 ``[K, H, W]`` in 0..1; over groups that have each class once they sum to 1. 0 where no mask says anything.
    """
    height, width = size or padding.size
    rows, columns = axes = _axes(mask_logits, padding, (height, width))
    probabilities = class_probabilities(class_logits).float()
    of_groups, of_all = probabilities @ groups.to(probabilities), probabilities.sum(dim=1, keepdim=True)
    weights = torch.cat([of_groups, of_all], dim=1)  # [Q, K + 1]
    shares = torch.empty(groups.shape[1], height, width, device=mask_logits.device)
    # Columns first, while there are few rows: rows lie in one piece, and are taken in no time.
    wide = columns.interpolated(_used_masks(mask_logits, axes), dim=2)
    step = max(1, (STRIP_NUMBERS if mask_logits.is_cuda else BLOCK_NUMBERS) // (len(wide) * width))
    for strip in (slice(start, start + step) for start in range(0, height, step)):
        masks = rows.interpolated(wide, dim=1, pixels=strip).sigmoid_().flatten(1)
        scores = weights.t() @ masks  # [K + 1, h * W]
        shares[:, strip] = (scores[:-1] / scores[-1].clamp_min(TINY)).unflatten(1, (-1, width))
    return shares


def grid_scores(mask_logits: torch.Tensor, class_logits: torch.Tensor) -> torch.Tensor:
    """As `class_scores`, of each place that the masks have themselves: ``[Q, h, w]`` -> ``[C, h, w]``."""
    return torch.einsum("qc,qhw->chw", class_probabilities(class_logits), mask_logits.float().sigmoid())


def label_map(scores: torch.Tensor) -> np.ndarray:
    """``[C, H, W]`` scores -> the best class of each pixel, uint8 ``[H, W]``."""
    return _best(scores).cpu().numpy()


def best_labels(
    mask_logits: torch.Tensor, class_logits: torch.Tensor, padding: FramePadding, size: tuple[int, int] | None = None
) -> torch.Tensor:
    """The best class of each pixel, uint8 ``[H, W]``: that of the largest of `class_scores`, whose arguments these are."""
    return labels_of_masks(mask_logits, ClassesOfMasks.of(class_logits), padding, size)


@dataclass(frozen=True)
class ClassesOfMasks:
    """The classes of some masks, which are the same in all frames that the masks are carried to.

    Attributes:
        logits: ``[Q, C + 1]``, the last one "no object".
        in_order: The masks by their classes, int64 ``[Q]``, if each has another and is sure of it.
        numbers: Of the classes in that order, uint8 ``[Q]``.
    """

    logits: torch.Tensor
    in_order: torch.Tensor | None = None
    numbers: torch.Tensor | None = None

    @classmethod
    def of(cls, class_logits: torch.Tensor) -> ClassesOfMasks:
        """Those of class logits ``[Q, C + 1]``; a GPU is waited for."""
        probabilities = class_probabilities(class_logits)
        largest, classes = probabilities.max(dim=1)
        is_sure = (largest == 1).all() & (probabilities.count_nonzero() == len(classes))
        in_order = classes.argsort()  # so that the lowest class wins where several are best
        in_use = classes[in_order]
        if not (is_sure & (in_use.diff() != 0).all()):
            return cls(class_logits)
        return cls(class_logits, in_order, in_use.to(torch.uint8))


def labels_of_masks(
    mask_logits: torch.Tensor, classes: ClassesOfMasks, padding: FramePadding, size: tuple[int, int] | None = None
) -> torch.Tensor:
    """As `best_labels`, without a look at the classes: a GPU is given its work, and not waited for."""
    if classes.in_order is None or classes.numbers is None:
        return _labels(mask_logits, classes.logits, padding, size)
    labels = _labels(mask_logits[classes.in_order], None, padding, size)
    return classes.numbers[labels.int()]


def _labels(
    mask_logits: torch.Tensor, class_logits: torch.Tensor | None, padding: FramePadding, size: tuple[int, int] | None
) -> torch.Tensor:
    """As `best_labels`; without class logits, the number of the largest mask."""
    rows, columns = axes = _axes(mask_logits, padding, size or padding.size)
    if not _has_cells(mask_logits, axes):
        scores_of = torch.clone if class_logits is None else partial(grid_scores, class_logits=class_logits)
        return _best(_interpolated_scores(mask_logits, padding, size, scores_of))
    cells = _Cells(mask_logits, class_logits, axes)
    inside, is_decided = cells.bounded()
    labels = torch.from_numpy(inside.numpy().repeat(columns.counts, axis=1).repeat(rows.counts, axis=0))
    for some in cells.blocks((~is_decided).flatten().nonzero()[:, 0]):
        labels.view(-1).scatter_(0, cells.pixels(some), _best(cells.scores(some)))
    return labels


def best_scores(mask_logits: torch.Tensor, class_logits: torch.Tensor, padding: FramePadding) -> torch.Tensor:
    """The largest of `class_scores` at each pixel of the frame, ``[H, W]``; arguments as there."""
    axes = _axes(mask_logits, padding, padding.size)
    if not _has_cells(mask_logits, axes):
        return class_scores(mask_logits, class_logits, padding).amax(dim=0)
    cells = _Cells(mask_logits, class_logits, axes)
    scores = torch.empty(padding.size)
    for some in cells.blocks(torch.arange(cells.count)):
        scores.view(-1).scatter_(0, cells.pixels(some), cells.scores(some).amax(dim=0))
    return scores


def confidence_map(best_scores: torch.Tensor) -> np.ndarray:
    """``[H, W]`` scores of the best classes -> clipped to 0..1, float32."""
    return best_scores.clamp(0.0, 1.0).float().cpu().numpy()


class _Axis:
    """Linear interpolation along one side of the masks, which have a border that repeats their outermost values.

    Args:
        num_pixels: The first of them begins where the first value does.
        values_per_pixel: Distance of two pixels, at most 1 for cells that all have a pixel.

    Attributes:
        first: The first value, counted from the border on, that is used: the one before the first pixel.
        cells: int64 ``[N]``, the cell that each pixel lies in: 0 between the first value and the next.
        shares: float32 ``[N]``, of the value after the pixel, 0 to 1.
    """

    def __init__(self, num_pixels: int, values_per_pixel: float) -> None:
        positions = (np.arange(num_pixels) + 0.5) * values_per_pixel + 0.5
        before = np.floor(positions).astype(np.int64)
        self.first = int(before[0])
        self.cells = before - self.first
        self.shares = torch.from_numpy((positions - before).astype(np.float32))
        self._on_gpus: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}

    @property
    def used(self) -> slice:
        """The values that pixels lie between."""
        return slice(self.first, self.first + int(self.cells[-1]) + 2)

    @property
    def counts(self) -> np.ndarray:
        """How many pixels each cell has, ``[cells]``."""
        return np.bincount(self.cells)

    def pixels(self) -> torch.Tensor:
        """Of each cell, int64 ``[K, cells]``; its last one again where another cell has more."""
        counts = self.counts
        place = np.minimum(np.arange(counts.max())[:, None], counts - 1)
        return torch.from_numpy(counts.cumsum() - counts + place)

    def interpolated(self, used: torch.Tensor, *, dim: int, pixels: slice = slice(None)) -> torch.Tensor:
        """Of the values that are used, those at all or some pixels, along one of three dimensions."""
        cells, shares = self._on(used.device)
        before = cells[pixels]
        shares = shares[pixels].to(used).view([-1 if i == dim else 1 for i in range(3)])
        return torch.lerp(used.index_select(dim, before), used.index_select(dim, before + 1), shares)

    def _on(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Cells and shares on a device; a GPU has them from the first time on, since it is held up by getting them."""
        if device.type == "cpu":
            return torch.from_numpy(self.cells), self.shares
        if device not in self._on_gpus:
            with torch.inference_mode(False):
                self._on_gpus[device] = torch.from_numpy(self.cells).to(device), self.shares.to(device)
        return self._on_gpus[device]


class _Cells:
    """Class scores in the cells between four mask values, counted row by row; on the CPU.

    Args:
        mask_logits: ``[Q, h, w]``.
        class_logits: ``[Q, C + 1]``; None to take mask logits for scores.
        axes: Of rows and columns.
    """

    def __init__(self, mask_logits: torch.Tensor, class_logits: torch.Tensor | None, axes: tuple[_Axis, _Axis]) -> None:
        self._probabilities = None if class_logits is None else class_probabilities(class_logits).t().contiguous()  # [C, Q]
        self._corners = _used_masks(mask_logits, axes).contiguous()  # [Q, rows + 1, columns + 1]
        self._values = self._corners.flatten(1)
        self._size = tuple(side - 1 for side in self._corners.shape[1:])
        self._rows, self._columns = (axis.pixels() for axis in axes)
        self._row_shares, self._column_shares = (
            axis.shares[pixels] for axis, pixels in zip(axes, (self._rows, self._columns), strict=True)
        )
        self._width = len(axes[1].cells)

    @property
    def count(self) -> int:
        """Of cells."""
        return self._size[0] * self._size[1]

    def bounded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Per cell a class, uint8 ``[rows, columns]``, and whether all of its pixels are sure to have it."""
        masks = self._corners if self._probabilities is None else self._corners.sigmoid()
        best = self._mixed(_of_corners(torch.maximum, masks).flatten(1))
        worst = self._mixed(_of_corners(torch.minimum, masks).flatten(1))
        may_win = (best >= worst.amax(dim=0) - ROUNDING).float()  # [C, cells]
        numbers = torch.arange(len(may_win), dtype=torch.float32)
        count, label = torch.stack([torch.ones_like(numbers), numbers]) @ may_win
        # The sum of several classes' numbers is none of them; it is not used then.
        return label.to(torch.uint8).view(self._size), (count == 1).view(self._size)

    def blocks(self, cells: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Cells ``[n]`` in groups of a convenient size."""
        numbers_per_cell = len(self._rows) * len(self._columns) * len(self._corners)
        return cells.split(max(1, BLOCK_NUMBERS // numbers_per_cell))

    def pixels(self, cells: torch.Tensor) -> torch.Tensor:
        """Places in the image, row by row, of all pixels of some cells ``[n]``: ``[K * n]``; some come twice."""
        rows, columns = self._rows[:, cells // self._size[1]], self._columns[:, cells % self._size[1]]
        return (rows * self._width + columns[:, None]).flatten()

    def scores(self, cells: torch.Tensor) -> torch.Tensor:
        """Class scores ``[C, K * n]`` of the pixels that `pixels` names."""
        rows, columns = cells // self._size[1], cells % self._size[1]
        left_corner = cells + rows  # there is one column more of corners than of cells
        upper = (self._values.index_select(1, left_corner + i).unsqueeze(1) for i in range(2))
        lower = (self._values.index_select(1, left_corner + self._size[1] + 1 + i).unsqueeze(1) for i in range(2))
        row_shares = self._row_shares[:, rows]
        left, right = (torch.lerp(*ends, row_shares).unsqueeze(1) for ends in zip(upper, lower, strict=True))  # [Q, 1, K, n]
        masks = torch.lerp(left, right, self._column_shares[:, None, columns]).flatten(1)
        return self._mixed(masks if self._probabilities is None else masks.sigmoid_())

    def _mixed(self, masks: torch.Tensor) -> torch.Tensor:
        """Scores ``[C, n]`` of mask probabilities ``[Q, n]``."""
        return masks if self._probabilities is None else self._probabilities @ masks


def _axes(mask_logits: torch.Tensor, padding: FramePadding, size: tuple[int, int]) -> tuple[_Axis, _Axis]:
    """From masks to rows and columns of an image of some height and width that shows the frame."""
    rows, columns = (
        _axis(pixels, frame_px / pixels * values / padded_px)
        for pixels, frame_px, values, padded_px in zip(
            size, padding.size, mask_logits.shape[1:], padding.padded_size, strict=True
        )
    )
    return rows, columns


@lru_cache(KEPT_AXES)
@torch.inference_mode(False)
def _axis(num_pixels: int, values_per_pixel: float) -> _Axis:
    """An axis, which is kept: so its tensors must be such as work outside inference mode, too."""
    return _Axis(num_pixels, values_per_pixel)


def _used_masks(mask_logits: torch.Tensor, axes: tuple[_Axis, _Axis]) -> torch.Tensor:
    """Those that pixels lie between, float32, with a border where it is one of them."""
    bordered = F.pad(mask_logits.float().unsqueeze(0), (1, 1, 1, 1), mode="replicate")[0]
    return bordered[:, axes[0].used, axes[1].used]


def _has_cells(mask_logits: torch.Tensor, axes: tuple[_Axis, _Axis]) -> bool:
    # A GPU is faster with more work and fewer questions.
    return not mask_logits.is_cuda and all(axis.counts.all() for axis in axes)


def _of_corners(of_two: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], masks: torch.Tensor) -> torch.Tensor:
    """The smallest or largest value at each cell's corners, ``[Q, h + 1, w + 1]`` -> ``[Q, h, w]``."""
    of_rows = of_two(masks[:, :-1], masks[:, 1:])
    return of_two(of_rows[..., :-1], of_rows[..., 1:])


def _best(scores: torch.Tensor) -> torch.Tensor:
    """The place of the maximum over the first dimension, the lowest class where several are best, uint8."""
    if scores.is_cuda:
        return scores.argmax(dim=0).to(torch.uint8)
    # Over the first dimension, torch finds the place of a maximum an order of magnitude slower than its value: so find the
    # value, push everything below it far below zero, and take the maximum of what is left plus a number for the class.
    countdown = torch.arange(len(scores), 0, -1, dtype=scores.dtype).view(-1, *[1] * (scores.ndim - 1))
    winner = torch.add(countdown, scores - scores.amax(dim=0), alpha=FAR).amax(dim=0)
    return (len(scores) - winner).to(torch.uint8)
