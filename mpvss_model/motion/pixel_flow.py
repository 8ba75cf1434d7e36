"""Pixel-wise branch: one flow field for the whole frame, coarse to fine (MPVSS, section 3.2; FlowNetS)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from mpvss_model.motion.config import MotionConfig
from mpvss_model.motion.encoder import LEAKY_SLOPE

__all__ = ["PixelFlowHead"]


class UpsamplingStep(nn.Module):
    """Predicts flow at one level, and carries features and flow to the next finer one.

    Args:
        channels_in: Of the level's features.
        channels_out: Of the upsampled features.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.predict_flow = nn.Conv2d(channels_in, 2, 3, padding=1, bias=False)
        self.upsample_flow = nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1, bias=False)
        self.deconv = nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1, bias=False)
        nn.init.kaiming_normal_(self.deconv.weight, a=LEAKY_SLOPE)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """``[B, channels_in, h, w]`` and the finer ``[B, S, 2h, 2w]`` -> ``[B, S + channels_out + 2, 2h, 2w]``.

        The finer level may be one pixel smaller than twice the coarser one.
        """
        height, width = skip.shape[-2:]
        flow = self.upsample_flow(self.predict_flow(x))
        features = F.leaky_relu(self.deconv(x), LEAKY_SLOPE)
        return torch.cat([skip, features[..., :height, :width], flow[..., :height, :width]], dim=1)


class PixelFlowHead(nn.Module):
    """Flow from the current frame to the key frame; zero until it is trained.

    Args:
        config: Sizes.
    """

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        d = config.hidden_size
        skip_channels = (d, d, config.encoder_channels[2], config.encoder_channels[1])
        self.steps = nn.ModuleList()
        channels = d
        for skip, upsampled in zip(skip_channels, config.upsampled_channels, strict=True):
            self.steps.append(UpsamplingStep(channels, upsampled))
            channels = skip + upsampled + 2
        self.predict_flow = nn.Conv2d(channels, 2, 3, padding=1, bias=False)
        nn.init.zeros_(self.predict_flow.weight)

    def forward(self, pyramid: list[torch.Tensor]) -> torch.Tensor:
        """Refined ``conv6``, ``conv5``, ``conv4``, then ``conv3`` and ``conv2`` -> flow ``[B, 2, H'/8, W'/8]``.

        The flow is in pixels of its own grid, x then y.
        """
        x, *skips = pyramid
        for step, skip in zip(self.steps, skips, strict=True):
            x = step(x, skip)
        return self.predict_flow(x)
