"""What stands behind the labels of one answer: scores, and how well motion explains the frame."""

from __future__ import annotations

import weakref
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from mpvss_model.errors import MPVSSError
from mpvss_model.image import FramePadding
from mpvss_model.instances.panoptic import LazyPanoptic
from mpvss_model.semantics import best_scores, class_shares, confidence_map
from mpvss_model.stream.change import Change, measure_change

__all__ = ["SCORE_LEVELS", "Evidence", "RecentEvidence", "Segments"]

# Scores that are kept, and those that confidence is made of, are so many steps from 0 to 1: those of an 8-bit image.
SCORE_LEVELS = 255
# Of zlib: higher ones take several times as long for a tenth of the size.
FASTEST = 1


@dataclass(frozen=True)
class Segments:
    """The masks that an answer was made of, see `mpvss_model.semantics.best_scores`; scores are at the size of inference."""

    mask_logits: torch.Tensor
    class_logits: torch.Tensor
    padding: FramePadding

    def best_scores(self) -> torch.Tensor:
        """Exactly."""
        with torch.inference_mode():
            return best_scores(self.mask_logits, self.class_logits, self.padding)

    def class_shares(self, groups: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """See `mpvss_model.semantics.class_shares`."""
        with torch.inference_mode():
            return class_shares(self.mask_logits, self.class_logits, self.padding, groups, size)

    @cached_property
    def levels(self) -> np.ndarray:
        """uint8 ``[H, W]`` in 0..`SCORE_LEVELS`."""
        return np.rint(confidence_map(self.best_scores()) * SCORE_LEVELS).astype(np.uint8)


@dataclass(frozen=True)
class PackedScores:
    """What is left of `Segments` later: their levels, which take a tenth of the memory."""

    packed: bytes
    shape: tuple[int, int]
    device: torch.device

    @classmethod
    def of(cls, segments: Segments) -> PackedScores:
        """The levels of some segments."""
        levels = segments.levels
        return cls(zlib.compress(levels.data, FASTEST), levels.shape, segments.mask_logits.device)

    def best_scores(self) -> torch.Tensor:
        """To the nearest level."""
        return torch.from_numpy(self.levels.astype(np.float32) / SCORE_LEVELS).to(self.device)

    @property
    def levels(self) -> np.ndarray:
        """As those of the segments."""
        return np.frombuffer(zlib.decompress(self.packed), np.uint8).reshape(self.shape)


class Evidence:
    """Scores and change of one answer, computed when asked for; from less and less memory once the stream has gone on.

    Threads may ask while another one calls `forget_frame` or `pack`.

    Args:
        segments: The masks that the labels were made of.
        size: Height and width of the labels. Scores are interpolated to it from the size of inference, where they change too
            little from pixel to pixel for more.
        change: Measures the frame against its key frame.
        thumbnails: What that takes, in place of the frame: of the key frame and of the frame, see
            `mpvss_model.stream.change`. None for a key frame, which does not change against itself.
        panoptic: Things and stuff, of the same masks; None where things are not followed.

    Attributes:
        panoptic: As above.
    """

    def __init__(
        self,
        *,
        segments: Segments,
        size: tuple[int, int],
        change: Callable[[], Change],
        thumbnails: Callable[[], tuple[np.ndarray, np.ndarray]] | None,
        panoptic: LazyPanoptic | None = None,
    ) -> None:
        self.panoptic = panoptic
        self._scores: Segments | PackedScores = segments
        self._size = size
        self._change = change
        self._thumbnails = thumbnails

    def best_scores(self) -> torch.Tensor:
        """Score of each pixel's class, float32 ``[H, W]`` from 0 on; in steps of 1 / `SCORE_LEVELS` up to 1 once packed."""
        scores = self._scores.best_scores()
        if scores.shape == self._size:
            return scores
        return F.interpolate(scores[None, None], size=self._size, mode="bilinear", align_corners=False)[0, 0]

    def score_levels(self) -> np.ndarray:
        """The same as uint8 ``[H, W]`` in 0..`SCORE_LEVELS`, packed or not."""
        levels = self._scores.levels
        return levels if levels.shape == self._size else cv2.resize(levels, self._size[::-1], interpolation=cv2.INTER_LINEAR)

    def class_shares(self, groups: torch.Tensor, size: tuple[int, int] | None = None) -> torch.Tensor:
        """Of groups of classes, float32 ``[K, H, W]``; see `mpvss_model.semantics.class_shares`.

        Args:
            groups: float ``[C, K]``.
            size: Height and width of the shares; the labels' by default.

        Raises:
            MPVSSError: If the masks are not there any more.
        """
        segments = self._scores
        if not isinstance(segments, Segments):
            raise MPVSSError("class scores can be had of a stream's newest two results only: ask for them when they are new")
        return segments.class_shares(groups, size or self._size)

    def change(self) -> Change:
        """What motion since the key frame does not explain."""
        return self._change()

    def forget_frame(self) -> None:
        """Go on without the frame: it is large, and its thumbnail, which tells the change as well, takes no time."""
        if self._thumbnails is not None:
            self._change = partial(measure_change, *self._thumbnails())
            self._thumbnails = None

    def pack(self) -> None:
        """Go on without the masks, in 1.5 bytes for each pixel that the network saw or less.

        Takes about as long as propagating to a frame.
        """
        if isinstance(self._scores, Segments):
            with suppress(Exception):  # such as a lack of memory: whoever asks for the scores will hear of it
                self._scores = PackedScores.of(self._scores)
                if self.panoptic is not None:
                    self.panoptic.pack()


class RecentEvidence:
    """Takes from results that somebody keeps what they need no more, as the stream goes on.

    The newest may be in use, and so may the one before it, which a loop's variable holds until the next one is there: what
    takes time is left until it is clear that a result is being kept.
    """

    def __init__(self) -> None:
        self._newest: list[weakref.ref[Evidence]] = []

    def add(self, evidence: Evidence) -> None:
        """The stream has another answer."""
        for reference, shrink in zip(self._newest, (Evidence.forget_frame, Evidence.pack), strict=False):
            if (kept := reference()) is not None:
                shrink(kept)
        self._newest = [weakref.ref(evidence), *self._newest[:1]]
