"""Ordinary optical flow from frame to frame at half of the frame's size, added up on the way to the key frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpvss_model.propagation.propagation import Propagation

if TYPE_CHECKING:
    from mpvss_model.propagation.optical_flow import FineFlowPropagator

__all__ = ["PROPAGATION"]


def build() -> FineFlowPropagator:
    """A new propagator."""
    from mpvss_model.propagation.optical_flow import FineFlowPropagator

    return FineFlowPropagator()


PROPAGATION = Propagation(
    name="fine",
    description="moves all masks as tracked flow does, but measures it at twice the resolution",
    rank=25,
    build=build,
    label="fine tracked flow (DIS)",
    color="#F0E442",
    marker="<",
)
