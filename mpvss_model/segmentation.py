"""The answer to one frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from mpvss_model.motion.change import Change
from mpvss_model.schedule import KeyFrameReason, RestartReason
from mpvss_model.semantics import confidence_map
from mpvss_model.stamps import seconds

__all__ = ["Segmentation"]


@dataclass(frozen=True)
class Segmentation:
    """The result for one frame.

    Attributes:
        labels: uint8 ``[H, W]``, the class index of each pixel.
        is_key_frame: Whether the frame itself was segmented.
        is_from_new_key_frame: Whether no earlier frame was answered from this key frame.
        key_frame_reason: Why the key frame that its masks come from became one.
        restart_reason: Why the stream began anew since the frame that was answered before this one; None if it went on.
        stamp_ns: Of the frame, in nanoseconds.
        key_stamp_ns: Of that key frame.
        segmentor_s: How long the segmentor took for it, in seconds of real time.
        freshness: 1 on a key frame, falling linearly to 0 as the key frame reaches ``max_key_age_s``.
        fault: What went wrong with the newest key frame, if it failed; it will be tried again.
        best_scores: Computes the score of each pixel's class, ``[H, W]``, on the model's device.
        change: What motion since the key frame does not explain; measured when first called.
    """

    labels: np.ndarray
    is_key_frame: bool
    is_from_new_key_frame: bool
    key_frame_reason: KeyFrameReason
    restart_reason: RestartReason | None
    stamp_ns: int
    key_stamp_ns: int
    segmentor_s: float
    freshness: float
    fault: str | None
    best_scores: Callable[[], torch.Tensor]
    change: Callable[[], Change]

    @property
    def stamp_s(self) -> float:
        """Of the frame, in seconds; of times of today, it tells apart only those that are 238 ns apart."""
        return seconds(self.stamp_ns)

    @property
    def key_stamp_s(self) -> float:
        """Of the key frame that its masks come from, in seconds, as `stamp_s`."""
        return seconds(self.key_stamp_ns)

    @property
    def motion(self) -> float:
        """Share of the image, 0..1, that motion since the key frame does not explain; measured when first asked for."""
        return self.change().share

    @cached_property
    def confidence(self) -> np.ndarray:
        """Best class score times freshness times explained share of each pixel, float32 ``[H, W]`` in 0..1.

        Computed when first asked for.
        """
        with torch.inference_mode():
            confidence = confidence_map(self.best_scores()) * np.float32(self.freshness)
        return confidence if self.is_key_frame else confidence * (1.0 - self.change().error_map(*self.labels.shape))
