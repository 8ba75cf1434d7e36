"""EoMT for export, with the frame's squares, for batches."""

from __future__ import annotations

import torch
from torch import nn
from transformers import EomtDinov3ForUniversalSegmentation, EomtForUniversalSegmentation

from mpvss_model.segmentor.eomt.known_resizing import KnownResizing
from mpvss_model.segmentor.eomt.squares import Squares
from mpvss_model.segmentor.families.class_masks import class_logits_of_masks, masks_of_class_scores

__all__ = ["ExportableEomt"]


class ExportableEomt(nn.Module):
    """From frames as they are to what `EomtSegmentor.segment` finds in them; shares the network's weights.

    Args:
        network: In evaluation mode.
        squares: Of the frames.
        image_mean: RGB mean on the 0..1 scale.
        image_std: RGB standard deviation on the 0..1 scale.
    """

    mean: torch.Tensor
    std: torch.Tensor
    classes: torch.Tensor

    def __init__(
        self,
        network: EomtForUniversalSegmentation | EomtDinov3ForUniversalSegmentation,
        squares: Squares,
        *,
        image_mean: tuple[float, ...],
        image_std: tuple[float, ...],
    ) -> None:
        super().__init__()
        self.network = network
        self.squares = squares
        self.resizing = KnownResizing(squares.frame_size, squares.image_size)
        self.register_buffer("mean", torch.tensor(image_mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(image_std).view(1, 3, 1, 1) * 255)
        self.register_buffer("classes", class_logits_of_masks(network.config.num_labels, torch.empty(0)))

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """uint8 RGB ``[N, H, W, 3]`` -> masks, class logits and queries of `BaseSegmentor.exportable`."""
        images = self.resizing(frames.to(self.mean.dtype).permute(0, 3, 1, 2))
        count = len(self.squares.starts_px)
        found = self.network(self.squares.cut((images - self.mean) / self.std))
        masks, inside = self.squares.in_frame(found.masks_queries_logits.unflatten(0, (count, -1)))
        if count == 1:
            return masks[0], found.class_queries_logits, found.last_hidden_state[:, : self.network.config.num_queries]
        probabilities = found.class_queries_logits.softmax(dim=-1)[..., :-1].unflatten(0, (count, -1))
        # Logarithms are taken of the scores, also of small ones, which ONNX Runtime's own sigmoid takes for 0.
        sigmoid = 1 / (1 + (-masks).exp())
        scores = torch.einsum("knqc,knqhw->knchw", probabilities, sigmoid) * inside[:, None, None]
        of_classes = masks_of_class_scores(scores.sum(dim=0) / inside.sum(dim=0).clamp(min=1))
        nothing = of_classes[:, :, 0, :0]  # [N, C, 0]
        # Once for each frame, by way of values: the exporter takes zeros for a constant, and the number of frames with them.
        return of_classes, self.classes + 0 * of_classes[:, :1, :1, 0], nothing
