"""Key frames by networks that classify pixels."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Generic, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_utils import PreTrainedModel

from mpvss_model.errors import CheckpointError
from mpvss_model.image import FramePadding
from mpvss_model.segmentor.cost import SegmentorCost
from mpvss_model.segmentor.families.class_masks import class_logits_of_masks, masks_of_class_logits
from mpvss_model.segmentor.families.exportable import ExportablePerPixel
from mpvss_model.segmentor.families.network_cost import network_cost
from mpvss_model.segmentor.image_processing.size_rule import PADDING_MULTIPLE, SizeRule
from mpvss_model.segmentor.key_frame import KeyFrame
from mpvss_model.segmentor.transformers_segmentor import TransformersSegmentor

__all__ = ["PerPixelSegmentor", "per_pixel_key_frame"]


Network = TypeVar("Network", bound=PreTrainedModel)


class PerPixelSegmentor(TransformersSegmentor, Generic[Network]):
    """A `KeyFrameSegmentor` around a network that gives class logits of pixels; to be completed by `class_logits`.

    Each class is a mask. There are no query vectors, so that no motion module can go with it: masks are carried by ordinary
    optical flow.

    Attributes:
        part_names: Parts of the network, as they are called in reports, and as attributes of the network; what is left is the
            ``head``.
    """

    unread: ClassVar = r"^auxiliary_head\."
    part_names: ClassVar[dict[str, str]]

    @classmethod
    def check_config(cls, config: PreTrainedConfig, rule: SizeRule, name_or_dir: str) -> None:
        """Raise `CheckpointError` if padded frames cannot be divided into the network's patches."""
        patch_px = getattr(config, "patch_size", PADDING_MULTIPLE)
        if not isinstance(patch_px, int) or PADDING_MULTIPLE % patch_px:
            raise CheckpointError(
                f"model {name_or_dir!r}: patch_size is {patch_px!r} in config.json; expected a divisor of {PADDING_MULTIPLE}, "
                "the multiple that frames are padded to"
            )

    @staticmethod
    @abstractmethod
    def class_logits(network: Network, pixels: torch.Tensor) -> torch.Tensor:
        """Class logits ``[N, C, h, w]`` of an input ``[N, 3, H', W']``, before they are made as large as that."""

    @torch.inference_mode()
    def segment(self, frame: np.ndarray, stamp_s: float) -> KeyFrame:
        """Segment a uint8 RGB frame ``[H, W, 3]``."""
        with self.own_stream():
            padding, pixels = self.prepared(frame)
            logits = self.class_logits(self.model, pixels).float()
            if logits.shape[2:] != padding.mask_size:
                logits = F.interpolate(logits, size=padding.mask_size, mode="bilinear", align_corners=False)
            masks = masks_of_class_logits(logits[0])
        return per_pixel_key_frame(frame, stamp_s, padding, masks)

    def exportable_network(self) -> ExportablePerPixel:
        """A module for export around the network's weights."""
        return ExportablePerPixel(self.model, self.class_logits)

    def cost(self, frame_size: tuple[int, int]) -> SegmentorCost:
        """Cost of a key frame of some height and width in pixels."""
        shape = (1, 3, *FramePadding(*frame_size).padded_size)
        parts = network_cost(self.model, self.class_logits, shape, part_names=self.part_names, rest="head")
        return SegmentorCost(parts, len(self.class_names))


def per_pixel_key_frame(frame: np.ndarray, stamp_s: float, padding: FramePadding, masks: torch.Tensor) -> KeyFrame:
    """A key frame of which each mask is a class, with no query vectors.

    Args:
        frame: uint8 RGB ``[H, W, 3]``.
        stamp_s: When it was taken, in seconds.
        padding: Of the frame.
        masks: Mask logits ``[C, H'/4, W'/4]``.
    """
    return KeyFrame(
        image=frame,
        stamp_s=stamp_s,
        padding=padding,
        mask_logits=masks,
        class_logits=class_logits_of_masks(len(masks), masks),
        queries=masks.new_empty(len(masks), 0),
    )
