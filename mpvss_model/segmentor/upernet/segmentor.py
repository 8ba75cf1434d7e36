"""Key frames by any UPerNet checkpoint of ``transformers``."""

from __future__ import annotations

from typing import ClassVar

import torch
from transformers import UperNetForSemanticSegmentation

from mpvss_model.segmentor.families.per_pixel import PerPixelSegmentor

__all__ = ["UperNetSegmentor"]


class UperNetSegmentor(PerPixelSegmentor[UperNetForSemanticSegmentation]):
    """A `KeyFrameSegmentor` around ``UperNetForSemanticSegmentation``, on any backbone.

    Class logits are taken at a quarter of the frame, before the network makes them as large as its input.
    """

    network_class = UperNetForSemanticSegmentation
    part_names: ClassVar = {"backbone": "backbone"}

    @staticmethod
    def class_logits(network: UperNetForSemanticSegmentation, pixels: torch.Tensor) -> torch.Tensor:
        """Class logits ``[N, C, H'/4, W'/4]`` of an input ``[N, 3, H', W']``."""
        return network.decode_head(network.backbone(pixels).feature_maps)
