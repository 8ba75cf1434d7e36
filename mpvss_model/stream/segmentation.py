"""The answer to one frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mpvss_model.errors import ConfigError
from mpvss_model.instances.panoptic import Panoptic
from mpvss_model.stamps import seconds
from mpvss_model.stream.change import Change
from mpvss_model.stream.evidence import SCORE_LEVELS, Evidence
from mpvss_model.stream.schedule import KeyFrameReason, RestartReason

__all__ = ["Segmentation"]


@dataclass(frozen=True)
class Segmentation:
    """The result for one frame. Keeping it is cheap, also for many frames.

    The newest two results of a stream hold the masks that they were made of, and the newest one its frame. Older ones hold
    little more than their labels: the same confidence and motion are computed from scores in steps of 1/255, packed, and from
    a thumbnail of the frame.

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
        evidence: What scores, motion and confidence are computed from.
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
    evidence: Evidence

    @property
    def stamp_s(self) -> float:
        """Of the frame, in seconds; of times of today, it tells apart only those that are 238 ns apart."""
        return seconds(self.stamp_ns)

    @property
    def key_stamp_s(self) -> float:
        """Of the key frame that its masks come from, in seconds, as `stamp_s`."""
        return seconds(self.key_stamp_ns)

    def best_scores(self) -> torch.Tensor:
        """Score of each pixel's class, float32 ``[H, W]``, on the model's device; see `Evidence.best_scores`."""
        return self.evidence.best_scores()

    def class_shares(self, groups: torch.Tensor, size: tuple[int, int] | None = None) -> torch.Tensor:
        """Probabilities of groups of classes at each pixel, float32 ``[K, H, W]``, of the stream's newest two results.

        Args:
            groups: float ``[C, K]``, 1 where a class of the model belongs to a group; the identity for each class alone.
            size: Height and width of the shares; the labels' by default.

        Raises:
            MPVSSError: If the result is an older one.
        """
        return self.evidence.class_shares(groups, size)

    def change(self) -> Change:
        """What motion since the key frame does not explain; measured when asked for."""
        return self.evidence.change()

    def panoptic(self) -> Panoptic:
        """Things, with ids that live on from key frame to key frame, and stuff; found when asked for, the same at any time.

        A thing whose mask its key frame left out, such as a second one of the same thing, stays out until the next one.

        Raises:
            ConfigError: If the stream does not follow things, see `VideoSegmentor.follows_things`.
        """
        if self.evidence.panoptic is None:
            raise ConfigError("things were not followed: they are with thing_classes, unless follows_things is False")
        return self.evidence.panoptic()

    @property
    def motion(self) -> float:
        """Share of the image, 0..1, that motion since the key frame does not explain; measured when asked for."""
        return self.change().share

    @property
    def confidence(self) -> np.ndarray:
        """Best class score times freshness times explained share of each pixel, float32 ``[H, W]`` in 0..1.

        Scores are taken in steps of 1/255, those of the 8-bit image that most will send it as. Computed each time it is asked
        for, and the same at any time.
        """
        confidence = self.evidence.score_levels() / np.float32(SCORE_LEVELS) * np.float32(self.freshness)
        return confidence if self.is_key_frame else confidence * (1.0 - self.change().error_map(*self.labels.shape))
