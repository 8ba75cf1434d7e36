"""Things and stuff of one frame, from a key frame's masks that were carried to it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial

import numpy as np
import torch

from mpvss_model.config import UNLABELED
from mpvss_model.image import FramePadding
from mpvss_model.instances.merging import MergedSegment, merged_masks
from mpvss_model.instances.panoptic import CLASS_SHIFT, LazyPanoptic, Panoptic, Segment
from mpvss_model.segmentor.key_frame import KeyFrame

__all__ = ["encoded_panoptic", "lazy_panoptic"]


def lazy_panoptic(
    mask_logits: torch.Tensor,
    key_frame: KeyFrame,
    queries: torch.Tensor,
    places: Sequence[int],
    *,
    ids: Mapping[int, int],
    things: Collection[int],
    size: tuple[int, int],
) -> LazyPanoptic:
    """The segments of a frame, when asked for.

    Args:
        mask_logits: ``[Q', h, w]``, carried to the frame.
        key_frame: Where they come from.
        queries: Their indices among its masks, ``[Q']``, in their order.
        places: The same as numbers.
        ids: Of the things that the key frame shows, by the indices of their masks; a thing without an id is left out.
        things: The model's class indices of things.
        size: Height and width of the result.
    """
    # Those of the segmentor come first: nothing has to be asked of a GPU, which would be waited for with each frame.
    own = [place for place in places if place < len(key_frame.own_class_logits)]
    return LazyPanoptic(
        partial(
            _panoptic,
            mask_logits[: len(own)],
            key_frame.own_class_logits[queries[: len(own)]],
            key_frame.padding,
            ids=[ids.get(mask, 0) for mask in own],
            things=things,
            size=size,
        )
    )


def encoded_panoptic(classes: np.ndarray, instances: np.ndarray) -> np.ndarray:
    """Class and instance of each place as one number, int32; see `Panoptic`."""
    return classes.astype(np.int32) << CLASS_SHIFT | instances.astype(np.int32)


@torch.inference_mode()
def _panoptic(
    mask_logits: torch.Tensor,
    class_logits: torch.Tensor,
    padding: FramePadding,
    *,
    ids: list[int],
    things: Collection[int],
    size: tuple[int, int],
) -> Panoptic:
    merged = merged_masks(mask_logits, class_logits, padding, things=things, size=size)
    segment_of = merged.segment_of.cpu().numpy()
    numbers, segments = [], []
    for place, found in enumerate(merged.segments):
        instance_id = ids[found.query] if found.class_index in things else 0
        is_shown = bool(instance_id) or found.class_index not in things
        numbers.append((found.class_index, instance_id) if is_shown else (UNLABELED, 0))
        if is_shown:
            segments.append(_segment(found, instance_id, segment_of == place))
    numbers.append((UNLABELED, 0))  # of -1, which stands for no segment
    classes, instances = np.array(numbers, np.int32).T
    return Panoptic(encoded_panoptic(classes, instances)[segment_of], tuple(segments))


def _segment(found: MergedSegment, instance_id: int, pixels: np.ndarray) -> Segment:
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    box_px = int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)
    return Segment(found.class_index, instance_id, found.score, box_px, int(pixels.sum()))
