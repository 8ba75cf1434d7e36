"""What a key frame leaves behind, and the interface of the segmentors that make it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch

from mpvss_model.image import FramePadding
from mpvss_model.segmentor.cost import SegmentorCost

__all__ = ["KeyFrame", "KeyFrameSegmentor", "RecurrentSegmentor", "segmented"]


@dataclass(frozen=True)
class KeyFrame:
    """A segmented frame, as the reference that later frames are propagated from.

    Attributes:
        image: uint8 RGB ``[H, W, 3]``.
        stamp_s: Of the image, in seconds, as far as a float tells; a stream keeps the exact stamp itself.
        padding: Geometry of the image in the network.
        mask_logits: ``[S, H'/4, W'/4]``, of the last decoder layer, at 1/4 of the padded image; one for each query, then those
            that `mpvss_model.stream.history` and `mpvss_model.instances.tracker` add.
        class_logits: ``[S, C + 1]``, likewise; the last column is "no object".
        queries: ``[Q, d]``, the vectors that the class head reads, after the decoder's final norm; ``[C, 0]`` of networks that
            classify pixels, where each class is a mask.
        moves_with: With a history: the index of the query that each mask moves with, ``[S]``.
        memory: What the next key frame of the same stream is segmented with, of any shape; None if each is segmented alone.
        segmentors_class_logits: With a history: ``[Q, C + 1]``, as the segmentor gave them.
    """

    image: np.ndarray
    stamp_s: float
    padding: FramePadding
    mask_logits: torch.Tensor
    class_logits: torch.Tensor
    queries: torch.Tensor
    moves_with: torch.Tensor | None = None
    memory: torch.Tensor | None = None
    segmentors_class_logits: torch.Tensor | None = None

    @property
    def own_class_logits(self) -> torch.Tensor:
        """What the segmentor says of its queries, without what earlier key frames say: ``[Q, C + 1]``."""
        return self.class_logits if self.segmentors_class_logits is None else self.segmentors_class_logits

    def segmentors_own(self, masks: torch.Tensor) -> torch.Tensor:
        """Those of some masks, by their indices ``[S]``, that are the segmentor's queries, and not added to them."""
        return masks[masks < len(self.own_class_logits)]

    def queries_of(self, masks: torch.Tensor) -> torch.Tensor:
        """Indices of masks ``[S]`` -> those of the queries that they move with."""
        return masks if self.moves_with is None else self.moves_with[masks]


class KeyFrameSegmentor(Protocol):
    """Segments single frames, at any cost in time; `RecurrentSegmentor` is one that sees each after the one before it.

    One segmentor serves all streams of a model, and is called from several threads at once if they are: by each thread that
    steps a stream, and by the one that makes key frames in the background. `mpvss_model.segmentor.base.BaseSegmentor` has
    all but ``name``, ``class_names`` and `segment`.
    """

    @property
    def name(self) -> str:
        """How to call it in reports."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """By class index."""

    @property
    def device(self) -> torch.device:
        """Where its output is."""

    @property
    def dtype(self) -> str:
        """The floating-point type it runs in, as torch calls it: ``float32``."""

    @property
    def num_parameters(self) -> int:
        """Learned numbers."""

    def segment(self, frame: np.ndarray, stamp_s: float) -> KeyFrame:
        """Segment a uint8 RGB frame ``[H, W, 3]``, taken at ``stamp_s`` seconds of any clock."""

    def accelerate(self, dtype: torch.dtype) -> None:
        """Run faster from now on, in some floating-point type if it can; it cannot be trained or saved afterwards."""

    def digest(self) -> bytes:
        """Changes with all that decides what `segment` finds: weights, configuration, image statistics, other packages' code.

        What was found is kept for as long as it stays the same.
        """

    def cost(self, frame_size: tuple[int, int]) -> SegmentorCost | None:
        """Cost of a key frame of some height and width in pixels, or None where it cannot be counted."""


class RecurrentSegmentor(KeyFrameSegmentor, Protocol):
    """A segmentor whose key frames have a `KeyFrame.memory`, which the next one of their stream is segmented with.

    It remembers nothing itself, so that it serves many streams and threads: each stream gives back the memory of its last good
    key frame, and none with its first one, after a restart and after a scene cut that it has noticed.
    """

    def segment(self, frame: np.ndarray, stamp_s: float, memory: torch.Tensor | None = None) -> KeyFrame:
        """As `KeyFrameSegmentor.segment`, after the key frame that left ``memory``; None for the first of its stream."""


def segmented(segmentor: KeyFrameSegmentor, frame: np.ndarray, stamp_s: float, memory: torch.Tensor | None) -> KeyFrame:
    """Segment a frame after the key frame that left ``memory``, or alone if that is None.

    Only a segmentor that makes a memory is given one: others need not take it.
    """
    if memory is None:
        return segmentor.segment(frame, stamp_s)
    return cast(RecurrentSegmentor, segmentor).segment(frame, stamp_s, memory=memory)
