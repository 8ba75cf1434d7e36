"""Key frames by any MaskFormer checkpoint of ``transformers``."""

from __future__ import annotations

from typing import ClassVar

import torch
from transformers import MaskFormerForInstanceSegmentation

from mpvss_model.segmentor.families.query_based import QueryBasedSegmentor, QueryOutput

__all__ = ["MaskFormerSegmentor"]


class MaskFormerSegmentor(QueryBasedSegmentor[MaskFormerForInstanceSegmentation]):
    """A `KeyFrameSegmentor` around ``MaskFormerForInstanceSegmentation``, of which semantic checkpoints are, too."""

    network_class = MaskFormerForInstanceSegmentation
    part_names: ClassVar = {
        "backbone": "model.pixel_level_module.encoder",
        "pixel decoder": "model.pixel_level_module.decoder",
    }

    def output(self, network: MaskFormerForInstanceSegmentation, pixels: torch.Tensor) -> QueryOutput:
        """Masks, classes and vectors of the queries after the last decoder layer."""
        found = network.model(pixels)
        queries = found.transformer_decoder_last_hidden_state
        masks = torch.einsum("nqd,ndhw->nqhw", network.mask_embedder(queries), found.pixel_decoder_last_hidden_state)
        return QueryOutput(masks, network.class_predictor(queries), queries)

    @property
    def num_queries(self) -> int:
        """How many masks a key frame has."""
        return self.model.config.decoder_config.num_queries
