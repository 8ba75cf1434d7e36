"""The answer to one frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from mpvss_model.motion.change import Change
from mpvss_model.schedule import KeyFrameReason
from mpvss_model.semantics import confidence_map

__all__ = ["Segmentation"]


@dataclass(frozen=True)
class Segmentation:
    """The result for one frame.

    Attributes:
        labels: uint8 ``[H, W]``, the class index of each pixel.
        is_key_frame: Whether the frame itself was segmented.
        is_from_new_key_frame: Whether no earlier frame was answered from this key frame.
        key_frame_reason: Why the key frame that its masks come from became one.
        stamp_s: Of the frame.
        key_stamp_s: Of that key frame.
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
    stamp_s: float
    key_stamp_s: float
    segmentor_s: float
    freshness: float
    fault: str | None
    best_scores: Callable[[], torch.Tensor]
    change: Callable[[], Change]

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
