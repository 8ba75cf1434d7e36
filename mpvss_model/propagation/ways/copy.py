"""No propagation at all: the baseline that every other one has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpvss_model.propagation.propagation import Propagation

if TYPE_CHECKING:
    import numpy as np
    import torch

    from mpvss_model.segmentor.key_frame import KeyFrame

__all__ = ["PROPAGATION", "CopyPropagator"]


class CopyPropagator:
    """Keeps the masks where they were; a `Propagator`."""

    name = "copy"
    module = None

    def propagate(self, key_frame: KeyFrame, frame: np.ndarray, queries: torch.Tensor) -> torch.Tensor:
        """The key frame's own mask logits ``[Q', H'/4, W'/4]`` of the queries with the indices ``[Q']``."""
        return key_frame.mask_logits[queries]

    def for_new_stream(self) -> CopyPropagator:
        """Another one, since they remember nothing."""
        return CopyPropagator()


PROPAGATION = Propagation(
    name="copy",
    description="leaves the masks where they are",
    rank=0,
    build=CopyPropagator,
    label="copy",
    color="#E69F00",
    marker="v",
)
