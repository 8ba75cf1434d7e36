"""Key frames by any DPT checkpoint of ``transformers`` for semantic segmentation."""

from __future__ import annotations

from typing import ClassVar

import torch
from transformers import DPTConfig, DPTForSemanticSegmentation

from mpvss_model.errors import CheckpointError
from mpvss_model.segmentor.families.per_pixel import PerPixelSegmentor
from mpvss_model.segmentor.image_processing.size_rule import SizeRule

__all__ = ["DPTSegmentor"]


class DPTSegmentor(PerPixelSegmentor[DPTForSemanticSegmentation]):
    """A `KeyFrameSegmentor` around ``DPTForSemanticSegmentation``.

    ``transformers`` takes square images alone. Here they may have any shape, as in the authors' code: position embeddings are
    interpolated, and the decoder is told the shape. The network gives class logits of each pixel, which become masks at a
    quarter of the frame like all others: borders are less sharp than the network's own.
    """

    network_class = DPTForSemanticSegmentation
    # The first fusion layer has nothing to add, and checkpoints lack what it would do that with.
    unread: ClassVar = r"^auxiliary_head\.|^neck\.fusion_stage\.layers\.0\.residual_layer1\."
    part_names: ClassVar = {"backbone": "dpt"}

    @classmethod
    def check_config(cls, config: DPTConfig, rule: SizeRule, name_or_dir: str) -> None:
        """Raise `CheckpointError` if the network is a hybrid one, or for what no network that classifies pixels may have."""
        super().check_config(config, rule, name_or_dir)
        if config.is_hybrid:
            raise CheckpointError(
                f"model {name_or_dir!r}: is_hybrid is true in config.json; expected false, since a hybrid DPT takes images of "
                "one size alone: use one with a plain vision transformer"
            )

    @staticmethod
    def class_logits(network: DPTForSemanticSegmentation, pixels: torch.Tensor) -> torch.Tensor:
        """Class logits ``[N, C, H', W']`` of an input ``[N, 3, H', W']``."""
        config = network.config
        states = network.dpt(pixels, output_hidden_states=True).hidden_states[1:]
        patches = (side // config.patch_size for side in pixels.shape[2:])
        features = network.neck([states[index] for index in sorted(config.backbone_out_indices)], *patches)
        return network.head(features)
