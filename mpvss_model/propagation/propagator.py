"""The interface of what carries masks from a key frame to another frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch

    from mpvss_model.motion.module import MotionModule
    from mpvss_model.segmentor.key_frame import KeyFrame

__all__ = ["Propagator"]


class Propagator(Protocol):
    """Carries a key frame's masks to another frame. One belongs to one stream, and may remember what it saw there."""

    @property
    def name(self) -> str:
        """Of its row in the registry, see `mpvss_model.propagation.registry`."""

    @property
    def module(self) -> MotionModule | None:
        """The motion module that it runs, if any."""

    def propagate(self, key_frame: KeyFrame, frame: np.ndarray, queries: torch.Tensor) -> torch.Tensor:
        """Mask logits of ``frame``, uint8 RGB ``[H, W, 3]``, of the size of the key frame.

        Args:
            key_frame: Where the masks come from.
            frame: Where they go to.
            queries: Indices ``[Q']`` of the queries, or masks of its history, to propagate.

        Returns:
            ``[Q', H'/4, W'/4]``.
        """

    def for_new_stream(self) -> Propagator:
        """One that does the same in another stream, perhaps in another thread: it shares weights with this one, no more."""
