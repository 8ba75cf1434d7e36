"""The motion module, and the propagation of a key frame's masks with its flow (MPVSS, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from mpvss_model.motion.config import MotionConfig
from mpvss_model.motion.decoder import MotionDecoder
from mpvss_model.motion.encoder import MotionEncoder, half_size_input
from mpvss_model.motion.pixel_flow import PixelFlowHead
from mpvss_model.motion.segment_flow import SegmentFlowHead
from mpvss_model.warp import backward_warp

__all__ = ["Motion", "MotionModule", "flow_of_masks", "propagate_masks"]


@dataclass(frozen=True)
class Motion:
    """Flow from the current frame to the key frame at 1/8 of the padded frame, x then y, in pixels of that grid.

    Attributes:
        pixel_flow: ``[B, 2, H'/8, W'/8]``, the same for all queries.
        segment_flow: ``[B, Q', 2, H'/8, W'/8]``, one per selected query.
    """

    pixel_flow: torch.Tensor
    segment_flow: torch.Tensor


class MotionModule(nn.Module):
    """Estimates how each query's segment moved since the key frame. A new module says that nothing moved.

    Args:
        config: Sizes.
    """

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = MotionEncoder(config.encoder_channels)
        self.decoder = MotionDecoder(config)
        self.pixel_flow = PixelFlowHead(config)
        self.segment_flow = SegmentFlowHead(config)

    def forward(
        self,
        current_images: torch.Tensor,
        key_images: torch.Tensor,
        queries: torch.Tensor,
        selected: torch.Tensor | None = None,
    ) -> Motion:
        """Estimate flow from the current frames to their key frames.

        Args:
            current_images: uint8 RGB ``[B, 3, H, W]``.
            key_images: Likewise.
            queries: ``[B, Q, query_size]``, of the key frames after the segmentor's final norm.
            selected: Indices ``[Q']`` of the queries that need a flow; all by default. The decoder sees all either way.

        Raises:
            ValueError: If the shapes do not fit each other or the configuration.
        """
        self._check(current_images, key_images, queries)
        dtype = self.decoder.query_embed.weight.dtype
        conv2, conv3, *coarse = self.encoder(half_size_input(current_images, dtype), half_size_input(key_images, dtype))
        refined, queries = self.decoder(coarse[::-1], queries)
        pixel_flow = self.pixel_flow([*refined, conv3, conv2])
        if selected is not None:
            queries = queries[:, selected]
        return Motion(pixel_flow=pixel_flow, segment_flow=self.segment_flow(queries, conv2, pixel_flow))

    def _check(self, current_images: torch.Tensor, key_images: torch.Tensor, queries: torch.Tensor) -> None:
        shape = tuple(current_images.shape)
        if len(shape) != 4 or shape[1] != 3 or tuple(key_images.shape) != shape:
            raise ValueError(f"images must both be [B, 3, H, W], got {shape} and {tuple(key_images.shape)}")
        if current_images.dtype != torch.uint8 or key_images.dtype != torch.uint8:
            raise ValueError(f"images must be uint8, got {current_images.dtype} and {key_images.dtype}")
        expected = (shape[0], self.config.num_queries, self.config.query_size)
        if tuple(queries.shape) != expected:
            raise ValueError(f"queries must be {expected} for these images and this module, got {tuple(queries.shape)}")


def propagate_masks(mask_logits: torch.Tensor, flow_px: torch.Tensor, *, released_grid: bool = False) -> torch.Tensor:
    """Warp a key frame's mask logits to the current frame.

    Args:
        mask_logits: ``[B, Q, H, W]``, of the key frame.
        flow_px: ``[B, Q, 2, H/2, W/2]``, one field per query, or ``[B, 2, H/2, W/2]``, one for all; from the current to the
            key frame, in pixels of its own grid.
        released_grid: The grid of the authors' code, see `backward_warp`.

    Returns:
        ``[B, Q, H, W]``, mask logits of the current frame.

    Raises:
        ValueError: If the shapes do not match.
    """
    batch, num_queries, height, width = mask_logits.shape
    fields = (batch,) if flow_px.ndim == 4 else (batch, num_queries)
    if flow_px.shape != (*fields, 2, height // 2, width // 2) or height % 2 or width % 2:
        raise ValueError(
            f"flow_px must have half the resolution of mask_logits and one field per query or frame, got "
            f"{tuple(flow_px.shape)} for mask_logits of {tuple(mask_logits.shape)}"
        )
    flow = flow_of_masks(flow_px, height, width)
    warped = backward_warp(mask_logits.reshape(len(flow), -1, height, width), flow, released_grid=released_grid)
    return warped.view(mask_logits.shape)


def flow_of_masks(flow_px: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Flow fields at half the resolution of masks, ``[B, Q, 2, H/2, W/2]`` or ``[B, 2, H/2, W/2]``, at theirs.

    Both are in pixels of their own grid. The result is ``[B * Q, 2, H, W]``, or ``[B, 2, H, W]``.
    """
    # Upsampling is many times faster with all fields as channels of one image, side by side in memory.
    channels = flow_px.flatten(1, -3).contiguous(memory_format=torch.channels_last)
    finer = F.interpolate(channels, size=(height, width), mode="bilinear", align_corners=False)
    return 2 * finer.unflatten(1, (-1, 2)).flatten(0, 1)
