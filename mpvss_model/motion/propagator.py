"""Propagation with the flow of a trained motion module."""

from __future__ import annotations

import numpy as np
import torch

from mpvss_model.errors import ConfigError
from mpvss_model.motion.module import Motion, MotionModule, propagate_masks
from mpvss_model.segmentor.key_frame import KeyFrame

__all__ = ["MotionPropagator"]

FLOWS = ("segment", "pixel")


class MotionPropagator:
    """Warps a key frame's mask logits with segment-aware flow (MPVSS, section 3.2).

    Args:
        module: Trained with the segmentor that makes the key frames; on the same device, in evaluation mode.
        released_grid: The grid of the authors' code, see `mpvss_model.warp.backward_warp`.
        flow: ``segment`` for a flow per query; ``pixel`` for the pixel-wise flow alone, as in the paper's ablation.

    Raises:
        ConfigError: If there is no such flow.
    """

    def __init__(self, module: MotionModule, *, released_grid: bool = False, flow: str = "segment") -> None:
        if flow not in FLOWS:
            raise ConfigError(f"flow must be one of {', '.join(FLOWS)}, got {flow!r}")
        self.module = module
        self._released_grid = released_grid
        self._flow = flow

    def estimate(self, key_frame: KeyFrame, frame: np.ndarray, queries: torch.Tensor) -> Motion:
        """Flow from ``frame``, uint8 RGB ``[H, W, 3]``, to the key frame, for the queries with the indices ``[Q']``."""
        current, key = (_batch_of_one(image, key_frame.queries.device) for image in (frame, key_frame.image))
        return self.module(current, key, key_frame.queries.unsqueeze(0), selected=queries)

    def propagate(self, key_frame: KeyFrame, frame: np.ndarray, queries: torch.Tensor) -> torch.Tensor:
        """As `mpvss_model.propagation.Propagator`."""
        motion = self.estimate(key_frame, frame, queries)
        flow = motion.segment_flow if self._flow == "segment" else motion.pixel_flow
        return propagate_masks(key_frame.mask_logits[queries].unsqueeze(0), flow, released_grid=self._released_grid)[0]


def _batch_of_one(image: np.ndarray, device: torch.device) -> torch.Tensor:
    """uint8 ``[H, W, 3]`` -> ``[1, 3, H, W]``."""
    return torch.from_numpy(np.ascontiguousarray(image)).to(device).permute(2, 0, 1).unsqueeze(0)
