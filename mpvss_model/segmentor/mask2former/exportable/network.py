"""Mask2Former for export: the numbers of ``transformers``' network, for batches, in operators that other runtimes have.

What the network for inference leaves out (see `fast_network`) is left out here, too. Whatever depends on sizes alone is
computed while the network is traced, and so becomes a constant of the exported one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from transformers import Mask2FormerForUniversalSegmentation

from mpvss_model.position_encoding import sine_position_encoding
from mpvss_model.segmentor.mask2former.exportable.decoder_layer import decoder_layer
from mpvss_model.segmentor.mask2former.exportable.sampled_attention import SampledAttention, sample_centres

__all__ = ["ExportableMask2Former"]


class ExportableMask2Former(nn.Module):
    """Shares the weights of a Mask2Former, which stays as it is.

    Args:
        model: In evaluation mode, with norms after attention (as every published Mask2Former).
    """

    def __init__(self, model: Mask2FormerForUniversalSegmentation) -> None:
        super().__init__()
        pixel_level = model.model.pixel_level_module
        self.backbone = pixel_level.encoder
        self.pixel_decoder = _PixelDecoder(pixel_level.decoder)
        self.decoder = _MaskDecoder(model)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Segment normalised and padded frames ``[N, 3, h, w]``.

        Returns:
            Mask logits ``[N, Q, h/4, w/4]``, class logits ``[N, Q, C + 1]``, normed queries ``[N, Q, d]``.
        """
        return self.decoder(*self.pixel_decoder(self.backbone(pixels).feature_maps))


class _PixelDecoder(nn.Module):
    """Refines the three coarse feature maps together, then adds them to the fine ones from coarse to fine."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.input_projections = decoder.input_projections
        self.level_embed = decoder.level_embed
        self.layers = decoder.encoder.layers
        self.attentions = nn.ModuleList(SampledAttention(layer.self_attn) for layer in self.layers)
        self.lateral_convolutions = nn.ModuleList(decoder.lateral_convolutions)
        self.output_convolutions = nn.ModuleList(decoder.output_convolutions)
        self.mask_projection = decoder.mask_projection

    def forward(self, features: tuple[torch.Tensor, ...]) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Feature maps at 1/4 .. 1/32 -> those at 1/32, 1/16, 1/8 refined, and mask features at 1/4, ``[N, d, h, w]``."""
        levels = [project(x) for project, x in zip(self.input_projections, reversed(features), strict=False)]
        sizes = [_size(level) for level in levels]
        x = torch.cat([_tokens(level) for level in levels], dim=1)  # [N, S, d]
        encodings = [_encoding(size, x) + embed for size, embed in zip(sizes, self.level_embed, strict=True)]
        positions = torch.cat(encodings)
        centres = sample_centres(sizes, self.attentions[0].num_heads * len(sizes) * self.attentions[0].num_points, x)
        for attention, layer in zip(self.attentions, self.layers, strict=True):
            x = layer.self_attn_layer_norm(attention(x, x + positions, sizes, centres) + x)
            x = layer.final_layer_norm(layer.fc2(layer.fc1(x).relu()) + x)
        levels = x.split([height * width for height, width in sizes], dim=1)
        maps = [tokens.transpose(1, 2).unflatten(2, size) for tokens, size in zip(levels, sizes, strict=True)]
        finest = maps[-1]
        fine_features = reversed(features[: len(self.lateral_convolutions)])
        for lateral, output, fine in zip(self.lateral_convolutions, self.output_convolutions, fine_features, strict=True):
            finest = output(lateral(fine) + _resized(finest, _size(fine)))
        return maps, self.mask_projection(finest)


class _MaskDecoder(nn.Module):
    """Queries attend to one level's pixels after the other, each within its own mask so far."""

    def __init__(self, model: Mask2FormerForUniversalSegmentation) -> None:
        super().__init__()
        module = model.model.transformer_module
        self.queries_features = module.queries_features
        self.queries_embedder = module.queries_embedder
        self.input_projections = nn.ModuleList(module.input_projections)
        self.level_embed = module.level_embed
        self.layers = module.decoder.layers
        self.norm = module.decoder.layernorm
        self.mask_embedder = module.decoder.mask_predictor.mask_embedder
        self.class_predictor = model.class_predictor

    def forward(
        self, maps: list[torch.Tensor], mask_features: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """From the pixel decoder's feature maps."""
        values, keys, reduced = [], [], []
        for feature, project, embed in zip(maps, self.input_projections, self.level_embed.weight, strict=True):
            values.append(_tokens(project(feature)) + embed)
            keys.append(values[-1] + _encoding(_size(feature), values[-1]))
            reduced.append(_resized(mask_features, _size(feature)).flatten(2))  # [N, d, h_l * w_l]
        x = self.queries_features.weight + torch.zeros_like(mask_features[:, :1, :1, 0])  # [N, Q, d]
        for i, layer in enumerate(self.layers):
            level = i % len(maps)
            visible = self.mask_embedder(self.norm(x)) @ reduced[level] >= 0
            visible = visible | ~visible.any(dim=-1, keepdim=True)
            x = decoder_layer(layer, x, self.queries_embedder.weight, keys[level], values[level], visible)
        queries = self.norm(x)
        masks = self.mask_embedder(queries) @ mask_features.flatten(2)
        return masks.unflatten(2, _size(mask_features)), self.class_predictor(queries), queries


def _size(feature_map: torch.Tensor) -> tuple[int, int]:
    """Height and width as plain numbers, which tracing does not follow."""
    return int(feature_map.shape[-2]), int(feature_map.shape[-1])


def _tokens(feature_map: torch.Tensor) -> torch.Tensor:
    """``[N, d, h, w]`` -> ``[N, h * w, d]``."""
    return feature_map.flatten(2).transpose(1, 2)


def _resized(feature_map: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(feature_map, size=size, mode="bilinear", align_corners=False)


def _encoding(size: tuple[int, int], like: torch.Tensor) -> torch.Tensor:
    """The position encoding of a level's pixels, ``[h * w, d]``, for tokens ``[N, S, d]``."""
    return sine_position_encoding(*size, like=torch.empty(1, int(like.shape[-1]), dtype=like.dtype, device=like.device))
