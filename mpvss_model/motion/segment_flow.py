"""Segment-aware branch and fusion: a flow field of its own for every query (MPVSS, section 3.2)."""

from __future__ import annotations

import torch
from torch import nn

from mpvss_model.motion.config import MotionConfig

__all__ = ["SegmentFlowHead"]


class SegmentFlowHead(nn.Module):
    """Combines the pixel-wise flow with what each query says about its own segment's motion.

    A new head passes the pixel-wise flow through unchanged. (The released code instead starts with a flow of 1 pixel in both
    directions for every query, which loading released weights replaces anyway.)

    Args:
        config: Sizes.
    """

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        d = config.hidden_size
        self.norm = nn.LayerNorm(d)
        self.query_mlp = _mlp(d, 2 * d, d)
        self.pixel_mlp = _mlp(config.encoder_channels[1], 2 * d, 2 * d)
        self.fusion = nn.Conv2d(4, 2, 3, padding=1)
        nn.init.zeros_(self.fusion.weight)
        nn.init.zeros_(self.fusion.bias)
        with torch.no_grad():
            self.fusion.weight[:, :2, 1, 1] = torch.eye(2)

    def forward(self, queries: torch.Tensor, features: torch.Tensor, pixel_flow: torch.Tensor) -> torch.Tensor:
        """Flow of each query's segment, from the current frame to the key frame.

        Args:
            queries: ``[B, Q, d]``, refined by the motion decoder.
            features: ``[B, C_2, h, w]``, of ``conv2``.
            pixel_flow: ``[B, 2, h, w]``.

        Returns:
            ``[B, Q, 2, h, w]``, x then y, in pixels of this grid.
        """
        vectors = self.query_mlp(self.norm(queries))
        # Released weights hold y in the first half of the motion map and x in the second.
        map_y, map_x = self.pixel_mlp(features.permute(0, 2, 3, 1)).chunk(2, dim=-1)  # [B, h, w, d]
        motion_x = torch.einsum("bqc,bhwc->bqhw", vectors, map_x)
        motion_y = torch.einsum("bqc,bhwc->bqhw", vectors, map_y)
        pixel_flow = pixel_flow.unsqueeze(1).expand(-1, queries.shape[1], -1, -1, -1)
        combined = torch.cat([pixel_flow, torch.stack([motion_x, motion_y], dim=2)], dim=2)  # [B, Q, 4, h, w]
        return self.fusion(combined.flatten(0, 1)).unflatten(0, combined.shape[:2])


def _mlp(channels_in: int, hidden: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(channels_in, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, channels_out)
    )
