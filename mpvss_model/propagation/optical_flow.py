"""Propagation with ordinary optical flow, which needs no training."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from mpvss_model.image import MASK_STRIDE, FramePadding
from mpvss_model.runtime.cuda import GraphedFunction
from mpvss_model.runtime.frame_parts import frame_part
from mpvss_model.runtime.transfers import to_device
from mpvss_model.segmentor.key_frame import KeyFrame
from mpvss_model.warp import backward_warp

if TYPE_CHECKING:
    from mpvss_model.motion.module import MotionModule

__all__ = [
    "DenseFlowPropagator",
    "FineFlowPropagator",
    "TrackedFlowPropagator",
    "into_frame",
    "positions_in_key",
    "warped_image",
    "warped_masks",
]

DIS_MIN_SIDE_PX = 12
# Of the frame's size, for motion that masks at 1/4 of it cannot tell apart.
FINE_STRIDE = 2
# A key frame that was made in the background may come so many frames later.
MAX_STEPS = 128


@dataclass(frozen=True)
class Step:
    """A frame, and the flow from it to the frame before it: float32 ``[h, w, 2]`` in pixels of the flow's own grid."""

    frame: weakref.ref[np.ndarray]
    flow: np.ndarray


class DenseFlowPropagator:
    """Warps a key frame's mask logits with DIS optical flow (Kroeger et al., ECCV 2016; OpenCV's implementation).

    The flow goes from the current frame straight to the key frame, the direction that a backward warp needs, and is the same
    for all queries.

    Args:
        stride: Flow is measured on frames of 1/``stride`` of their size: 4, that of the masks, or 2 or 1 for finer motion.
    """

    name = "dense"
    module: MotionModule | None = None

    def __init__(self, stride: int = MASK_STRIDE) -> None:
        self._stride = stride
        self._dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)  # type: ignore[attr-defined]
        # The preset ends at 1/4 of the frame's size, too, but begins with, and returns to, all of it.
        self._dis.setFinestScale(0)
        # Half of the time, for digits that masks at 1/4 of the frame do not show.
        self._dis.setVariationalRefinementIterations(0)
        # On a GPU one graph, in place of a dozen small operations.
        self._carried = GraphedFunction(_carried_masks)
        self._key_image: np.ndarray | None = None
        # Of the frame that flow is measured to.
        self._earlier_gray: np.ndarray | None = None

    def propagate(self, key_frame: KeyFrame, frame: np.ndarray, queries: torch.Tensor) -> torch.Tensor:
        """Mask logits ``[Q', H'/4, W'/4]`` of a frame, uint8 RGB ``[H, W, 3]``, of the queries with the indices ``[Q']``."""
        flow = self.flow_to_key(key_frame.image, frame, key_frame.padding)
        return warped_masks(key_frame.mask_logits[queries], flow, key_frame.padding, carried=self._carried)

    def for_new_stream(self) -> DenseFlowPropagator:
        """Another one for another stream: OpenCV's flow has buffers that threads must not share."""
        return type(self)(self._stride)

    @frame_part("flow")
    def flow_to_key(self, key_image: np.ndarray, frame: np.ndarray, padding: FramePadding) -> np.ndarray:
        """Flow from a frame to its key frame, both uint8 RGB ``[H, W, 3]``; also to places beyond the key frame's edges.

        Returns:
            float32 ``[H'/4, W'/4, 2]``, x then y, of the padded frame, in pixels of that grid.
        """
        if self._key_image is not key_image:
            self._key_image, self._earlier_gray = key_image, _small_gray(key_image, self._stride)
        return self._of_masks(self._flow_to_earlier(_small_gray(frame, self._stride), padding))

    def _flow_to_earlier(self, gray: np.ndarray, padding: FramePadding) -> np.ndarray:
        """Flow to the frame that `_earlier_gray` is of, ``[H'/stride, W'/stride, 2]``, in pixels of that grid."""
        flow = self._dis.calc(gray, self._earlier_gray, None)
        return self._padded(flow[: -(-padding.height // self._stride), : -(-padding.width // self._stride)], padding)

    def _padded(self, flow: np.ndarray, padding: FramePadding) -> np.ndarray:
        """Flow of the frame -> that of the padded one, with its edge repeated; of the same grid."""
        height, width = self._grid_size(padding)
        return cv2.copyMakeBorder(flow, 0, height - flow.shape[0], 0, width - flow.shape[1], cv2.BORDER_REPLICATE)

    def _grid_size(self, padding: FramePadding) -> tuple[int, int]:
        """Of the flow, before it is that of masks."""
        height, width = padding.padded_size
        return height // self._stride, width // self._stride

    def _of_masks(self, flow: np.ndarray) -> np.ndarray:
        """Flow ``[H'/stride, W'/stride, 2]`` -> ``[H'/4, W'/4, 2]``, each in pixels of its own grid."""
        if self._stride == MASK_STRIDE:
            return flow
        ratio = MASK_STRIDE // self._stride
        height, width = flow.shape[0] // ratio, flow.shape[1] // ratio
        return cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA) / ratio


class TrackedFlowPropagator(DenseFlowPropagator):
    """As `DenseFlowPropagator`, but with flow from each frame to the one before it, added up on the way to the key frame.

    DIS finds small motion well and large motion badly, and there is little motion between two frames in a row.

    Args:
        stride: As of `DenseFlowPropagator`; flow is also added up at that resolution.
    """

    name = "tracked"

    def __init__(self, stride: int = MASK_STRIDE) -> None:
        super().__init__(stride)
        # From the last frame to the key frame; of no frame yet.
        self._tracked = np.empty((0, 0, 2), np.float32)
        self._steps: tuple[Step, ...] = ()

    @frame_part("flow")
    def flow_to_key(self, key_image: np.ndarray, frame: np.ndarray, padding: FramePadding) -> np.ndarray:
        """As `DenseFlowPropagator.flow_to_key`; to be called once for each frame, in their order."""
        if self._key_image is not key_image:
            self._begin(key_image, padding)
        gray = _small_gray(frame, self._stride)
        step = self._flow_to_earlier(gray, padding)
        self._tracked = _composed(step, self._tracked)
        self._earlier_gray = gray
        self._steps = (*self._steps, Step(weakref.ref(frame), step))[-MAX_STEPS:]
        return self._of_masks(self._tracked)

    def _begin(self, key_image: np.ndarray, padding: FramePadding) -> None:
        """Track another key frame: from where it was passed if it was one of the frames since the last, else from itself."""
        self._tracked = np.zeros((*self._grid_size(padding), 2), np.float32)
        passed = [i for i, step in enumerate(self._steps) if step.frame() is key_image]
        if passed:
            self._steps = self._steps[passed[0] + 1 :]
            for step in self._steps:
                self._tracked = _composed(step.flow, self._tracked)
        else:
            self._steps = ()
            self._earlier_gray = _small_gray(key_image, self._stride)
        self._key_image = key_image


class FineFlowPropagator(TrackedFlowPropagator):
    """As `TrackedFlowPropagator`, measured at 1/2 of the frame's size: outlines of thin and of small things stay in place."""

    name = "fine"

    def __init__(self, stride: int = FINE_STRIDE) -> None:
        super().__init__(stride)


def _carried_masks(mask_logits: torch.Tensor, flow: torch.Tensor) -> tuple[torch.Tensor]:
    """Mask logits ``[Q, h, w]`` where flow ``[h, w, 2]`` on the same device points; float32."""
    return (backward_warp(mask_logits.float().unsqueeze(0), flow.permute(2, 0, 1).unsqueeze(0))[0],)


def warped_masks(
    mask_logits: torch.Tensor,
    flow: np.ndarray,
    padding: FramePadding,
    *,
    carried: Callable[[torch.Tensor, torch.Tensor], Sequence[torch.Tensor]] = _carried_masks,
) -> torch.Tensor:
    """Mask logits ``[Q, H'/4, W'/4]`` where flow ``[H'/4, W'/4, 2]`` points, or at the frame's edge next to it; float32.

    ``carried`` may be a `GraphedFunction` of the warp.
    """
    return carried(mask_logits, to_device(into_frame(flow, padding), mask_logits.device))[0]


def warped_image(image: np.ndarray, flow: np.ndarray, padding: FramePadding) -> np.ndarray:
    """As `warped_masks`, an image uint8 RGB ``[H, W, 3]``."""
    return cv2.remap(image, *positions_in_key(flow, padding), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def positions_in_key(flow: np.ndarray, padding: FramePadding) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of a frame is in the key frame, or beyond its edge: x and y in pixels, float32 ``[H, W]`` each.

    Args:
        flow: From the frame to the key frame, float32 ``[h, w, 2]``, at the resolution of masks and in its pixels.
        padding: Of the frame.
    """
    height, width = padding.padded_size
    flow_px = cv2.resize(flow * MASK_STRIDE, (width, height), interpolation=cv2.INTER_LINEAR)
    flow_px = flow_px[: padding.height, : padding.width]
    xs, ys = _pixels(flow_px)
    return xs + flow_px[..., 0], ys + flow_px[..., 1]


def _small_gray(image: np.ndarray, stride: int) -> np.ndarray:
    """uint8 at 1/``stride`` of its size, with its edge repeated up to whole cells and to the size that DIS needs.

    OpenCV crashes on thinner images.
    """
    sides = (max(-(-side // stride), DIS_MIN_SIDE_PX) for side in image.shape[:2])
    height, width = (side * stride for side in sides)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    gray = cv2.copyMakeBorder(gray, 0, height - gray.shape[0], 0, width - gray.shape[1], cv2.BORDER_REPLICATE)
    return cv2.resize(gray, (width // stride, height // stride), interpolation=cv2.INTER_AREA)


def _composed(step: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """First a step to the previous frame, then on with that frame's flow; all ``[h, w, 2]``."""
    xs, ys = _pixels(step)
    return step + cv2.remap(flow, xs + step[..., 0], ys + step[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def into_frame(flow: np.ndarray, padding: FramePadding) -> np.ndarray:
    """Flow ``[h, w, 2]`` that points into the frame only: masks in the padding mean nothing."""
    xs, ys = _pixels(flow)
    inside = np.empty_like(flow)
    inside[..., 0] = np.clip(xs + flow[..., 0], 0, padding.width / MASK_STRIDE - 1) - xs
    inside[..., 1] = np.clip(ys + flow[..., 1], 0, padding.height / MASK_STRIDE - 1) - ys
    return inside


def _pixels(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    height, width = flow.shape[:2]
    return np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
