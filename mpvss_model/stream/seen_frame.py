"""The frame at hand, beside the last good key frame."""

from __future__ import annotations

import numpy as np
import torch

from mpvss_model.propagation.propagator import Propagator
from mpvss_model.stamps import seconds
from mpvss_model.stream.change import Comparison
from mpvss_model.stream.history import History
from mpvss_model.stream.key_frame_job import Reference, check_finite, padded_queries

__all__ = ["SeenFrame"]

NO_KEY_FRAME = "there is no key frame to compare with"


class SeenFrame:
    """One frame, and what its key frame tells about it; all that takes time is done when first asked for, once.

    Without a key frame there is no `comparison`, no `key_age_s` and no `masks`.

    Attributes:
        image: uint8 RGB ``[H, W, 3]``, at the size of inference.
        stamp_ns: Of the frame.
        size: Height and width of the frame as it came, which are those of the answer.

    Args:
        image: As the attribute.
        stamp_ns: As the attribute.
        size: As the attribute.
        reference: The last good key frame, if there is one.
        propagator: Carries its masks to the frame.
    """

    def __init__(
        self,
        image: np.ndarray,
        stamp_ns: int,
        *,
        size: tuple[int, int],
        reference: Reference | None,
        propagator: Propagator,
    ) -> None:
        self.image = image
        self.stamp_ns = stamp_ns
        self.size = size
        self._comparison = None if reference is None else Comparison(reference.thumbnail, image)
        self._reference = reference
        self._propagator = propagator
        self._masks: torch.Tensor | None = None

    @property
    def comparison(self) -> Comparison:
        """With the key frame."""
        assert self._comparison is not None, NO_KEY_FRAME
        return self._comparison

    @property
    def key_age_s(self) -> float:
        """How much later it was taken than its key frame, in seconds; by `mpvss_model.stamps.seconds`."""
        assert self._reference is not None, NO_KEY_FRAME
        return seconds(self.stamp_ns - self._reference.stamp_ns)

    def masks(self) -> torch.Tensor:
        """The key frame's mask logits carried to the frame, ``[Q', H'/4, W'/4]``, of the queries that matter.

        Raises:
            Exception: Anything that the propagator raises.
            ValueError: If they are not finite.
        """
        if self._masks is None:
            self.masks_of(torch.empty(0, dtype=torch.int64))
        assert self._masks is not None
        return self._masks

    def memory(self, *, max_key_age_s: float) -> torch.Tensor | None:
        """What the key frame leaves to the next one, see `KeyFrame.memory`; None from one that is ``max_key_age_s`` old."""
        if self._reference is None or self.key_age_s >= max_key_age_s:
            return None
        return self._reference.key_frame.memory

    def masks_of(self, others: torch.Tensor) -> torch.Tensor:
        """Other masks of the key frame, by their indices ``[N]``, carried to the frame beside those that matter.

        To be asked before `masks`, which then takes no time: propagations may go on from frame to frame.

        Returns:
            ``[N, H'/4, W'/4]``.

        Raises:
            Exception: As `masks`.
        """
        assert self._reference is not None, NO_KEY_FRAME
        key_frame, queries = self._reference.key_frame, self._reference.queries
        missing = padded_queries(others.to(queries.device))
        masks = self._propagator.propagate(key_frame, self.image, torch.cat([queries, missing]))
        check_finite("propagated masks", masks)
        self._masks = masks[: len(queries)]
        return masks[len(queries) : len(queries) + len(others)]

    def history(self, *, weight: float, max_key_age_s: float) -> History | None:
        """What earlier key frames say about the frame; None if they are not asked, too old, or cannot be carried to it.

        Args:
            weight: See `StreamConfig.history_weight`.
            max_key_age_s: See `StreamConfig`.
        """
        if weight == 0.0 or self._reference is None or self.key_age_s >= max_key_age_s:
            return None
        try:
            masks = self.masks()
        except Exception:  # a key frame can do without; frames in between cannot, and say what is wrong
            return None
        class_logits = self._reference.key_frame.class_logits[self._reference.queries]
        return History(mask_logits=masks, class_logits=class_logits, change=self.comparison.change(), weight=weight)
