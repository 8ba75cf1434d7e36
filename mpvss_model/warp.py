"""Backward warping in pixels: where each output pixel lies in the source is given by a flow field."""

from __future__ import annotations

import torch
import torch.nn.functional as F

__all__ = ["backward_warp"]


def backward_warp(source: torch.Tensor, flow_px: torch.Tensor, *, released_grid: bool = False) -> torch.Tensor:
    """Sample ``source`` at ``pixel + flow`` with bilinear interpolation; positions outside take the border's value.

    Args:
        source: ``[N, C, H, W]``, any floating dtype.
        flow_px: ``[N, 2, H, W]``, x then y displacement in pixels of this grid, pointing from the output to the source.
        released_grid: Use the normalisation of the authors' code, ``(pixel + flow) / [W, H] * 2 - 1`` with aligned corners.
            It samples at ``(x + flow_x) * (W - 1) / W``, so zero flow is not quite the identity, but checkpoints that were
            trained with it need it (MPVSS section 3.2, released code).

    Returns:
        ``[N, C, H, W]``, dtype of ``source``.

    Raises:
        ValueError: If the shapes do not match.
    """
    n, _, height, width = source.shape
    if flow_px.shape != (n, 2, height, width):
        raise ValueError(
            f"flow_px must be {(n, 2, height, width)} to warp a source of {tuple(source.shape)}, got {tuple(flow_px.shape)}"
        )
    ys = torch.arange(height, device=source.device, dtype=flow_px.dtype).view(1, height, 1)
    xs = torch.arange(width, device=source.device, dtype=flow_px.dtype).view(1, 1, width)
    span_x, span_y = (width, height) if released_grid else (max(width - 1, 1), max(height - 1, 1))
    grid = torch.stack([(xs + flow_px[:, 0]) / span_x, (ys + flow_px[:, 1]) / span_y], dim=-1) * 2 - 1  # [N, H, W, 2]
    return F.grid_sample(source, grid.to(source.dtype), mode="bilinear", padding_mode="border", align_corners=True)
