"""Class and mask logits of queries -> class scores, label map and confidence (Mask2Former's semantic inference).

Labels may be of another size than the frame that was segmented: it is mask logits that are upsampled, so that borders are as
sharp as pixels can show them. Most cells between four mask values, of 4x4 pixels each at the frame's own size, lie inside one
class. An interpolated mask lies between the cell's four values, which bounds the scores of every class. Where the best class
at its worst beats all others at their best, the cell's labels are known without a look at its pixels. Cells of many pixels are
looked at in parts, in the same way. What is left lies on a border, where few of many classes may win.

Of networks that classify pixels each mask is a class of its own. The best class is that of the largest mask logit then, which
tells apart what is equal after a sigmoid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
# Side of the parts of a cell that are worth a look at their corners first, in pixels.
PART_PX = 7
# It takes no time to compare so many classes where only some of them may win.
FEW_CLASSES = 32
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
    axes = _axes(mask_logits, padding, size or padding.size)
    if not _has_cells(mask_logits, axes):
        scores_of = torch.clone if class_logits is None else partial(grid_scores, class_logits=class_logits)
        return _best(_interpolated_scores(mask_logits, padding, size, scores_of))
    cells = _Cells(mask_logits, class_logits, axes, parts=tuple(max(1, round(axis.counts.max() / PART_PX)) for axis in axes))
    inside, undecided, may_win = cells.bounded()
    labels = torch.from_numpy(inside.numpy().repeat(cells.columns.counts, axis=1).repeat(cells.rows.counts, axis=0))
    for some, classes in cells.alike(undecided, may_win):
        labels.view(-1).scatter_(0, cells.pixels(some), _best(cells.scores(some, classes), classes))
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
        counts: How many pixels each cell has, int64 ``[cells]``.
    """

    def __init__(self, num_pixels: int, values_per_pixel: float) -> None:
        positions = (np.arange(num_pixels) + 0.5) * values_per_pixel + 0.5
        before = np.floor(positions).astype(np.int64)
        self.first = int(before[0])
        self.cells = before - self.first
        self.shares = torch.from_numpy((positions - before).astype(np.float32))
        self.counts = np.bincount(self.cells)
        self._on_gpus: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}

    @property
    def used(self) -> slice:
        """The values that pixels lie between."""
        return slice(self.first, self.first + int(self.cells[-1]) + 2)

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


@dataclass(frozen=True)
class _Parts:
    """Parts of the cells of an axis, as many of each; a part has as many pixels as all have, as long as there are some.

    Attributes:
        per_cell: Parts of each cell.
        pixels: Of each part, int64 ``[K, parts]``; the cell's last one again where others have more.
        shares: Of these pixels, see `_Axis`.
        counts: How many pixels each part has, int64 ``[parts]``.
    """

    per_cell: int
    pixels: torch.Tensor
    shares: torch.Tensor
    counts: np.ndarray

    def __len__(self) -> int:
        return len(self.counts)


