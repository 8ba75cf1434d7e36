"""Ids of things that live on from key frame to key frame.

A segmentor looks at each key frame as if it were the first. The masks of the last key frame, carried to the new one as to any
frame, show which of the new masks are the same things. What is not found again is carried on for a while, beside the new key
frame's masks, in case that only one key frame missed it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import torch

from mpvss_model.image import FramePadding
from mpvss_model.instances.matching import mask_overlaps, matched_instances
from mpvss_model.instances.merging import merged_masks
from mpvss_model.instances.panoptic import MAX_INSTANCE_ID
from mpvss_model.segmentor.key_frame import KeyFrame
from mpvss_model.stamps import seconds

__all__ = ["CarriedInstances", "InstanceTracker", "Track"]


@dataclass(frozen=True)
class Track:
    """A thing that is followed.

    Attributes:
        instance_id: 1..65535.
        class_index: Of the model.
        mask: Its place among the key frame's masks.
        lost_ns: The stamp of the first key frame that did not show it any more; None while it is seen.
    """

    instance_id: int
    class_index: int
    mask: int
    lost_ns: int | None = None


@dataclass(frozen=True)
class CarriedInstances:
    """The followed things' masks, carried to the image of the next key frame.

    Attributes:
        tracks: ``N`` of them.
        mask_logits: ``[N, h, w]``.
    """

    tracks: tuple[Track, ...]
    mask_logits: torch.Tensor

    def of(self, places: list[int]) -> CarriedInstances:
        """Those at some places."""
        return CarriedInstances(tuple(self.tracks[i] for i in places), self.mask_logits[places])


class InstanceTracker:
    """What one stream remembers of things.

    Args:
        things: The model's class indices of things.
    """

    def __init__(self, things: Collection[int]) -> None:
        self._things = things
        self._last_id = 0
        self._tracks: tuple[Track, ...] = ()
        self._key_frame: KeyFrame | None = None

    def is_following(self, key_frame: KeyFrame) -> bool:
        """Whether the key frame is the last that `follow` returned."""
        return self._key_frame is key_frame

    @property
    def ids(self) -> Mapping[int, int]:
        """Of the things that the last key frame shows, by the places of their masks."""
        return {track.mask: track.instance_id for track in self._tracks if track.lost_ns is None}

    @property
    def masks(self) -> torch.Tensor:
        """Places of all followed things' masks in the last key frame, int64 ``[N]``."""
        return torch.tensor([track.mask for track in self._tracks], dtype=torch.int64)

    def carried(self, propagate: Callable[[torch.Tensor], torch.Tensor]) -> CarriedInstances | None:
        """The things, carried to a frame that becomes a key frame; None if there are none, or they cannot be carried there.

        Args:
            propagate: From the places of masks ``[N]`` to their logits in that frame, ``[N, h, w]``.
        """
        if not self._tracks:
            return None
        try:
            return CarriedInstances(self._tracks, propagate(self.masks))
        except Exception:  # a key frame can do without; frames in between cannot, and say what is wrong
            return None

    def follow(
        self,
        key_frame: KeyFrame,
        queries: torch.Tensor,
        *,
        stamp_ns: int,
        carried: CarriedInstances | None,
        max_lost_s: float,
    ) -> KeyFrame:
        """Give the things of a new key frame the ids of those that they are, or new ones.

        Args:
            key_frame: The new one.
            queries: Indices ``[Q']`` of its queries, or masks of its history, that matter.
            stamp_ns: Of its image.
            carried: What is followed, carried to this key frame's image.
            max_lost_s: How long a thing that is not seen is looked for, in seconds of frame stamps.

        Returns:
            The key frame, with a mask more for each thing that is looked for; it is of no class.
        """
        found = self._things_of(key_frame, queries)
        carried = _still_looked_for(carried, stamp_ns, max_lost_s) or CarriedInstances((), key_frame.mask_logits[:0])
        old_of = {new: old for old, new in _pairs(carried, found, key_frame)}
        taken = {track.instance_id for track in carried.tracks}
        seen = []
        for i, (mask, class_index) in enumerate(found):
            instance_id = carried.tracks[old_of[i]].instance_id if i in old_of else self._new_id(taken)
            seen.append(Track(instance_id, class_index, mask))
        lost = carried.of([i for i in range(len(carried.tracks)) if i not in old_of.values()] if max_lost_s else [])
        first = len(key_frame.mask_logits)
        looked_for = [
            replace(track, mask=first + i, lost_ns=stamp_ns if track.lost_ns is None else track.lost_ns)
            for i, track in enumerate(lost.tracks)
        ]
        self._tracks = (*seen, *looked_for)
        self._key_frame = _with_masks(key_frame, lost)
        return self._key_frame

    def _things_of(self, key_frame: KeyFrame, queries: torch.Tensor) -> list[tuple[int, int]]:
        """Mask and class of the things that a key frame shows."""
        rows = key_frame.segmentors_own(queries)
        merged = merged_masks(
            key_frame.mask_logits[rows], key_frame.own_class_logits[rows], key_frame.padding, things=self._things
        )
        places = rows.tolist()
        return [(places[s.query], s.class_index) for s in merged.segments if s.class_index in self._things]

    def _new_id(self, taken: set[int]) -> int:
        """The next one that nothing has that is followed; they begin anew when there are no more."""
        while True:
            self._last_id = self._last_id % MAX_INSTANCE_ID + 1
            if self._last_id not in taken:
                return self._last_id


