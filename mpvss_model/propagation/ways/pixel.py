"""Learned flow that is the same for all masks, as in the paper's ablation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpvss_model.propagation.propagation import Propagation

if TYPE_CHECKING:
    from mpvss_model.motion.module import MotionModule
    from mpvss_model.propagation.propagator import Propagator

__all__ = ["PROPAGATION"]


def build(motion: MotionModule, *, released_grid: bool) -> Propagator:
    """A new propagator; see `mpvss_model.propagation.motion_module.motion_propagator`."""
    from mpvss_model.propagation.motion_module import motion_propagator

    return motion_propagator(motion, released_grid=released_grid, flow="pixel")


PROPAGATION = Propagation(
    name="pixel",
    description="moves all masks by the flow that the motion module sees",
    rank=30,
    needs_motion=True,
    build=build,
    label="pixel-wise learned flow",
    color="#CC79A7",
    marker="D",
)
