"""What a Mask2Former makes of a batch, with gradients: by the network of ``transformers``, or faster where that can be."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mpvss_model.segmentor.mask2former.training_network import Predictions, TrainedMask2Former

__all__ = ["Predictor", "key_frame_predictions"]


class Predictor:
    """Runs a ``Mask2FormerForUniversalSegmentation`` on batches of normalised frames ``[B, 3, H, W]``.

    Not a module: it owns no weights to train or save.

    Args:
        model: The network. It may be moved to its device until the first batch.
        norms_are_frozen: Whether its batch norms keep their statistics and weights, in evaluation mode.
        only_heads: Whether gradients are for its class and mask heads alone.
    """

    def __init__(self, model: nn.Module, *, norms_are_frozen: bool, only_heads: bool = False) -> None:
        self._model = model
        self._norms_are_frozen = norms_are_frozen
        self._only_heads = only_heads
        self._fast: TrainedMask2Former | None = None

    def train(self, mode: bool) -> None:
        """Follow the network into training or evaluation mode."""
        if self._fast is not None:
            self._fast.train(mode)

    def __call__(self, pixel_values: torch.Tensor) -> Predictions:
        """Predict masks and classes on normalised frames, float32 ``[B, 3, H, W]``; see `Predictions`."""
        fast = self._fast_network()
        if fast is None:
            return key_frame_predictions(self._model, pixel_values)
        return fast.predictions(pixel_values, only_heads=self._only_heads)

    def feature_maps(self, pixel_values: torch.Tensor) -> Sequence[torch.Tensor]:
        """The backbone's, from fine to coarse."""
        fast = self._fast_network()
        if fast is None:
            return self._model.model.pixel_level_module.encoder(pixel_values).feature_maps
        return fast.feature_maps(pixel_values)

    def _fast_network(self) -> TrainedMask2Former | None:
        if self._fast is None and TrainedMask2Former.can_replace(self._model):
            self._fast = TrainedMask2Former(self._model, norms_are_frozen=self._norms_are_frozen)
        return self._fast


def key_frame_predictions(model: nn.Module, pixel_values: torch.Tensor) -> Predictions:
    """Run a ``Mask2FormerForUniversalSegmentation`` as it is on normalised frames ``[B, 3, H, W]``."""
    outputs = model.model(pixel_values, output_hidden_states=True)
    queries = [states.transpose(0, 1) for states in outputs.transformer_decoder_intermediate_states]
    return Predictions(outputs.masks_queries_logits, [model.class_predictor(layer) for layer in queries], queries[-1])
