"""The ways in which a key frame's masks can reach later frames, by name."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from mpvss_model.config import PROPAGATIONS
from mpvss_model.errors import ConfigError
from mpvss_model.motion.module import MotionModule
from mpvss_model.propagation.motion_module import MotionPropagator, RefinedFlowPropagator
from mpvss_model.propagation.optical_flow import DenseFlowPropagator, TrackedFlowPropagator
from mpvss_model.segmentor.key_frame import KeyFrame

__all__ = ["PROPAGATIONS", "CopyPropagator", "Propagator", "make_propagator"]


class Propagator(Protocol):
    """Carries a key frame's masks to another frame. One belongs to one stream, and may remember what it saw there.

    Attributes:
        name: One of `PROPAGATIONS`.
        module: The motion module that it runs, if any.
    """

    name: str
    module: MotionModule | None

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


class CopyPropagator:
    """Keeps the masks where they were: the baseline that every propagation has to beat."""

    name = "copy"
    module = None

    def propagate(self, key_frame: KeyFrame, frame: np.ndarray, queries: torch.Tensor) -> torch.Tensor:
        """The key frame's own mask logits."""
        return key_frame.mask_logits[queries]

    def for_new_stream(self) -> CopyPropagator:
        """As `Propagator.for_new_stream`."""
        return CopyPropagator()


MODEL_FREE = {kind.name: kind for kind in (CopyPropagator, DenseFlowPropagator, TrackedFlowPropagator)}


def make_propagator(name: str, *, motion: MotionModule | None, released_grid: bool = False) -> Propagator:
    """Build a propagator by its name.

    Args:
        name: One of `PROPAGATIONS` but ``auto``, which only a model can tell.
        motion: The model's motion module, if it has one.
        released_grid: See `mpvss_model.warp.backward_warp`.

    Raises:
        ConfigError: If there is no such propagation, or it needs a motion module and there is none.
    """
    if name in MODEL_FREE:
        return MODEL_FREE[name]()
    if name not in PROPAGATIONS:
        raise ConfigError(f"propagation must be one of {', '.join(PROPAGATIONS)}, got {name!r}")
    if motion is None:
        raise ConfigError(
            f"propagation {name!r} needs a model with a trained motion module; use 'tracked' or 'auto' with this one"
        )
    kind = RefinedFlowPropagator if motion.config.refines_tracked_flow else MotionPropagator
    return kind(motion, released_grid=released_grid, flow=name)
