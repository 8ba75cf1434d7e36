"""Supervision of the motion module with known flow, as optical flow networks are trained."""

from __future__ import annotations

import torch

from mpvss_model.motion.module import Motion

__all__ = ["flow_loss"]

# Pixels of the flow's grid; errors below it count by their square, larger ones by their length.
SOFT_ERROR_PX = 0.1


def flow_loss(motion: Motion, flow_px: torch.Tensor) -> torch.Tensor:
    """Mean end-point error of the pixel-wise flow plus that of the queries' flows, which are all to follow the scene.

    Args:
        motion: As the motion module estimates it.
        flow_px: ``[B, 2, h, w]``, the true flow in the same units; NaN where it is unknown.

    Returns:
        A scalar; 0 if no flow is known.
    """
    known = flow_px.isfinite().all(dim=1)  # [B, h, w]
    flow_px = flow_px.nan_to_num()
    errors = _robust_norm(motion.pixel_flow - flow_px) + _robust_norm(motion.segment_flow - flow_px[:, None]).mean(dim=1)
    return (errors * known).sum() / known.sum().clamp(min=1)


def _robust_norm(errors: torch.Tensor) -> torch.Tensor:
    """``[..., 2, h, w]`` -> ``[..., h, w]``, with a gradient everywhere."""
    return (errors.square().sum(dim=-3) + SOFT_ERROR_PX**2).sqrt() - SOFT_ERROR_PX
