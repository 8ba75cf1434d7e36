"""Mask2Former for inference, one frame at a time: the numbers of ``transformers``' network with less work.

What is left out: the masks of all decoder layers but the last; class and mask heads of auxiliary outputs; masks at 1/4 that
are only used at 1/8 and below (bilinear reduction and mask prediction are linear, so that they may change places); position
encodings, which depend on the frame's size alone. Deformable attention is done by `DeformableAttention`, batch norms are
folded into convolutions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from transformers import Mask2FormerForUniversalSegmentation

from mpvss_model.position_encoding import sine_position_encoding
from mpvss_model.runtime.last_values import LastValues
from mpvss_model.segmentor.mask2former.convolutions import linear, prepare_convolutions
from mpvss_model.segmentor.mask2former.deformable_attention import DeformableAttention, SamplingGrid

__all__ = ["FastMask2Former", "SegmentedFrame"]

KEPT_SIZES = 4


class SegmentedFrame(NamedTuple):
    """Output for one frame: mask logits ``[Q, h/4, w/4]``, class logits ``[Q, C + 1]``, normed queries ``[Q, d]``."""

    mask_logits: torch.Tensor
    class_logits: torch.Tensor
    queries: torch.Tensor


class FastMask2Former(nn.Module):
    """Shares the weights of a Mask2Former, whose batch norms it folds; that one may not be trained afterwards.

    Args:
        model: In evaluation mode, with norms after attention (as every published Mask2Former).
    """

    def __init__(self, model: Mask2FormerForUniversalSegmentation) -> None:
        super().__init__()
        pixel_level = model.model.pixel_level_module
        self.backbone = pixel_level.encoder
        self.pixel_decoder = _PixelDecoder(pixel_level.decoder)
        self.decoder = _MaskDecoder(model)
        prepare_convolutions(self)
        # Convolutions run on the layout that images and tokens already have.
        self.to(memory_format=torch.channels_last)

    def forward(self, pixels: torch.Tensor) -> SegmentedFrame:
        """Segment one normalised and padded frame ``[1, 3, h, w]``."""
        maps, mask_features = self._pixel_level(pixels)
        dtype = _dtype(self.decoder)
        return self.decoder([x.to(dtype) for x in maps], mask_features.to(dtype))

    def layer_queries(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Normed queries before the first decoder layer and after each, ``[L, Q, d]``; mask features ``[1, d, h/4, w/4]``."""
        maps, mask_features = self._pixel_level(pixels)
        return torch.stack(self.decoder.layer_queries(maps, mask_features)), mask_features

    def _pixel_level(self, pixels: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        pixels = pixels.to(_dtype(self.backbone), memory_format=torch.channels_last)
        features, dtype = self.backbone(pixels).feature_maps, _dtype(self.pixel_decoder)
        return self.pixel_decoder(tuple(x.to(dtype) for x in features))


class _PixelDecoder(nn.Module):
    """Refines the three coarse feature maps together, then adds them to the fine ones from coarse to fine."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.input_projections = decoder.input_projections
        self.level_embed = decoder.level_embed
        self.attentions = nn.ModuleList(DeformableAttention(layer.self_attn) for layer in decoder.encoder.layers)
        self.layers = decoder.encoder.layers
        self.lateral_convolutions = nn.ModuleList(decoder.lateral_convolutions)
        self.output_convolutions = nn.ModuleList(decoder.output_convolutions)
        self.mask_projection = decoder.mask_projection
        self._grids: LastValues[tuple[SamplingGrid, torch.Tensor]] = LastValues(KEPT_SIZES)

    def forward(self, features: tuple[torch.Tensor, ...]) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Feature maps at 1/4 .. 1/32 -> those at 1/32, 1/16, 1/8 refined, and mask features at 1/4, ``[1, d, h, w]``."""
        levels = [project(x) for project, x in zip(self.input_projections, reversed(features), strict=False)]
        sizes = tuple(tuple(x.shape[-2:]) for x in levels)
        x = torch.cat([_tokens(level) for level in levels])  # [S, d]
        grid, positions = self._grid(sizes, x)
        for attention, layer in zip(self.attentions, self.layers, strict=True):
            x = layer.self_attn_layer_norm(attention(x, x + positions, grid))
            hidden = linear(x, layer.fc1.weight, layer.fc1.bias, "relu")
            x = layer.final_layer_norm(linear(hidden, layer.fc2.weight, layer.fc2.bias, added=x))
        levels = x.split([height * width for height, width in sizes])
        maps = [tokens.view(1, *size, -1).permute(0, 3, 1, 2) for tokens, size in zip(levels, sizes, strict=True)]
        finest = maps[-1]
        num_fine = len(self.lateral_convolutions)
        for lateral, output, fine in zip(
            self.lateral_convolutions, self.output_convolutions, reversed(features[:num_fine]), strict=True
        ):
            fine = lateral(fine)
            finest = output(fine.add_(F.interpolate(finest, size=fine.shape[-2:], mode="bilinear", align_corners=False)))
        return maps, self.mask_projection(finest)

    def _grid(self, sizes: tuple[tuple[int, int], ...], like: torch.Tensor) -> tuple[SamplingGrid, torch.Tensor]:
        def make() -> tuple[SamplingGrid, torch.Tensor]:
            positions = torch.cat(
                [sine_position_encoding(*size, like=like) + embed for size, embed in zip(sizes, self.level_embed, strict=True)]
            )
            attention = self.attentions[0]
            return SamplingGrid(sizes, attention.num_heads, attention.num_points, like.device), positions

        return self._grids.get((sizes, like.device, like.dtype), make)


class _MaskDecoder(nn.Module):
    """Queries attend to one level's pixels after the other, each within its own mask so far."""

    def __init__(self, model: Mask2FormerForUniversalSegmentation) -> None:
        super().__init__()
        module = model.model.transformer_module
        self.queries_features = module.queries_features
        self.queries_embedder = module.queries_embedder
        self.input_projections = nn.ModuleList(module.input_projections)
        self.level_embed = module.level_embed
        self.layers = nn.ModuleList(_DecoderLayer(layer) for layer in module.decoder.layers)
        self.norm = module.decoder.layernorm
        self.mask_embedder = module.decoder.mask_predictor.mask_embedder
        self.class_predictor = model.class_predictor
        self._positions: LastValues[torch.Tensor] = LastValues(3 * KEPT_SIZES)

    def forward(self, maps: list[torch.Tensor], mask_features: torch.Tensor) -> SegmentedFrame:
        """From the pixel decoder's feature maps."""
        queries = self.layer_queries(maps, mask_features)[-1]
        masks = self.mask_embedder(queries) @ _tokens(mask_features).t()
        return SegmentedFrame(masks.unflatten(1, mask_features.shape[-2:]), self.class_predictor(queries), queries)

    def layer_queries(self, maps: list[torch.Tensor], mask_features: torch.Tensor) -> list[torch.Tensor]:
        """Normed queries ``[Q, d]`` before the first layer and after each."""
        values, keys, reduced = [], [], []
        for feature, project, embed in zip(maps, self.input_projections, self.level_embed.weight, strict=True):
            values.append(_tokens(project(feature)) + embed)
            keys.append(values[-1] + self._position(tuple(feature.shape[-2:]), values[-1]))
            small = F.interpolate(mask_features, size=feature.shape[-2:], mode="bilinear", align_corners=False)
            reduced.append(_tokens(small).t())  # [d, h_l * w_l]
        x, embed = self.queries_features.weight, self.queries_embedder.weight
        queries = [self.norm(x)]
        for i, layer in enumerate(self.layers):
            level = i % len(maps)
            visible = self.mask_embedder(queries[-1]) @ reduced[level] >= 0
            visible |= ~visible.any(dim=-1, keepdim=True)
            x = layer(x, embed, keys[level], values[level], visible)
            queries.append(self.norm(x))
        return queries

    def _position(self, size: tuple[int, int], like: torch.Tensor) -> torch.Tensor:
        return self._positions.get((size, like.device, like.dtype), lambda: sine_position_encoding(*size, like=like))


class _DecoderLayer(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(
        self, x: torch.Tensor, embed: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, visible: torch.Tensor
    ) -> torch.Tensor:
        """Queries ``[Q, d]`` after attention to pixels ``[S, d]``, where ``visible`` (``[Q, S]``), and to each other."""
        layer, cross, own = self.layer, self.layer.cross_attn, self.layer.self_attn
        weights = zip((x + embed, keys, values), cross.in_proj_weight.chunk(3), cross.in_proj_bias.chunk(3), strict=True)
        attended = _attention(*(F.linear(*arguments) for arguments in weights), cross.num_heads, visible)
        x = layer.cross_attn_layer_norm(x + cross.out_proj(attended))
        located = x + embed
        attended = _attention(own.q_proj(located), own.k_proj(located), own.v_proj(x), own.num_heads)
        x = layer.self_attn_layer_norm(x + own.out_proj(attended))
        return layer.final_layer_norm(x + layer.fc2(layer.activation_fn(layer.fc1(x))))


def _attention(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, num_heads: int, visible: torch.Tensor | None = None
) -> torch.Tensor:
    """Multi-head attention of ``[Q, d]`` to ``[S, d]``."""
    heads = (x.unflatten(1, (num_heads, -1)).transpose(0, 1).unsqueeze(0) for x in (queries, keys, values))
    mask = None if visible is None else visible[None, None]
    return F.scaled_dot_product_attention(*heads, attn_mask=mask)[0].transpose(0, 1).flatten(1)


def _dtype(part: nn.Module) -> torch.dtype:
    return next(part.parameters()).dtype


def _tokens(feature_map: torch.Tensor) -> torch.Tensor:
    """``[1, d, h, w]`` -> ``[h * w, d]``."""
    return feature_map[0].permute(1, 2, 0).flatten(0, 1)
