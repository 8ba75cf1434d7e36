"""Labels of one frame, from the masks of the last good key frame."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

import numpy as np
import torch

from mpvss_model.errors import PropagationError, SegmentorError, StaleKeyFrameError, first_line
from mpvss_model.instances.frame_panoptic import lazy_panoptic
from mpvss_model.instances.panoptic import LazyPanoptic
from mpvss_model.runtime.frame_parts import frame_part
from mpvss_model.runtime.transfers import to_host
from mpvss_model.semantics import labels_of_masks
from mpvss_model.stream.change import Change
from mpvss_model.stream.evidence import Evidence, Segments
from mpvss_model.stream.key_frame_job import Reference
from mpvss_model.stream.seen_frame import SeenFrame, check_masks
from mpvss_model.stream.segmentation import Segmentation
from mpvss_model.stream.state import StreamState

__all__ = ["answer"]


def answer(
    state: StreamState, seen: SeenFrame, *, max_key_age_s: float, things: Collection[int] = frozenset()
) -> Segmentation:
    """Label a frame.

    Args:
        state: Of the stream; that the frame is answered is noted there.
        seen: The frame at hand. Unless it is the key frame itself, it stands beside the stream's last good one.
        max_key_age_s: See `StreamConfig`.
        things: The model's class indices of things.

    Raises:
        SegmentorError: If there is no key frame.
        StaleKeyFrameError: If the key frame is ``max_key_age_s`` old.
        PropagationError: If its masks could not be carried to the frame.
    """
    reference = state.reference
    fault = None if state.failure is None else state.failure.text
    if reference is None:
        raise SegmentorError(f"no key frame: {fault}")
    is_key_frame = seen.stamp_ns == reference.stamp_ns
    key_age_s = 0.0 if is_key_frame else seen.key_age_s
    if key_age_s >= max_key_age_s:
        raise StaleKeyFrameError(
            f"the last key frame is {key_age_s:.2f} s old, older than max_key_age_s, {max_key_age_s:g}: "
            f"{fault or 'the next one takes too long; use a faster model, or raise max_key_age_s'}"
        )
    segments, labels = _labelled(reference, seen, is_key_frame=is_key_frame)
    panoptic = None
    if state.instances is not None:
        panoptic = lazy_panoptic(
            segments.mask_logits,
            reference.key_frame,
            reference.queries,
            reference.places,
            ids=state.instances.ids,
            things=things,
            size=seen.size,
        )
    is_new, restart_reason = state.note_answer()
    return Segmentation(
        labels=labels,
        is_key_frame=is_key_frame,
        is_from_new_key_frame=is_new,
        key_frame_reason=reference.reason,
        restart_reason=restart_reason,
        stamp_ns=seen.stamp_ns,
        key_stamp_ns=reference.stamp_ns,
        segmentor_s=reference.segmentor_s,
        freshness=1.0 - key_age_s / max_key_age_s,
        fault=fault,
        evidence=_evidence(segments, seen, panoptic, reference=reference if is_key_frame else None),
    )


def _labelled(reference: Reference, seen: SeenFrame, *, is_key_frame: bool) -> tuple[Segments, np.ndarray]:
    """The masks of a frame, which may be the key frame itself, and the class of each pixel that they give."""
    key_frame, classes = reference.key_frame, reference.classes
    try:
        if is_key_frame:
            carried: tuple[torch.Tensor, ...] = (key_frame.mask_logits[reference.queries],)
        else:
            carried = seen.unchecked_masks()
        masks, *to_check = carried
        with frame_part("labels"):
            labels = labels_of_masks(masks, classes, key_frame.padding, seen.size)
        # A copy, since what is cropped or lent by torch may be part of something larger.
        array, *totals = to_host(labels, *to_check)
        for total in totals:
            check_masks(total)
        return Segments(masks, classes.logits, key_frame.padding), array
    except Exception as error:  # whatever the propagation does, the stream goes on
        raise PropagationError(f"masks cannot be propagated: {type(error).__name__}: {first_line(error)}") from error


def _evidence(segments: Segments, seen: SeenFrame, panoptic: LazyPanoptic | None, *, reference: Reference | None) -> Evidence:
    """Of a frame, or of the key frame with this reference, which does not change against itself."""
    if reference is not None:
        no_change = partial(Change.none, reference.thumbnail.shape)
        return Evidence(segments=segments, size=seen.size, change=no_change, thumbnails=None, panoptic=panoptic)
    comparison = seen.comparison
    return Evidence(
        segments=segments,
        size=seen.size,
        change=comparison.change,
        thumbnails=comparison.thumbnails,
        panoptic=panoptic,
    )
