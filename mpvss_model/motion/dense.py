"""Propagation with ordinary optical flow, for checkpoints that have no trained motion module."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from mpvss_model.image import FramePadding
from mpvss_model.segmentor.key_frame import KeyFrame
from mpvss_model.warp import backward_warp

__all__ = ["DenseFlowPropagator"]

MASK_STRIDE = 4
DIS_MIN_SIDE_PX = 32


class DenseFlowPropagator:
    """Warps a key frame's mask logits with DIS optical flow (Kroeger et al., ECCV 2016; OpenCV's implementation).

    The flow goes from the current frame to the key frame, the direction that a backward warp needs, and is the same for
    all queries.
    """

    def __init__(self) -> None:
        self._dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._key_image: np.ndarray | None = None
        self._key_gray: np.ndarray | None = None

    def propagate(self, key_frame: KeyFrame, frame: np.ndarray, queries: torch.Tensor) -> torch.Tensor:
        """As `mpvss_model.propagation.Propagator`."""
        if self._key_image is not key_frame.image:
            self._key_image = key_frame.image
            self._key_gray = _gray(key_frame.image)
        height, width = frame.shape[:2]
        flow_px = self._dis.calc(_gray(frame), self._key_gray, None)[:height, :width]  # [H, W, 2]
        mask_logits = key_frame.mask_logits[queries].float()
        flow = flow_at_mask_resolution(flow_px, key_frame.padding)
        return backward_warp(mask_logits.unsqueeze(0), flow.to(mask_logits).unsqueeze(0))[0]


def _gray(image: np.ndarray) -> np.ndarray:
    """uint8 ``[H, W]``, with its edge repeated up to the size that DIS needs: OpenCV crashes on thinner images."""
    height, width = image.shape[:2]
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    missing = max(0, DIS_MIN_SIDE_PX - height), max(0, DIS_MIN_SIDE_PX - width)
    return cv2.copyMakeBorder(gray, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE) if any(missing) else gray


def flow_at_mask_resolution(flow_px: np.ndarray, padding: FramePadding) -> torch.Tensor:
    """Full-resolution flow ``[H, W, 2]`` -> ``[2, H'/4, W'/4]`` in pixels of that grid, pointing into the frame only.

    Masks in the padding mean nothing, so positions beyond the frame's edge are moved back onto it.
    """
    padded_height, padded_width = padding.padded_size
    flow = cv2.copyMakeBorder(
        flow_px, 0, padded_height - padding.height, 0, padded_width - padding.width, cv2.BORDER_REPLICATE
    )
    height, width = padded_height // MASK_STRIDE, padded_width // MASK_STRIDE
    flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA) / MASK_STRIDE
    xs, ys = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    flow[..., 0] = np.clip(xs + flow[..., 0], 0, padding.width / MASK_STRIDE - 1) - xs
    flow[..., 1] = np.clip(ys + flow[..., 1], 0, padding.height / MASK_STRIDE - 1) - ys
    return torch.from_numpy(flow).permute(2, 0, 1)
