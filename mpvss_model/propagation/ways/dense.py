"""Ordinary optical flow, straight to the key frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpvss_model.propagation.propagation import Propagation

if TYPE_CHECKING:
    from mpvss_model.propagation.optical_flow import DenseFlowPropagator

__all__ = ["PROPAGATION"]


def build() -> DenseFlowPropagator:
    """A new propagator."""
    from mpvss_model.propagation.optical_flow import DenseFlowPropagator

    return DenseFlowPropagator()


PROPAGATION = Propagation(
    name="dense",
    description="moves all masks by ordinary optical flow from the frame to the key frame (OpenCV's DIS)",
    rank=10,
    build=build,
    label="dense flow (DIS)",
    color="#0072B2",
    marker="s",
)
