"""Motion decoder: queries and encoder features attend to each other (MPVSS, section 3.2)."""

from __future__ import annotations

import torch
from torch import nn

from mpvss_model.motion.config import MotionConfig
from mpvss_model.position_encoding import sine_position_encoding

__all__ = ["MotionDecoder"]

NUM_LEVELS = 3


class MotionDecoder(nn.Module):
    """Transformer whose layers cycle through three feature levels, coarse to fine.

    Each layer runs self-attention over the queries and one level's pixels together. As in the released code, the query
    embedding and the position encoding are added to the tokens before every layer, and so accumulate in the residual stream.

    Args:
        config: Sizes.
    """

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        d = config.hidden_size
        self.query_proj = nn.Identity() if config.query_size == d else nn.Linear(config.query_size, d)
        self.query_embed = nn.Embedding(config.num_queries, d)
        self.level_embed = nn.Embedding(NUM_LEVELS, d)
        # As released: features that already have the decoder's channels are not projected.
        self.input_proj = nn.ModuleList(
            nn.Identity() if channels == d else nn.Conv2d(channels, d, 1)
            for channels in config.encoder_channels[: -NUM_LEVELS - 1 : -1]
        )
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(d, config.num_heads, config.ffn_size, dropout=0.0, batch_first=True)
            for _ in range(config.num_layers)
        )

    def forward(self, features: list[torch.Tensor], queries: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Exchange information between queries and features.

        Args:
            features: Of ``conv6``, ``conv5``, ``conv4``, each ``[B, C_i, h_i, w_i]``.
            queries: ``[B, Q, query_size]``, of the key frame after the segmentor's final norm.

        Returns:
            The refined features, ``[B, d, h_i, w_i]`` each, and queries, ``[B, Q, d]``.
        """
        pixels, positions = [], []
        for feature, project, level_embed in zip(features, self.input_proj, self.level_embed.weight, strict=True):
            pixels.append(project(feature).flatten(2).transpose(1, 2) + level_embed)  # [B, h_i * w_i, d]
            positions.append(sine_position_encoding(*feature.shape[-2:], like=pixels[-1]))
        queries = self.query_proj(queries)
        for i, layer in enumerate(self.layers):
            level = i % NUM_LEVELS
            tokens = torch.cat([queries + self.query_embed.weight, pixels[level] + positions[level]], dim=1)
            queries, pixels[level] = layer(tokens).tensor_split([queries.shape[1]], dim=1)
        maps = zip(pixels, features, strict=True)
        return [tokens.transpose(1, 2).unflatten(2, feature.shape[-2:]) for tokens, feature in maps], queries
