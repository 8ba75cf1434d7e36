"""What key-frame segmentors have in common, so that a new one is little more than its `segment`."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod

import numpy as np
import torch

from mpvss_model.config import FRAME_SIZE
from mpvss_model.runtime.flop_count import count_parameters
from mpvss_model.segmentor.cost import SegmentorCost
from mpvss_model.segmentor.key_frame import KeyFrame

__all__ = ["BaseSegmentor"]


class BaseSegmentor(ABC):
    """A `KeyFrameSegmentor` but for ``name``, ``class_names`` and `segment`; on the CPU in fp32 unless it says otherwise.

    Attributes:
        name: How to call it in reports.
        class_names: By class index.
        device: Where its output is.
        dtype: The floating-point type it runs in, as torch calls it.
        takes_bfloat16: Whether ``precision: auto`` may run it in bf16 on CPUs that are faster with it: only where it has been
            measured that this costs no more than 0.2 points of mIoU.
        has_memory: Whether it is a `RecurrentSegmentor`, whose key frames depend on those before them.
        recommended_inference_size: What `StreamConfig.inference_size` of -1 stands for, unless ``config.json`` says it; 0 for
            the frame's own size.
    """

    name: str
    class_names: tuple[str, ...]
    device: torch.device = torch.device("cpu")
    dtype: str = "float32"
    takes_bfloat16: bool = False
    has_memory: bool = False
    recommended_inference_size: int = FRAME_SIZE

    @abstractmethod
    def segment(self, frame: np.ndarray, stamp_s: float) -> KeyFrame:
        """As `KeyFrameSegmentor.segment`."""

    # Nothing is what most segmentors can do here, and no reason to be abstract.
    def accelerate(self, dtype: torch.dtype) -> None:  # noqa: B027
        """As `KeyFrameSegmentor.accelerate`: does nothing, so that `dtype` stays as it is."""

    def warm_up_size(self, expected: tuple[int, int]) -> tuple[int, int] | None:
        """Of frames to warm up with where some are expected; None to do without, since it would cost more than it saves."""
        return expected

    @property
    def num_parameters(self) -> int:
        """Learned numbers of the networks among the attributes."""
        return sum(count_parameters(value) for value in vars(self).values() if isinstance(value, torch.nn.Module))

    def digest(self) -> bytes:
        """Another one each time, since nothing is known of what the masks depend on: no study takes up its results again."""
        return uuid.uuid4().bytes

    def exportable(self, frame_size: tuple[int, int]) -> torch.nn.Module | None:
        """The network of `segment` as one module for `mpvss_model.segmentor.exported`, or None where there is none.

        It takes uint8 RGB frames ``[N, H, W, 3]`` of the given size, and returns mask logits ``[N, Q, H'/4, W'/4]``, class
        logits ``[N, Q, C + 1]`` and queries ``[N, Q, d]``, as `KeyFrame` has them, in operators that can be traced.

        Args:
            frame_size: Height and width of the frames in pixels.
        """
        return None

    def cost(self, frame_size: tuple[int, int]) -> SegmentorCost | None:
        """None: not known."""
        return None
