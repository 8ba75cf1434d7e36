"""Mask2Former in training on a CPU: the numbers of ``transformers``' network, and its gradients, in a fraction of the time.

What the network for inference saves (see `fast_network`) is saved here, too, as far as training allows it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from transformers import Mask2FormerForUniversalSegmentation

from mpvss_model.position_encoding import sine_position_encoding
from mpvss_model.runtime.precision import at_least_float32
from mpvss_model.segmentor.mask2former.deformable_attention import SamplingGrid
from mpvss_model.segmentor.mask2former.exportable.decoder_layer import decoder_layer
from mpvss_model.segmentor.mask2former.training_attention import TrainedDeformableAttention
from mpvss_model.segmentor.mask2former.training_convolutions import TrainedLinear, prepare_trained_convolutions

__all__ = ["Predictions", "TrainedMask2Former"]

KEPT_SIZES = 4


class Predictions(NamedTuple):
    """What a Mask2Former makes of a batch of frames, in every decoder layer, the last one last.

    Attributes:
        mask_logits: ``[B, Q, H/4, W/4]`` each.
        class_logits: ``[B, Q, C + 1]`` each.
        queries: ``[B, Q, d]``, the vectors that the last class logits were read from.
    """

    mask_logits: Sequence[torch.Tensor]
    class_logits: Sequence[torch.Tensor]
    queries: torch.Tensor


class TrainedMask2Former:
    """Computes what `key_frame_predictions` does with the parameters of a Mask2Former, which it shares.

    Not a module: the parameters belong to the network that it was made from, which is trained, saved and loaded as ever.

    Args:
        model: On the CPU.
        norms_are_frozen: Whether its batch norms keep their statistics and weights; they must be in evaluation mode then.
    """

    def __init__(self, model: Mask2FormerForUniversalSegmentation, *, norms_are_frozen: bool) -> None:
        network = _sharing_parameters(model)
        pixel_level = network.model.pixel_level_module
        prepare_trained_convolutions(network, norms_are_frozen=norms_are_frozen)
        self._network = network
        self._frozen_norms = [m for m in network.modules() if norms_are_frozen and isinstance(m, nn.BatchNorm2d)]
        self._backbone = pixel_level.encoder
        self._pixel_decoder = _PixelDecoder(pixel_level.decoder)
        self._decoder = _MaskDecoder(network)

    @staticmethod
    def can_replace(model: Mask2FormerForUniversalSegmentation) -> bool:
        """Whether a network runs on a CPU and is built as the published ones are."""
        return model.device.type == "cpu" and not model.config.pre_norm and not model.config.dropout

    def train(self, mode: bool) -> None:
        """Put what depends on it (unfrozen norms, dropped paths of a Swin) into training or evaluation mode."""
        self._network.train(mode)
        for norm in self._frozen_norms:
            norm.eval()

    def feature_maps(self, pixel_values: torch.Tensor) -> Sequence[torch.Tensor]:
        """The backbone's, of normalised frames ``[B, 3, H, W]``: ``[B, C_i, H / s_i, W / s_i]``, from fine to coarse."""
        return self._backbone(pixel_values.contiguous(memory_format=torch.channels_last)).feature_maps

    def predictions(self, pixel_values: torch.Tensor, *, only_heads: bool = False) -> Predictions:
        """Run on normalised frames ``[B, 3, H, W]``.

        Args:
            pixel_values: float32.
            only_heads: Whether gradients are for the class and mask heads alone.
        """
        heads_learn = torch.is_grad_enabled()
        with torch.set_grad_enabled(heads_learn and not only_heads):
            maps, mask_features = self._pixel_decoder(self.feature_maps(pixel_values))
            queries, masks = self._decoder.layer_results(maps, mask_features, heads_learn=heads_learn)
        return Predictions(masks, [self._decoder.classes(layer) for layer in queries], queries[-1])


