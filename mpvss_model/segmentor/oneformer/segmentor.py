"""Key frames by any OneFormer checkpoint of ``transformers``."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn
from transformers import OneFormerConfig, OneFormerForUniversalSegmentation

from mpvss_model.runtime.content_digest import content_digest
from mpvss_model.segmentor.families.query_based import QueryBasedSegmentor, QueryOutput
from mpvss_model.segmentor.image_processing.size_rule import SizeRule
from mpvss_model.segmentor.oneformer.task_tokens import task_tokens

__all__ = ["OneFormerSegmentor"]


class OneFormerSegmentor(QueryBasedSegmentor[OneFormerForUniversalSegmentation]):
    """A `KeyFrameSegmentor` around ``OneFormerForUniversalSegmentation``, which is told to segment classes.

    Args:
        tokens: What tells it so, see `task_tokens`.
        **network: As of `TransformersSegmentor`.
    """

    network_class = OneFormerForUniversalSegmentation
    unread: ClassVar = r"^criterion\.|^model\.text_mapper\."
    needs_values = True
    part_names: ClassVar = {
        "backbone": "model.pixel_level_module.encoder",
        "pixel decoder": "model.pixel_level_module.decoder",
    }

    def __init__(self, *, tokens: torch.Tensor, **network: Any) -> None:
        super().__init__(**network)
        self._tokens = tokens.to(self.device)

    @classmethod
    def check_config(cls, config: OneFormerConfig, rule: SizeRule, name_or_dir: str) -> None:
        """Leave out what is for training alone: dropout, and the texts that classes are compared with."""
        config.is_training = False

    @classmethod
    def settings_of(cls, name_or_dir: str, config: OneFormerConfig, rule: SizeRule) -> dict[str, Any]:
        """The task in the words of the checkpoint's tokenizer."""
        return {"tokens": task_tokens(name_or_dir, config.task_seq_len)}

    def accelerate(self, dtype: torch.dtype) -> None:
        """Run in some floating-point type from now on, after the task has been read: half precision cannot count so far."""
        model = self.model.model
        if not isinstance(model.task_encoder, _KnownTask):
            with torch.inference_mode():
                model.task_encoder = _KnownTask(model.task_encoder, self._tokens)
        super().accelerate(dtype)

    def digest(self) -> bytes:
        """Changes with weights, configuration, image statistics and the tokenizer's numbers."""
        return content_digest(super().digest(), self._tokens.tolist())

    def output(self, network: OneFormerForUniversalSegmentation, pixels: torch.Tensor) -> QueryOutput:
        """Masks, classes and vectors of the queries after the last decoder layer."""
        found = network.model(pixels, self._tokens.to(pixels.device).expand(pixels.shape[0], -1), output_hidden_states=False)
        norm = network.model.transformer_module.decoder.decoder_norm
        return QueryOutput(
            found.transformer_decoder_mask_predictions,
            found.transformer_decoder_class_predictions,
            norm(found.transformer_decoder_object_queries),
        )

    @property
    def num_queries(self) -> int:
        """How many masks a key frame has."""
        return self.model.config.num_queries


class _KnownTask(nn.Module):
    """Stands for the part that makes a vector of a task, and knows that of one task already."""

    def __init__(self, encoder: nn.Module, tokens: torch.Tensor) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("vector", encoder(tokens.to(next(encoder.parameters()).dtype)))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """``[1, d]``, whatever the tokens."""
        return self.vector
