"""The frame at hand, beside the last good key frame."""

from __future__ import annotations

import numpy as np
import torch

from mpvss_model.propagation.propagator import Propagator
from mpvss_model.runtime.transfers import to_device, to_host
from mpvss_model.stamps import seconds
from mpvss_model.stream.change import Comparison
from mpvss_model.stream.history import History
from mpvss_model.stream.key_frame_job import Reference, check_sum, padded_queries, sum_to_check

__all__ = ["SeenFrame", "check_masks"]

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
        # With `sum_to_check` of all that was carried at once.
        self._masks: tuple[torch.Tensor, torch.Tensor] | None = None

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
        masks, total = self.unchecked_masks()
        check_masks(*to_host(total))
        return masks

    def unchecked_masks(self) -> tuple[torch.Tensor, torch.Tensor]:
        """As `masks`, with what `check_masks` wants to see first: who fetches other results from a GPU waits only once."""
        if self._masks is None:
            self._carry(None)
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
        masks = self._carry(others)
        self.masks()
        return masks

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
        change = self.comparison.change()
        return History(mask_logits=masks, class_logits=self._reference.classes.logits, change=change, weight=weight)

    def _carry(self, others: torch.Tensor | None) -> torch.Tensor:
        """Carry the masks that matter, and others of the key frame ``[N]``, which are returned: ``[N, H'/4, W'/4]``."""
        assert self._reference is not None, NO_KEY_FRAME
        key_frame, queries = self._reference.key_frame, self._reference.queries
        wanted, num_others = queries, 0
        if others is not None:
            wanted = torch.cat([queries, padded_queries(to_device(others.numpy(), queries.device))])
            num_others = len(others)
        masks = self._propagator.propagate(key_frame, self.image, wanted)
        self._masks = masks[: len(queries)], sum_to_check(masks)
        return masks[len(queries) : len(queries) + num_others]


def check_masks(total: np.ndarray) -> None:
    """Raise `ValueError` unless the masks of `SeenFrame.unchecked_masks` are finite, by what came with them, fetched."""
    check_sum("propagated masks", total)
