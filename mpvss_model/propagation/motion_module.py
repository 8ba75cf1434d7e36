"""Propagation with the flow of a trained motion module."""

from __future__ import annotations

import numpy as np
import torch

from mpvss_model.errors import ConfigError
from mpvss_model.motion.fast import fast_motion, key_part
from mpvss_model.motion.module import Motion, MotionModule, propagate_masks
from mpvss_model.propagation.optical_flow import TrackedFlowPropagator, into_frame, warped_image
from mpvss_model.runtime.cuda import GraphedFunction
from mpvss_model.runtime.transfers import all_to_device, to_device
from mpvss_model.segmentor.key_frame import KeyFrame

__all__ = ["MotionPropagator", "RefinedFlowPropagator", "motion_propagator"]

FLOWS = ("segment", "pixel")


class MotionWarp:
    """Warps masks with the motion module's flow, and keeps nothing from one call to the next.

    Args:
        module: Trained with the segmentor that makes the key frames; on the same device, in evaluation mode.
        released_grid: The grid of the authors' code, see `mpvss_model.warp.backward_warp`.
        flow: ``segment`` for a flow per query; ``pixel`` for the pixel-wise flow alone, as in the paper's ablation.

    Raises:
        ConfigError: If there is no such flow.
    """

    def __init__(self, module: MotionModule, *, released_grid: bool, flow: str) -> None:
        if flow not in FLOWS:
            raise ConfigError(f"flow must be one of {', '.join(FLOWS)}, got {flow!r}")
        self.module = module
        self._released_grid = released_grid
        self._flow = flow
        self._warped = GraphedFunction(self._warp)

    def __call__(
        self, masks: torch.Tensor, frame: torch.Tensor, part: torch.Tensor, queries: torch.Tensor, selected: torch.Tensor
    ) -> torch.Tensor:
        """Masks ``[Q', h, w]`` of the queries with the indices ``[Q']`` -> those of a frame, uint8 RGB ``[H, W, 3]``.

        ``part`` is what `key_part` makes of the image that the masks belong to, ``queries`` are its key frame's, ``[Q, d]``.
        All are on the module's device.
        """
        return self._warped(_batch_of_one(frame), part, queries, selected, masks)[0]

    def key_part(self, key_image: torch.Tensor) -> torch.Tensor:
        """As `mpvss_model.motion.fast.key_part`, of an image uint8 RGB ``[H, W, 3]`` on the module's device."""
        return key_part(self.module, _batch_of_one(key_image))

    def _warp(
        self, image: torch.Tensor, part: torch.Tensor, queries: torch.Tensor, selected: torch.Tensor, masks: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        motion = fast_motion(self.module, image, part, queries, selected)
        flow = motion.segment_flow if self._flow == "segment" else motion.pixel_flow
        # Positions need more digits than half precision has.
        return propagate_masks(masks.unsqueeze(0).float(), flow.float(), released_grid=self._released_grid).unbind()


class MotionPropagator:
    """Warps a key frame's mask logits with segment-aware flow (MPVSS, section 3.2).

    Args:
        module: Trained with the segmentor that makes the key frames; on the same device, in evaluation mode.
        released_grid: The grid of the authors' code, see `mpvss_model.warp.backward_warp`.
        flow: ``segment`` for a flow per query; ``pixel`` for the pixel-wise flow alone.

    Raises:
        ConfigError: If there is no such flow.
    """

    def __init__(self, module: MotionModule, *, released_grid: bool = False, flow: str = "segment") -> None:
        self.module = module
        self.name = flow
        self._released_grid = released_grid
        self._warp = MotionWarp(module, released_grid=released_grid, flow=flow)
        self._kept_part: tuple[KeyFrame, torch.Tensor] | None = None

    def estimate(self, key_frame: KeyFrame, frame: np.ndarray, queries: torch.Tensor) -> Motion:
        """Flow from ``frame``, uint8 RGB ``[H, W, 3]``, to the key frame, for the queries with the indices ``[Q']``."""
        image, part = self._image_and_part(frame, key_frame)
        return fast_motion(self.module, _batch_of_one(image), part, key_frame.queries, key_frame.queries_of(queries))

    def propagate(self, key_frame: KeyFrame, frame: np.ndarray, queries: torch.Tensor) -> torch.Tensor:
        """Mask logits ``[Q', H'/4, W'/4]`` of a frame, uint8 RGB ``[H, W, 3]``, of the queries with the indices ``[Q']``."""
        masks = key_frame.mask_logits[queries]
        return self._warp(masks, *self._image_and_part(frame, key_frame), key_frame.queries, key_frame.queries_of(queries))

    def for_new_stream(self) -> MotionPropagator:
        """Another one for another stream, with the same weights; on a GPU it records graphs of its own."""
        return MotionPropagator(self.module, released_grid=self._released_grid, flow=self.name)

    def _image_and_part(self, frame: np.ndarray, key_frame: KeyFrame) -> tuple[torch.Tensor, torch.Tensor]:
        """A frame on the module's device, and what `MotionWarp.key_part` makes of its key frame's image."""
        device = key_frame.queries.device
        if self._kept_part is not None and self._kept_part[0] is key_frame:
            return to_device(frame, device), self._kept_part[1]
        image, key_image = all_to_device((frame, key_frame.image), device)
        self._kept_part = key_frame, self._warp.key_part(key_image)
        return image, self._kept_part[1]


class RefinedFlowPropagator(TrackedFlowPropagator):
    """Carries a key frame's image and masks on by tracked flow, and warps the masks with what motion is left between the two.

    Args:
        module: Trained with the segmentor that makes the key frames, with ``refines_tracked_flow``; on the same device, in
            evaluation mode.
        released_grid: The grid of the authors' code, see `mpvss_model.warp.backward_warp`.
        flow: ``segment`` for a flow per query; ``pixel`` for the pixel-wise flow alone.

    Raises:
        ConfigError: If there is no such flow.
    """

    def __init__(self, module: MotionModule, *, released_grid: bool = False, flow: str = "segment") -> None:
        super().__init__(module.config.tracked_flow_stride)
        self.module: MotionModule = module
        self.name = flow
        self._released_grid = released_grid
        self._warp = MotionWarp(module, released_grid=released_grid, flow=flow)

    def propagate(self, key_frame: KeyFrame, frame: np.ndarray, queries: torch.Tensor) -> torch.Tensor:
        """Mask logits ``[Q', H'/4, W'/4]`` of a frame, uint8 RGB ``[H, W, 3]``, of the queries with the indices ``[Q']``."""
        flow = self.flow_to_key(key_frame.image, frame, key_frame.padding)
        images = frame, warped_image(key_frame.image, flow, key_frame.padding)
        field, image, key_image = all_to_device((into_frame(flow, key_frame.padding), *images), key_frame.queries.device)
        masks = self._carried(key_frame.mask_logits[queries], field)[0]
        part = self._warp.key_part(key_image)
        return self._warp(masks, image, part, key_frame.queries, key_frame.queries_of(queries))

    def for_new_stream(self) -> RefinedFlowPropagator:
        """Another one for another stream, with the same weights; on a GPU it records graphs of its own."""
        return RefinedFlowPropagator(self.module, released_grid=self._released_grid, flow=self.name)


def motion_propagator(module: MotionModule, *, released_grid: bool, flow: str) -> MotionPropagator | RefinedFlowPropagator:
    """The propagator that a motion module was trained for.

    Args:
        module: Trained with the segmentor that makes the key frames; on the same device, in evaluation mode.
        released_grid: The grid of the authors' code, see `mpvss_model.warp.backward_warp`.
        flow: ``segment`` for a flow per query; ``pixel`` for the pixel-wise flow alone.

    Raises:
        ConfigError: If there is no such flow.
    """
    kind = RefinedFlowPropagator if module.config.refines_tracked_flow else MotionPropagator
    return kind(module, released_grid=released_grid, flow=flow)


def _batch_of_one(image: torch.Tensor) -> torch.Tensor:
    """uint8 ``[H, W, 3]`` -> ``[1, 3, H, W]``."""
    return image.permute(2, 0, 1).unsqueeze(0)
