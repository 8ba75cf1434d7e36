"""Ordinary optical flow from frame to frame, added up on the way to the key frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpvss_model.propagation.propagation import Propagation

if TYPE_CHECKING:
    from mpvss_model.propagation.optical_flow import TrackedFlowPropagator

__all__ = ["PROPAGATION"]


def build() -> TrackedFlowPropagator:
    """A new propagator."""
    from mpvss_model.propagation.optical_flow import TrackedFlowPropagator

    return TrackedFlowPropagator()


PROPAGATION = Propagation(
    name="tracked",
    description="moves all masks by ordinary optical flow, added up from frame to frame (OpenCV's DIS)",
    rank=20,
    build=build,
    label="tracked flow (DIS)",
    color="#56B4E9",
    marker="^",
)
