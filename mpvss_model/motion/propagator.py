"""Propagation with the flow of a trained motion module."""

from __future__ import annotations

import numpy as np
import torch

from mpvss_model.cuda import GraphedFunction, to_device
from mpvss_model.errors import ConfigError
from mpvss_model.motion.fast import fast_motion, key_part
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
        self.name = flow
        self._released_grid = released_grid
        self._key_frame: KeyFrame | None = None
        self._key_part: torch.Tensor | None = None
        self._propagated = GraphedFunction(self._propagate)

    def estimate(self, key_frame: KeyFrame, frame: np.ndarray, queries: torch.Tensor) -> Motion:
        """Flow from ``frame``, uint8 RGB ``[H, W, 3]``, to the key frame, for the queries with the indices ``[Q']``."""
        image = _batch_of_one(frame, key_frame.queries.device)
        return fast_motion(self.module, image, self._part_of(key_frame), key_frame.queries, queries)

    def propagate(self, key_frame: KeyFrame, frame: np.ndarray, queries: torch.Tensor) -> torch.Tensor:
        """As `mpvss_model.propagation.Propagator`."""
        image = _batch_of_one(frame, key_frame.queries.device)
        return self._propagated(image, self._part_of(key_frame), key_frame.queries, queries, key_frame.mask_logits[queries])[0]

    def _propagate(
        self, image: torch.Tensor, part: torch.Tensor, queries: torch.Tensor, selected: torch.Tensor, masks: torch.Tensor
    ) -> tuple[torch.Tensor]:
        motion = fast_motion(self.module, image, part, queries, selected)
        flow = motion.segment_flow if self.name == "segment" else motion.pixel_flow
        # Positions need more digits than half precision has.
        return propagate_masks(masks.unsqueeze(0).float(), flow.float(), released_grid=self._released_grid)

    def _part_of(self, key_frame: KeyFrame) -> torch.Tensor:
        if self._key_frame is not key_frame:
            self._key_part = key_part(self.module, _batch_of_one(key_frame.image, key_frame.queries.device))
            self._key_frame = key_frame
        return self._key_part


def _batch_of_one(image: np.ndarray, device: torch.device) -> torch.Tensor:
    """uint8 ``[H, W, 3]`` -> ``[1, 3, H, W]``."""
    return to_device(image, device).permute(2, 0, 1).unsqueeze(0)
