"""A Mask2Former of which only the heads are trained, on a CPU: several times faster than the network of ``transformers``."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

from mpvss_model.segmentor.mask2former.fast_network import FastMask2Former

__all__ = ["FrozenSegmentor"]


class FrozenSegmentor:
    """Computes what `stages.key_frame_predictions` does, frame by frame, with gradients for the heads only.

    Not a module: it owns no weights to train or save. The heads are the model's own; everything else is a copy.

    Args:
        model: A ``Mask2FormerForUniversalSegmentation`` in evaluation mode, with norms after attention.
    """

    def __init__(self, model: nn.Module) -> None:
        self._network = FastMask2Former(copy.deepcopy(model).requires_grad_(False))
        self._mask_head = model.model.transformer_module.decoder.mask_predictor.mask_embedder
        self._class_head = model.class_predictor
        # Attention looks where the masks so far are.
        self._network.decoder.mask_embedder = self._mask_head

    def predictions(self, pixel_values: torch.Tensor) -> tuple[Sequence[torch.Tensor], Sequence[torch.Tensor], torch.Tensor]:
        """Run on normalised frames ``[B, 3, H, W]``.

        Returns:
            As `key_frame_predictions`.
        """
        with torch.no_grad():
            frames = [self._network.layer_queries(frame) for frame in pixel_values.split(1)]
            queries = torch.stack([queries for queries, _ in frames], dim=1)  # [L, B, Q, d]
            mask_features = torch.cat([features for _, features in frames])  # [B, d, H/4, W/4]
        masks = torch.einsum("lbqc,bchw->lbqhw", self._mask_head(queries), mask_features)
        return masks.unbind(), self._class_head(queries).unbind(), queries[-1]
