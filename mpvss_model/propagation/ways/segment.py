"""Segment-aware flow: one for each mask (MPVSS, section 3.2)."""

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

    return motion_propagator(motion, released_grid=released_grid, flow="segment")


PROPAGATION = Propagation(
    name="segment",
    description="moves each mask by a flow of its own (MPVSS)",
    rank=40,
    needs_motion=True,
    build=build,
    label="segment-aware flow",
    color="#009E73",
    marker="o",
)
