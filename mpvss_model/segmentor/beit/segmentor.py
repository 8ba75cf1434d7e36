"""Key frames by any BEiT checkpoint of ``transformers`` for semantic segmentation."""

from __future__ import annotations

from typing import ClassVar

import torch
from transformers import BeitForSemanticSegmentation

from mpvss_model.segmentor.families.per_pixel import PerPixelSegmentor

__all__ = ["BeitSegmentor"]


class BeitSegmentor(PerPixelSegmentor[BeitForSemanticSegmentation]):
    """A `KeyFrameSegmentor` around ``BeitForSemanticSegmentation``.

    Position embeddings and biases of positions are interpolated to the frame's shape, as the network does it itself.
    """

    network_class = BeitForSemanticSegmentation
    part_names: ClassVar = {"backbone": "beit"}

    @staticmethod
    def class_logits(network: BeitForSemanticSegmentation, pixels: torch.Tensor) -> torch.Tensor:
        """Class logits ``[N, C, H'/4, W'/4]`` of an input ``[N, 3, H', W']``."""
        return network(pixels).logits
