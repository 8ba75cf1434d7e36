"""Key frames by any SegFormer checkpoint of ``transformers``."""

from __future__ import annotations

from typing import ClassVar

import torch
from transformers import SegformerForSemanticSegmentation

from mpvss_model.segmentor.families.per_pixel import PerPixelSegmentor

__all__ = ["SegformerSegmentor"]


class SegformerSegmentor(PerPixelSegmentor[SegformerForSemanticSegmentation]):
    """A `KeyFrameSegmentor` around ``SegformerForSemanticSegmentation``, whose class logits are at a quarter of the frame."""

    network_class = SegformerForSemanticSegmentation
    part_names: ClassVar = {"backbone": "segformer"}

    @staticmethod
    def class_logits(network: SegformerForSemanticSegmentation, pixels: torch.Tensor) -> torch.Tensor:
        """Class logits ``[N, C, H'/4, W'/4]`` of an input ``[N, 3, H', W']``."""
        return network(pixels).logits
