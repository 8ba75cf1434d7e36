"""Networks of families as modules for export, which take batches."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_utils import PreTrainedModel

from mpvss_model.image import MASK_STRIDE
from mpvss_model.segmentor.families.class_masks import class_logits_of_masks, masks_of_class_logits
from mpvss_model.segmentor.families.known_pooling import KnownPooling

__all__ = ["ExportablePerPixel", "ExportableQueryBased"]


class ExportablePerPixel(nn.Module):
    """A network that classifies pixels: each class is a mask, as `class_masks` makes it, and there are no query vectors.

    Args:
        network: Whose weights it shares.
        class_logits: From a network and normalised frames ``[N, 3, H', W']`` to class logits ``[N, C, h, w]``.
    """

    class_logits: torch.Tensor

    def __init__(
        self,
        network: PreTrainedModel,
        class_logits: Callable[[PreTrainedModel, torch.Tensor], torch.Tensor],
    ) -> None:
        super().__init__()
        self.network = network
        self._class_logits = class_logits
        classes = class_logits_of_masks(network.config.num_labels, torch.empty(0))
        self.register_buffer("class_logits", classes)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Normalised and padded frames ``[N, 3, H', W']`` -> masks, class logits and queries of `BaseSegmentor.exportable`."""
        with KnownPooling():
            logits = self._class_logits(self.network, pixels)
        size = tuple(int(side) // MASK_STRIDE for side in pixels.shape[2:])
        logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        masks = masks_of_class_logits(logits)
        nothing = masks[:, :, 0, :0]  # [N, C, 0]
        # Once for each frame, by way of values: the exporter takes zeros for a constant, and the number of frames with them.
        return masks, self.class_logits + 0 * masks[:, :1, :1, 0], nothing


class ExportableQueryBased(nn.Module):
    """A network that classifies queries.

    Args:
        network: Whose weights it shares.
        output: From a network and normalised frames ``[N, 3, H', W']`` to masks, class logits and queries.
    """

    def __init__(
        self, network: PreTrainedModel, output: Callable[[PreTrainedModel, torch.Tensor], tuple[torch.Tensor, ...]]
    ) -> None:
        super().__init__()
        self.network = network
        self._output = output

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Normalised and padded frames ``[N, 3, H', W']`` -> masks, class logits and queries of `BaseSegmentor.exportable`."""
        return tuple(self._output(self.network, pixels))
