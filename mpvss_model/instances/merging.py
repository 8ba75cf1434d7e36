"""Overlapping masks of queries -> segments that do not overlap (panoptic inference; Cheng et al., MaskFormer, section 3.4).

What is kept and which pixels it gets is as in ``post_process_panoptic_segmentation`` of ``transformers``, but masks are
brought to the frame's size rather than to 384 x 384 pixels first, and a segment after stuff in several masks keeps a number of
its own, where the library may give one twice.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from mpvss_model.image import FramePadding

__all__ = ["MergedMasks", "MergedSegment", "candidates", "merged_masks"]

# Those of the library: the lowest score of a query, the lowest probability of a pixel, times the score, that counts for the
# area of its whole mask, and the share of that which must be left after other masks have taken theirs.
MIN_SCORE = 0.5
MIN_PROBABILITY = 0.5
MIN_LEFT = 0.8


@dataclass(frozen=True)
class MergedSegment:
    """One thing, or all stuff of a class.

    Attributes:
        query: The row of its mask; of stuff, of the first one.
        class_index: Of the model.
        score: Probability of the class, 0..1; of stuff in several masks, the highest.
    """

    query: int
    class_index: int
    score: float


@dataclass(frozen=True)
class MergedMasks:
    """What became of the masks of a frame.

    Attributes:
        segment_of: int64 ``[H, W]``, the place in ``segments`` that each pixel belongs to; -1 for none.
        segments: In the order of the queries.
    """

    segment_of: torch.Tensor
    segments: tuple[MergedSegment, ...]


def candidates(class_logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The queries that may become segments, from logits ``[Q, C + 1]``, the last one "no object".

    Returns:
        Their indices, classes and scores, ``[R]`` each.
    """
    scores, classes = class_logits.softmax(dim=-1).max(dim=-1)
    queries = ((classes < class_logits.shape[1] - 1) & (scores > MIN_SCORE)).nonzero()[:, 0]
    return queries, classes[queries], scores[queries]


def merged_masks(
    mask_logits: torch.Tensor,
    class_logits: torch.Tensor,
    padding: FramePadding,
    *,
    things: Collection[int],
    size: tuple[int, int] | None = None,
) -> MergedMasks:
    """Give each pixel to the mask that claims it most, and drop masks of which too little is left.

    Args:
        mask_logits: ``[Q, h, w]``, at any resolution of the padded frame.
        class_logits: ``[Q, C + 1]``, the last one "no object".
        padding: Geometry of the frame.
        things: Class indices; masks of one of the others become one segment.
        size: Height and width of the result, ``H`` and ``W``; the frame's by default.
    """
    queries, classes, scores = candidates(class_logits)
    size = size or padding.size
    best = torch.full(size, -1.0, device=mask_logits.device)
    winner = torch.full(size, -1, dtype=torch.int64, device=mask_logits.device)
    whole = []
    # One mask after the other: all of them at the size of a large frame would take gigabytes.
    for i, (query, score) in enumerate(zip(queries.tolist(), scores, strict=True)):
        claim = _probability(mask_logits[query], padding, size) * score
        whole.append((claim >= MIN_PROBABILITY).sum())
        wins = claim > best
        best, winner = torch.where(wins, claim, best), torch.where(wins, i, winner)
    if not whole:
        return MergedMasks(winner, ())
    left = torch.bincount(winner.flatten(), minlength=len(whole))
    is_kept = (left / torch.stack(whole) > MIN_LEFT) & (left > 0) & (torch.stack(whole) > 0)
    segments, place_of = _numbered(queries.tolist(), classes.tolist(), scores.tolist(), is_kept.tolist(), things)
    return MergedMasks(torch.tensor(place_of, device=winner.device)[winner], segments)


def _probability(mask_logits: torch.Tensor, padding: FramePadding, size: tuple[int, int]) -> torch.Tensor:
    """One mask ``[h, w]`` -> ``[H, W]`` in 0..1."""
    mask = mask_logits.float()[None, None]
    mask = padding.unpad(F.interpolate(mask, size=padding.padded_size, mode="bilinear", align_corners=False)).sigmoid()
    if size != padding.size:
        mask = F.interpolate(mask, size=size, mode="bilinear", align_corners=False)
    return mask[0, 0]


def _numbered(
    queries: list[int], classes: list[int], scores: list[float], is_kept: list[bool], things: Collection[int]
) -> tuple[tuple[MergedSegment, ...], list[int]]:
    """The segments, and the place of each candidate among them."""
    segments: list[MergedSegment] = []
    place_of_stuff: dict[int, int] = {}
    place_of = []
    for query, class_index, score, kept in zip(queries, classes, scores, is_kept, strict=True):
        place = place_of_stuff.get(class_index) if kept else -1
        if place is None:
            place = len(segments)
            segments.append(MergedSegment(query, class_index, score))
            if class_index not in things:
                place_of_stuff[class_index] = place
        elif place >= 0 and score > segments[place].score:
            segments[place] = MergedSegment(segments[place].query, class_index, score)
        place_of.append(place)
    return tuple(segments), place_of
