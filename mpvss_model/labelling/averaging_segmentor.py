"""Key frames from several copies of a frame, with the classes that are wanted."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from mpvss_model.image import MASK_STRIDE, FramePadding
from mpvss_model.labelling.config import View
from mpvss_model.runtime.content_digest import content_digest
from mpvss_model.segmentor.base import BaseSegmentor
from mpvss_model.segmentor.key_frame import KeyFrame, KeyFrameSegmentor, segmented
from mpvss_model.semantics import class_probabilities

__all__ = ["AveragingSegmentor"]


class AveragingSegmentor(BaseSegmentor):
    """A segmentor whose class scores are the mean of another's over several views of a frame, with classes merged.

    A class score is a sum over queries, so that the mean over views is one, too: over the queries of all views, each with its
    share of the class probabilities. So a key frame of this segmentor is one like any other, and can be propagated. The score
    of a merged class is the sum of its classes' scores.

    Args:
        segmentor: Segments each view.
        views: At least one.
        class_names: After merging; by default the segmentor's.
        merging: Float32 ``[C, K]``, see `ClassMapping.matrix`: which of the segmentor's classes goes into which of
            ``class_names``; by default each stays what it is.
    """

    def __init__(
        self,
        segmentor: KeyFrameSegmentor,
        views: tuple[View, ...],
        *,
        class_names: tuple[str, ...] | None = None,
        merging: torch.Tensor | None = None,
    ) -> None:
        self._segmentor = segmentor
        self._views = views
        self._merging = None if merging is None else merging.to(segmentor.device)
        self.name = segmentor.name
        self.class_names = class_names or segmentor.class_names
        self.device = segmentor.device
        self.dtype = segmentor.dtype
        # A segmentor of a user's own may have no more than what a stream asks for.
        self.has_memory = getattr(segmentor, "has_memory", False)

    @property
    def num_parameters(self) -> int:
        """Those of the segmentor."""
        return self._segmentor.num_parameters

    def digest(self) -> bytes:
        """Changes with the segmentor, the views and the classes."""
        merging = None if self._merging is None else self._merging.tolist()
        return content_digest(self._segmentor.digest(), self._views, self.class_names, merging)

    @torch.inference_mode()
    def segment(self, frame: np.ndarray, stamp_s: float, memory: torch.Tensor | None = None) -> KeyFrame:
        """Segment all views of a uint8 RGB frame ``[H, W, 3]``.

        The queries are those of the first view; masks of another move with the query of the first whose mask is most like
        them. Where the segmentor's key frames leave a memory, each view goes on from its own: together they are ``memory``,
        one row for each view.
        """
        padding = FramePadding(*frame.shape[:2])
        memories = [None] * len(self._views) if memory is None else memory
        seen = [
            segmented(self._segmentor, _shown(frame, view), stamp_s, view_memory)
            for view, view_memory in zip(self._views, memories, strict=True)
        ]
        left = [key_frame.memory for key_frame in seen if key_frame.memory is not None]
        masks = [_upright(key_frame, view, padding) for key_frame, view in zip(seen, self._views, strict=True)]
        probabilities = torch.cat([class_probabilities(key_frame.class_logits.float()) for key_frame in seen]) / len(seen)
        if self._merging is not None:
            probabilities = probabilities @ self._merging
        return KeyFrame(
            image=frame,
            stamp_s=stamp_s,
            padding=padding,
            mask_logits=torch.cat(masks),
            class_logits=_logits(probabilities),
            queries=seen[0].queries,
            moves_with=torch.cat([_most_alike(view_masks, masks[0]) for view_masks in masks]) if len(seen) > 1 else None,
            memory=torch.stack(left) if left else None,
        )


def _shown(frame: np.ndarray, view: View) -> np.ndarray:
    if view.scale != 1.0:
        height, width = (max(1, round(side * view.scale)) for side in frame.shape[:2])
        frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA if view.scale < 1 else cv2.INTER_LINEAR)
    return np.ascontiguousarray(frame[:, ::-1]) if view.mirrored else frame


def _upright(key_frame: KeyFrame, view: View, padding: FramePadding) -> torch.Tensor:
    """A view's masks at the places of the whole frame's masks, float32 ``[Q, H'/4, W'/4]``."""
    masks = key_frame.mask_logits.float()
    if view == View():
        return masks
    seen = key_frame.padding
    xs = _places(padding.padded_size[1], padding.width, seen.width, masks, mirrored=view.mirrored)
    ys = _places(padding.padded_size[0], padding.height, seen.height, masks)
    seen_height, seen_width = seen.padded_size
    grid = torch.stack(torch.meshgrid(2 * xs / seen_width - 1, 2 * ys / seen_height - 1, indexing="xy"), dim=-1)
    return F.grid_sample(masks.unsqueeze(0), grid.unsqueeze(0), mode="bilinear", padding_mode="border", align_corners=False)[0]


def _places(padded: int, side: int, seen_side: int, like: torch.Tensor, *, mirrored: bool = False) -> torch.Tensor:
    """Where the mask values along one side of a frame lie in a view of it, in its pixels; those of the padding at its edge."""
    middle = MASK_STRIDE / 2
    places = torch.arange(middle, padded, MASK_STRIDE, device=like.device, dtype=like.dtype) * (seen_side / side)
    places = seen_side - places if mirrored else places
    return places.clamp(min(middle, seen_side / 2), max(seen_side - middle, seen_side / 2))


def _most_alike(masks: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """For each mask ``[S, h, w]`` the index of the one of ``[Q, h, w]`` with the largest overlap of both."""
    ours, theirs = masks.sigmoid().flatten(1), reference.sigmoid().flatten(1)
    common = ours @ theirs.T
    return (common / (ours.sum(dim=1, keepdim=True) + theirs.sum(dim=1) - common).clamp(min=1e-6)).argmax(dim=1)


def _logits(probabilities: torch.Tensor) -> torch.Tensor:
    """``[S, C]`` -> logits ``[S, C + 1]`` that have these probabilities, the last one "no object"."""
    no_object = 1 - probabilities.sum(dim=1, keepdim=True)
    return torch.cat([probabilities, no_object], dim=1).clamp(min=torch.finfo(torch.float32).tiny).log()
