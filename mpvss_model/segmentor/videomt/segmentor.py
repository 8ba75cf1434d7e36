"""Key frames by any VidEoMT checkpoint of ``transformers``, each after the one before it."""

from __future__ import annotations

import reprlib
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from transformers import VideomtForUniversalSegmentation

from mpvss_model.config import FRAME_SIZE
from mpvss_model.errors import CheckpointError
from mpvss_model.image import IMAGENET_MEAN, IMAGENET_STD, MASK_STRIDE, FramePadding, normalized
from mpvss_model.runtime.transfers import to_device
from mpvss_model.segmentor.cost import SegmentorCost
from mpvss_model.segmentor.image_processing.entries import processor_settings
from mpvss_model.segmentor.image_processing.size_rule import SizeRule
from mpvss_model.segmentor.key_frame import KeyFrame
from mpvss_model.segmentor.transformers_segmentor import TransformersSegmentor
from mpvss_model.segmentor.videomt.network import segment_frame, videomt_cost

__all__ = ["VideomtSegmentor"]


class VideomtSegmentor(TransformersSegmentor):
    """A `RecurrentSegmentor` around ``VideomtForUniversalSegmentation``.

    The queries of a key frame are its memory. Frames are resized to the one square size that the network knows, as its video
    processor does it, and masks are brought back to the frame's own shape.

    Args:
        model: The network; moved to ``device`` and put into evaluation mode.
        name: How to call it in reports.
        device: Where it runs.
        image_mean: RGB mean that the network was trained with, on the 0..1 scale.
        image_std: RGB standard deviation that the network was trained with, on the 0..1 scale.

    Raises:
        CheckpointError: If the network has more classes than a uint8 label map can hold, or they are not named by index.
    """

    network_class = VideomtForUniversalSegmentation
    processor = "video_processor"
    has_memory = True

    def __init__(
        self,
        *,
        model: VideomtForUniversalSegmentation,
        name: str,
        device: torch.device,
        image_mean: tuple[float, ...] = IMAGENET_MEAN,
        image_std: tuple[float, ...] = IMAGENET_STD,
    ) -> None:
        super().__init__(model=model, name=name, device=device, image_mean=image_mean, image_std=image_std)
        self._size = model.config.image_size, model.config.image_size

    @classmethod
    def from_pretrained(cls, name_or_dir: str, *, device: torch.device) -> VideomtSegmentor:
        """Load a checkpoint directory, or a model of the hub by its id.

        Raises:
            CheckpointError: If it is missing, incomplete, broken or of another type, or if its video processor does what
                cannot be done here.
        """
        segmentor = super().from_pretrained(name_or_dir, device=device)
        found = processor_settings(name_or_dir, cls.processor)
        if found is not None:
            file, settings = found
            _check_processor(str(file), settings, segmentor.model.config.image_size)
        return segmentor

    @classmethod
    def inference_size_of(cls, rule: SizeRule) -> int:
        """The frame's own: it is resized once, to the network's input."""
        return FRAME_SIZE

    @torch.inference_mode()
    def segment(self, frame: np.ndarray, stamp_s: float, memory: torch.Tensor | None = None) -> KeyFrame:
        """Segment a uint8 RGB frame ``[H, W, 3]`` after the key frame that left ``memory``, ``[Q, d]``, or as a first one."""
        padding = FramePadding(*frame.shape[:2])
        with self.own_stream():
            segmented = segment_frame(self.model, self._pixels(frame), memory)
            mask_logits = _in_frame(segmented.mask_logits, padding)
        return KeyFrame(
            image=frame,
            stamp_s=stamp_s,
            padding=padding,
            mask_logits=mask_logits,
            class_logits=segmented.class_logits.float(),
            queries=segmented.queries,
            memory=segmented.memory,
        )

    def cost(self, frame_size: tuple[int, int]) -> SegmentorCost:
        """Cost of encoder and heads for a frame that comes after another one; the same for frames of all sizes."""
        return videomt_cost(self.model.config)

    def _pixels(self, frame: np.ndarray) -> torch.Tensor:
        """The network's input ``[1, 3, S, S]``."""
        image = torch.from_numpy(frame).permute(2, 0, 1)[None]
        # On uint8, as the video processor: it rounds to whole numbers in between.
        image = F.interpolate(image, size=self._size, mode="bilinear", antialias=True)
        resized = image[0].permute(1, 2, 0).contiguous().numpy()
        return normalized(to_device(resized, self.device), self._mean, self._std).to(self._dtype)


def _check_processor(file: str, settings: dict[str, Any], image_size: int) -> None:
    """Refuse a video processor that resizes frames to anything but the network's input."""
    size = settings.get("size")
    if size is not None and size != {"height": image_size, "width": image_size}:
        raise CheckpointError(
            f"{file!r}: size is {reprlib.repr(size)}; expected a height and a width of {image_size}, image_size of config.json"
        )


def _in_frame(masks: torch.Tensor, padding: FramePadding) -> torch.Tensor:
    """Masks ``[Q, h, w]`` that cover exactly a frame, as those of the padded frame, ``[Q, H'/4, W'/4]``.

    The padding repeats what is at the frame's edge.
    """
    height, width = padding.mask_size
    if padding.size == padding.padded_size and masks.shape[1:] == (height, width):
        return masks
    ys, xs = (
        (torch.arange(count, device=masks.device, dtype=torch.float32) + 0.5) * (2 * MASK_STRIDE / side) - 1
        for count, side in ((height, padding.height), (width, padding.width))
    )
    grid = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1)
    found = F.grid_sample(masks[None].float(), grid[None], mode="bilinear", padding_mode="border", align_corners=False)
    return found[0].to(masks.dtype)