class _PixelDecoder:
    """Refines the three coarse feature maps together, then adds them to the fine ones from coarse to fine."""

    def __init__(self, decoder: nn.Module) -> None:
        self._decoder = decoder
        for layer in decoder.encoder.layers:
            layer.fc1, layer.fc2 = TrainedLinear(layer.fc1, has_relu=True), TrainedLinear(layer.fc2)
        self._attentions = [TrainedDeformableAttention(layer.self_attn) for layer in decoder.encoder.layers]
        self._lateral_convolutions = _named(decoder, "adapter", decoder.num_fpn_levels)
        self._output_convolutions = _named(decoder, "layer", decoder.num_fpn_levels)
        self._kept: dict[object, tuple[SamplingGrid, list[torch.Tensor]]] = {}

    def __call__(self, features: tuple[torch.Tensor, ...]) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Feature maps at 1/4 .. 1/32 -> those at 1/32, 1/16, 1/8 refined, and mask features at 1/4."""
        decoder = self._decoder
        levels = [project(x) for project, x in zip(decoder.input_projections, reversed(features), strict=False)]
        sizes = tuple(tuple(x.shape[-2:]) for x in levels)
        x = torch.cat([_tokens(level) for level in levels], dim=1)  # [B, S, d]
        grid, encodings = self._grid(sizes, x)
        positions = torch.cat([encoding + embed for encoding, embed in zip(encodings, decoder.level_embed, strict=True)])
        for attention, layer in zip(self._attentions, decoder.encoder.layers, strict=True):
            x = layer.self_attn_layer_norm(attention(x, x + positions, grid) + x)
            x = layer.final_layer_norm(layer.fc2(layer.fc1(x)) + x)
        levels = x.split([height * width for height, width in sizes], dim=1)
        maps = [tokens.unflatten(1, size).permute(0, 3, 1, 2) for tokens, size in zip(levels, sizes, strict=True)]
        finest = maps[-1]
        fine_features = reversed(features[: decoder.num_fpn_levels])
        for lateral, output, fine in zip(self._lateral_convolutions, self._output_convolutions, fine_features, strict=True):
            finer = F.interpolate(finest, size=fine.shape[-2:], mode="bilinear", align_corners=False)
            finest = output(lateral(fine) + finer)
        return maps, decoder.mask_projection(finest)

    def _grid(self, sizes: tuple[tuple[int, int], ...], like: torch.Tensor) -> tuple[SamplingGrid, list[torch.Tensor]]:
        if sizes not in self._kept:
            attention = self._attentions[0]
            like = at_least_float32(like)
            grid = SamplingGrid(sizes, attention.num_heads, attention.num_points, like.device, like.dtype)
            _keep(self._kept, sizes, (grid, [sine_position_encoding(*size, like=like) for size in sizes]))
        return self._kept[sizes]


class _MaskDecoder:
    """Queries attend to one level's pixels after the other, each within its own mask so far."""

    def __init__(self, network: nn.Module) -> None:
        self._module = network.model.transformer_module
        self._class_predictor = network.class_predictor
        self._mask_embedder = self._module.decoder.mask_predictor.mask_embedder
        self._encodings: dict[object, torch.Tensor] = {}

    def masks(self, queries: torch.Tensor, mask_features: torch.Tensor) -> torch.Tensor:
        """Mask logits ``[B, Q, h, w]`` of normed queries ``[B, Q, d]`` on mask features ``[B, d, h, w]``."""
        logits = self._mask_embedder(queries) @ _tokens(mask_features).transpose(1, 2)
        return logits.unflatten(2, mask_features.shape[-2:])

    def classes(self, queries: torch.Tensor) -> torch.Tensor:
        """Class logits ``[B, Q, C + 1]`` of normed queries ``[B, Q, d]``."""
        return self._class_predictor(queries)

    def layer_results(
        self, maps: list[torch.Tensor], mask_features: torch.Tensor, *, heads_learn: bool
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Normed queries ``[B, Q, d]``, and their masks, before the first layer and after each.

        With ``heads_learn``, masks have gradients for the mask head even where nothing else has.
        """
        module = self._module
        values, keys = [], []
        for feature, project, embed in zip(maps, module.input_projections, module.level_embed.weight, strict=True):
            values.append(_tokens(project(feature)) + embed)
            keys.append(values[-1] + self._encoding(tuple(feature.shape[-2:]), values[-1]))
        x = module.queries_features.weight.expand(len(mask_features), -1, -1)
        embed, norm = module.queries_embedder.weight, module.decoder.layernorm
        queries, masks = [], []
        for i in range(len(module.decoder.layers) + 1):
            queries.append(norm(x))
            with torch.set_grad_enabled(heads_learn):
                masks.append(self.masks(queries[-1], mask_features))
            if i < len(module.decoder.layers):
                level = i % len(maps)
                visible = _visible(masks[-1], maps[level].shape[-2:])
                x = decoder_layer(module.decoder.layers[i], x, embed, keys[level], values[level], visible)
        return queries, masks

    def _encoding(self, size: tuple[int, int], like: torch.Tensor) -> torch.Tensor:
        if size not in self._encodings:
            _keep(self._encodings, size, sine_position_encoding(*size, like=at_least_float32(like)), limit=3 * KEPT_SIZES)
        return self._encodings[size]


@torch.no_grad()
def _visible(mask_logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Which pixels of a level each query attends to, bool ``[B, Q, h * w]``: those of its mask, or all if it has none.

    Unlike at inference, masks are reduced and not what they are made of, so that pixels on the edge are those of
    ``transformers``.
    """
    small = F.interpolate(mask_logits, size=size, mode="bilinear", align_corners=False)
    visible = (small.sigmoid() >= 0.5).flatten(2)
    return visible | ~visible.any(dim=-1, keepdim=True)


def _sharing_parameters(model: nn.Module) -> nn.Module:
    """A copy of a network's structure around the same parameters and buffers."""
    shared = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in shared})


def _named(decoder: nn.Module, prefix: str, count: int) -> list[nn.Module]:
    """``prefix_count`` .. ``prefix_1``."""
    return [getattr(decoder, f"{prefix}_{i}") for i in range(count, 0, -1)]


def _tokens(feature_map: torch.Tensor) -> torch.Tensor:
    """``[B, d, h, w]`` -> ``[B, h * w, d]``."""
    return feature_map.permute(0, 2, 3, 1).flatten(1, 2)


def _keep(cache: dict, key: object, value: object, limit: int = KEPT_SIZES) -> None:
    """Remember a value by key, and forget the oldest beyond ``limit``."""
    while len(cache) >= limit:
        cache.pop(next(iter(cache)))
    cache[key] = value