class _Cells:
    """Class scores in the cells between four mask values, or in parts of them, counted row by row; on the CPU.

    Args:
        mask_logits: ``[Q, h, w]``.
        class_logits: ``[Q, C + 1]``; None to take mask logits for scores.
        axes: Of rows and columns.
        parts: Of each cell, along both sides.

    Attributes:
        rows: Parts of cells along the first side.
        columns: Along the second.
    """

    def __init__(
        self,
        mask_logits: torch.Tensor,
        class_logits: torch.Tensor | None,
        axes: tuple[_Axis, _Axis],
        parts: tuple[int, ...] = (1, 1),
    ) -> None:
        self.rows, self.columns = (_parts(axis, count) for axis, count in zip(axes, parts, strict=True))
        self._probabilities = None if class_logits is None else class_probabilities(class_logits).t().contiguous()  # [C, Q]
        self._corners = _used_masks(mask_logits, axes).contiguous()  # [Q, rows + 1, columns + 1]
        self._values = self._corners.flatten(1)
        self._size = tuple(side - 1 for side in self._corners.shape[1:])
        self._width = len(axes[1].cells)

    @property
    def count(self) -> int:
        """Of all parts of cells."""
        return len(self.rows) * len(self.columns)

    def bounded(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What can be said without a look at all pixels.

        Returns:
            A class for each part, uint8 ``[rows, columns]``; the parts ``[N]`` whose pixels are not sure to have it; and the
            classes that may win there, float32 ``[C, N]``, 1 or 0.
        """
        masks = self._corners if self._probabilities is None else self._corners.sigmoid()
        bounds = (_of_corners(of_two, masks).flatten(1) for of_two in (torch.maximum, torch.minimum))
        label, may_win, undecided = self._decided(*bounds)
        label = label.view(self._size)
        parts = self.rows.per_cell * self.columns.per_cell
        if parts == 1:
            return label, undecided, may_win
        label = label.repeat_interleave(self.rows.per_cell, dim=0).repeat_interleave(self.columns.per_cell, dim=1)
        corners = 4 * parts * len(self._corners)
        left = [self._bounded_parts(cells, label.view(-1)) for cells in undecided.split(max(1, BLOCK_NUMBERS // corners))]
        return label, torch.cat([parts for parts, _ in left]), torch.cat([may_win for _, may_win in left], dim=1)

    def blocks(self, parts: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Parts of cells ``[n]`` in groups of a convenient size."""
        numbers_per_part = len(self.rows.pixels) * len(self.columns.pixels) * len(self._corners)
        return parts.split(max(1, BLOCK_NUMBERS // numbers_per_part))

    def alike(self, parts: torch.Tensor, may_win: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        """Parts of cells ``[n]`` in such groups, each with the classes to be compared there; None for all.

        Args:
            parts: To be grouped.
            may_win: Which classes may win in each, ``[C, n]``, 1 or 0.
        """
        if len(may_win) <= FEW_CLASSES or not len(parts):
            yield from ((some, None) for some in self.blocks(parts))
            return
        # Side by side those that have the same classes.
        order = (0.5 ** torch.arange(len(may_win)) @ may_win).argsort()
        for some in self.blocks(order):
            yield parts[some], may_win[:, some].any(dim=1).nonzero()[:, 0]

    def pixels(self, parts: torch.Tensor) -> torch.Tensor:
        """Places in the image, row by row, of all pixels of some parts of cells ``[n]``: ``[K * n]``; some come twice."""
        rows, columns = self._places(parts)
        return (self.rows.pixels[:, None, rows] * self._width + self.columns.pixels[:, columns]).flatten()

    def scores(self, parts: torch.Tensor, classes: torch.Tensor | None = None) -> torch.Tensor:
        """Scores ``[C, K * n]`` of all or some classes ``[C]`` in the pixels that `pixels` names."""
        rows, columns = self._places(parts)
        cells = rows // self.rows.per_cell * self._size[1] + columns // self.columns.per_cell
        masks = classes if self._probabilities is None else None
        numbers = self._masks(cells, self.rows.shares[:, rows], self.columns.shares[:, columns], masks)
        return self._mixed(numbers.flatten(1), classes)

    def _places(self, parts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Row and column, among all parts, of some of them ``[n]``."""
        return parts // len(self.columns), parts % len(self.columns)

    def _masks(
        self, cells: torch.Tensor, row_shares: torch.Tensor, column_shares: torch.Tensor, masks: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Probabilities (or logits, if those are the scores) ``[Q, K, L, n]`` at shares ``[K, n]`` and ``[L, n]`` of cells."""
        left_corner = cells + cells // self._size[1]  # there is one column more of corners than of cells
        upper = (self._values_at(left_corner + i, masks) for i in range(2))
        lower = (self._values_at(left_corner + self._size[1] + 1 + i, masks) for i in range(2))
        left, right = (torch.lerp(*ends, row_shares).unsqueeze(2) for ends in zip(upper, lower, strict=True))  # [Q, K, 1, n]
        numbers = torch.lerp(left, right, column_shares)
        return numbers if self._probabilities is None else numbers.sigmoid_()

    def _values_at(self, corners: torch.Tensor, masks: torch.Tensor | None) -> torch.Tensor:
        """Of all or some masks, at corners ``[n]``: ``[Q, 1, n]``."""
        values = self._values.index_select(1, corners) if masks is None else self._values[masks[:, None], corners]
        return values.unsqueeze(1)

    def _bounded_parts(self, cells: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Look at the parts of cells ``[n]``, and write down the classes of those that are sure of one.

        Args:
            cells: That are not sure of one themselves.
            label: Of all parts, changed in place.

        Returns:
            The others ``[N]``, and the classes that may win there, ``[C, N]``.
        """
        rows, columns = (
            of_cells * parts.per_cell + torch.arange(parts.per_cell)[:, None]
            for of_cells, parts in ((cells // self._size[1], self.rows), (cells % self._size[1], self.columns))
        )  # [parts, n]
        row_shares, column_shares = (
            torch.stack([parts.shares[0][places], parts.shares[-1][places]]).flatten(0, 1)
            for parts, places in ((self.rows, rows), (self.columns, columns))
        )  # of the first pixel of each part, then of the last: [2 * parts, n]
        masks = self._masks(cells, row_shares, column_shares).unflatten(1, (2, -1)).unflatten(3, (2, -1))
        bounds = (
            of_two(of_two(masks[:, 0, :, 0], masks[:, 1, :, 0]), of_two(masks[:, 0, :, 1], masks[:, 1, :, 1])).flatten(1)
            for of_two in (torch.maximum, torch.minimum)
        )
        numbers = (rows[:, None] * len(self.columns) + columns).flatten()
        label[numbers], may_win, undecided = self._decided(*bounds)
        return numbers[undecided], may_win

    def _decided(self, most: torch.Tensor, least: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What follows from the bounds of masks.

        Args:
            most: ``[Q, n]``; may be changed.
            least: ``[Q, n]``.

        Returns:
            A class for each, uint8 ``[n]``; where several may win, which ones, float32 ``[C, N]``, 1 or 0; and where that is,
            ``[N]``.
        """
        best, worst = self._mixed(most), self._mixed(least)
        # In place of the scores themselves: booleans take torch four times as long.
        may_win = best.ge_(worst.amax(dim=0) - ROUNDING)
        numbers = torch.arange(len(may_win), dtype=torch.float32)
        count, label = torch.stack([torch.ones_like(numbers), numbers]) @ may_win
        undecided = (count != 1).nonzero()[:, 0]
        # The sum of several classes' numbers is none of them; it is not used then.
        return label.to(torch.uint8), may_win.index_select(1, undecided), undecided

    def _mixed(self, masks: torch.Tensor, classes: torch.Tensor | None = None) -> torch.Tensor:
        """Scores ``[C, n]`` of mask probabilities ``[Q, n]``, or of the logits of the classes' own masks."""
        if self._probabilities is None:
            return masks
        return (self._probabilities if classes is None else self._probabilities[classes]) @ masks


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


@lru_cache(KEPT_AXES)
@torch.inference_mode(False)
def _parts(axis: _Axis, per_cell: int) -> _Parts:
    """The cells of an axis, each divided into so many parts; kept, as the axis is."""
    counts = axis.counts
    in_part = -(-counts.max() // per_cell)
    place = np.minimum(np.arange(per_cell * in_part)[:, None], counts - 1)
    of_cells = counts.cumsum() - counts + place
    pixels = torch.from_numpy(of_cells.reshape(per_cell, in_part, -1).transpose(1, 2, 0).reshape(in_part, -1))
    in_parts = np.clip(counts[:, None] - in_part * np.arange(per_cell), 0, in_part).ravel()
    return _Parts(per_cell, pixels, axis.shares[pixels], in_parts)


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


def _best(scores: torch.Tensor, classes: torch.Tensor | None = None) -> torch.Tensor:
    """The class of the maximum over the first dimension, the lowest where several are best, uint8.

    Args:
        scores: Float, of some classes.
        classes: Their numbers, rising; by default 0, 1 and so on.
    """
    if scores.is_cuda:
        return scores.argmax(dim=0).to(torch.uint8)
    numbers = torch.arange(len(scores)) if classes is None else classes
    # Over the first dimension, torch finds the place of a maximum an order of magnitude slower than its value: so find the
    # value, push everything below it far below zero, and take the maximum of what is left plus a number for the class.
    countdown = (UNLABELED - numbers).to(scores.dtype).view(-1, *[1] * (scores.ndim - 1))
    winner = torch.add(countdown, scores - scores.amax(dim=0), alpha=FAR).amax(dim=0)
    return (UNLABELED - winner).to(torch.uint8)
