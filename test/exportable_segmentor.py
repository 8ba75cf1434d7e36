"""A segmentor that can be exported in milliseconds: a robot is what is bright."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from mpvss_model.image import FramePadding
from test.new_segmentor import BrightnessSegmentor


class BrightnessNetwork(nn.Module):
    """What `BrightnessSegmentor.segment` computes, for frames of one size."""

    def __init__(self, padding: FramePadding, num_classes: int, threshold: float) -> None:
        super().__init__()
        self._padding = padding
        self._threshold = threshold
        self.register_buffer("class_logits", 9 * torch.eye(2, num_classes + 1))

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        gray = self._padding.pad(frames.float().mean(dim=-1).unsqueeze(1))
        bright = (F.avg_pool2d(gray, 4) - self._threshold) / 8
        queries = bright.flatten(1)[:, :16].unflatten(1, (2, 8)) * 0
        return torch.cat([-bright, bright], dim=1), self.class_logits + queries[:, :, :1], queries


class ExportableBrightness(BrightnessSegmentor):
    """Offers its network for export.

    Attributes:
        exported_threshold: Of the network that it offers, which should be its own.
    """

    def __init__(self, name: str, class_names: tuple[str, ...], threshold: float) -> None:
        super().__init__(name, class_names, threshold)
        self.exported_threshold = threshold

    def exportable(self, frame_size: tuple[int, int]) -> BrightnessNetwork:
        return BrightnessNetwork(FramePadding(*frame_size), len(self.class_names), self.exported_threshold)