def _still_looked_for(carried: CarriedInstances | None, stamp_ns: int, max_lost_s: float) -> CarriedInstances | None:
    """Without what has been lost for too long at the time of a stamp."""
    if carried is None:
        return None
    ages_s = [0.0 if track.lost_ns is None else seconds(stamp_ns - track.lost_ns) for track in carried.tracks]
    return carried.of([i for i, age_s in enumerate(ages_s) if age_s <= max_lost_s])


def _pairs(carried: CarriedInstances, found: list[tuple[int, int]], key_frame: KeyFrame) -> list[tuple[int, int]]:
    """Places among the carried things and those that were found, by mask and class, of those that are the same."""
    if not carried.tracks or not found:
        return []
    masks = key_frame.mask_logits[[mask for mask, _ in found]]
    overlaps = mask_overlaps(*(_shown(logits, key_frame.padding) for logits in (carried.mask_logits, masks)))
    old = torch.tensor([track.class_index for track in carried.tracks])
    new = torch.tensor([class_index for _, class_index in found])
    return matched_instances(overlaps, (old[:, None] == new).numpy())


def _shown(mask_logits: torch.Tensor, padding: FramePadding) -> torch.Tensor:
    """Masks ``[N, h, w]`` of the padded frame -> bool, of the frame alone."""
    height, width = (
        -(-side * grid // padded)
        for side, grid, padded in zip(padding.size, mask_logits.shape[1:], padding.padded_size, strict=True)
    )
    return mask_logits[:, :height, :width] > 0


def _with_masks(key_frame: KeyFrame, lost: CarriedInstances) -> KeyFrame:
    """A key frame with the masks of lost things, which are of no class, and move with the likeliest query of the thing's."""
    if not lost.tracks:
        return key_frame
    class_logits, own = key_frame.class_logits, key_frame.own_class_logits
    no_object = torch.full_like(class_logits[:1], torch.finfo(class_logits.dtype).min)
    no_object[:, -1] = 0.0
    moves_with = key_frame.queries_of(torch.arange(len(class_logits), device=class_logits.device))
    likeliest = own.softmax(dim=-1)[:, [track.class_index for track in lost.tracks]].argmax(dim=0)
    return replace(
        key_frame,
        mask_logits=torch.cat([key_frame.mask_logits, lost.mask_logits.to(key_frame.mask_logits)]),
        class_logits=torch.cat([class_logits, no_object.expand(len(lost.tracks), -1)]),
        moves_with=torch.cat([moves_with, likeliest]),
        segmentors_class_logits=own,
    )
