"""Where each tensor of our model lies in a checkpoint of the authors' code (detectron2 names)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["ReleasedTensor", "is_ignored", "released_tensor"]

BACKBONE = r"segmentor\.model\.pixel_level_module\.encoder\."
PIXEL_DECODER = r"segmentor\.model\.pixel_level_module\.decoder\."
TRANSFORMER = r"segmentor\.model\.transformer_module\."
PREDICTOR = "sem_seg_head.predictor."
RELEASED_PIXEL_LAYER = "sem_seg_head.pixel_decoder.transformer.encoder.layers."
SWIN_BLOCK = BACKBONE + r"swin\.encoder\.layers\.(\d+)\.blocks\.(\d+)\."
RESNET_LAYER = BACKBONE + r"encoder\.stages\.(\d+)\.layers\.(\d+)\."
PIXEL_LAYER = PIXEL_DECODER + r"encoder\.layers\.(\d+)\."
DECODER_LAYER = TRANSFORMER + r"decoder\.layers\.(\d+)\."
MOTION_LAYER = r"motion\.decoder\.layers\.(\d+)\."

IGNORED = re.compile(r"criterion\..*|.*\.relative_position_index|.*\.num_batches_tracked")
# Ours that no released checkpoint has: they are computed from the configuration, or never read.
WITHOUT_SOURCE = re.compile(rf"segmentor\.criterion\.empty_weight|.*\.num_batches_tracked|{BACKBONE}swin\.layernorm\..*")


@dataclass(frozen=True)
class ReleasedTensor:
    """A tensor of a released checkpoint, or one of ``parts`` equal slices of it along the first dimension."""

    name: str
    part: int = 0
    parts: int = 1


def _plus(offset: int, template: str) -> Callable[[re.Match[str]], str]:
    """A replacement with the first group's number increased by ``offset``."""
    return lambda match: template.format(int(match[1]) + offset, *match.groups()[1:])


def _minus(minuend: int, template: str) -> Callable[[re.Match[str]], str]:
    """A replacement with the first group's number subtracted from ``minuend``."""
    return lambda match: template.format(minuend - int(match[1]), *match.groups()[1:])


def _halved(template: str) -> Callable[[re.Match[str]], str]:
    """A replacement with half the first group's number: the place of a linear layer between activations."""
    return lambda match: template.format(int(match[1]) // 2, *match.groups()[1:])


def _conv_norm(match: re.Match[str]) -> str:
    """A convolution of a ResNet and its norm, which detectron2 keeps inside the convolution."""
    stage, layer, branch, conv, part, tensor = match.groups()
    module = "shortcut" if branch == "shortcut" else f"conv{int(conv) + 1}"
    return f"backbone.res{int(stage) + 2}.{layer}.{module}.{'norm.' if part == 'normalization' else ''}{tensor}"


# (our name, the released name), tried in this order; a rule must match the whole name.
RULES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (BACKBONE + r"swin\.embeddings\.patch_embeddings\.projection\.(\w+)", r"backbone.patch_embed.proj.\1"),
        (BACKBONE + r"swin\.embeddings\.norm\.(\w+)", r"backbone.patch_embed.norm.\1"),
        (SWIN_BLOCK + r"layernorm_before\.(\w+)", r"backbone.layers.\1.blocks.\2.norm1.\3"),
        (SWIN_BLOCK + r"layernorm_after\.(\w+)", r"backbone.layers.\1.blocks.\2.norm2.\3"),
        (SWIN_BLOCK + r"attention\.relative_position_bias\.(\w+)", r"backbone.layers.\1.blocks.\2.attn.\3"),
        (SWIN_BLOCK + r"attention\.qkv\.(\w+)", r"backbone.layers.\1.blocks.\2.attn.qkv.\3"),
        (SWIN_BLOCK + r"attention\.o_proj\.(\w+)", r"backbone.layers.\1.blocks.\2.attn.proj.\3"),
        (SWIN_BLOCK + r"mlp\.(\w+)\.(\w+)", r"backbone.layers.\1.blocks.\2.mlp.\3.\4"),
        (BACKBONE + r"swin\.encoder\.layers\.(\d+)\.downsample\.(\w+)\.(\w+)", r"backbone.layers.\1.downsample.\2.\3"),
        (BACKBONE + r"hidden_states_norms\.stage(\d+)\.(\w+)", _plus(-1, "backbone.norm{}.{}")),
        (BACKBONE + r"embedder\.embedder\.convolution\.(\w+)", r"backbone.stem.conv1.\1"),
        (BACKBONE + r"embedder\.embedder\.normalization\.(\w+)", r"backbone.stem.conv1.norm.\1"),
        (RESNET_LAYER + r"(layer|shortcut)(?:\.(\d+))?\.(convolution|normalization)\.(\w+)", _conv_norm),
        (PIXEL_DECODER + r"level_embed", "sem_seg_head.pixel_decoder.transformer.level_embed"),
        (PIXEL_DECODER + r"input_projections\.(\d+)\.(\d)\.(\w+)", r"sem_seg_head.pixel_decoder.input_proj.\1.\2.\3"),
        (PIXEL_LAYER + r"self_attn\.(.+)", RELEASED_PIXEL_LAYER + r"\1.self_attn.\2"),
        (PIXEL_LAYER + r"self_attn_layer_norm\.(\w+)", RELEASED_PIXEL_LAYER + r"\1.norm1.\2"),
        (PIXEL_LAYER + r"fc(\d)\.(\w+)", RELEASED_PIXEL_LAYER + r"\1.linear\2.\3"),
        (PIXEL_LAYER + r"final_layer_norm\.(\w+)", RELEASED_PIXEL_LAYER + r"\1.norm2.\2"),
        (PIXEL_DECODER + r"mask_projection\.(\w+)", r"sem_seg_head.pixel_decoder.mask_features.\1"),
        (PIXEL_DECODER + r"((?:adapter|layer)_\d+)\.0\.(\w+)", r"sem_seg_head.pixel_decoder.\1.\2"),
        (PIXEL_DECODER + r"((?:adapter|layer)_\d+)\.1\.(\w+)", r"sem_seg_head.pixel_decoder.\1.norm.\2"),
        (TRANSFORMER + r"queries_embedder\.weight", PREDICTOR + "query_embed.weight"),
        (TRANSFORMER + r"queries_features\.weight", PREDICTOR + "query_feat.weight"),
        (TRANSFORMER + r"level_embed\.weight", PREDICTOR + "level_embed.weight"),
        (TRANSFORMER + r"input_projections\.(\d+)\.(\w+)", PREDICTOR + r"input_proj.\1.\2"),
        (DECODER_LAYER + r"self_attn\.qkv\.(\w+)", PREDICTOR + r"transformer_self_attention_layers.\1.self_attn.in_proj_\2"),
        (DECODER_LAYER + r"self_attn\.(out_proj.\w+)", PREDICTOR + r"transformer_self_attention_layers.\1.self_attn.\2"),
        (DECODER_LAYER + r"self_attn_layer_norm\.(\w+)", PREDICTOR + r"transformer_self_attention_layers.\1.norm.\2"),
        (DECODER_LAYER + r"cross_attn\.(.+)", PREDICTOR + r"transformer_cross_attention_layers.\1.multihead_attn.\2"),
        (DECODER_LAYER + r"cross_attn_layer_norm\.(\w+)", PREDICTOR + r"transformer_cross_attention_layers.\1.norm.\2"),
        (DECODER_LAYER + r"fc(\d)\.(\w+)", PREDICTOR + r"transformer_ffn_layers.\1.linear\2.\3"),
        (DECODER_LAYER + r"final_layer_norm\.(\w+)", PREDICTOR + r"transformer_ffn_layers.\1.norm.\2"),
        (TRANSFORMER + r"decoder\.layernorm\.(\w+)", PREDICTOR + r"decoder_norm.\1"),
        (TRANSFORMER + r"decoder\.mask_predictor\.mask_embedder\.(\d)\.0\.(\w+)", PREDICTOR + r"mask_embed.layers.\1.\2"),
        (r"segmentor\.class_predictor\.(\w+)", PREDICTOR + r"class_embed.\1"),
        (r"motion\.encoder\.stages\.(\d)\.(\d)\.(\w+)", _plus(1, "motion.encoder.conv{}.{}.conv.{}")),
        (r"motion\.decoder\.(query_embed|level_embed)\.weight", r"motion.decoder.\1.weight"),
        (r"motion\.decoder\.input_proj\.(\d)\.(\w+)", r"motion.decoder.input_proj.\1.\2"),
        (MOTION_LAYER + r"self_attn\.(.+)", r"motion.decoder.transformer_self_attention_layers.\1.self_attn.\2"),
        (MOTION_LAYER + r"norm1\.(\w+)", r"motion.decoder.transformer_self_attention_layers.\1.norm.\2"),
        (MOTION_LAYER + r"(linear\d)\.(\w+)", r"motion.decoder.transformer_ffn_layers.\1.\2.\3"),
        (MOTION_LAYER + r"norm2\.(\w+)", r"motion.decoder.transformer_ffn_layers.\1.norm.\2"),
        (r"motion\.pixel_flow\.steps\.(\d)\.predict_flow\.weight", _minus(6, "motion.decoder.predict_flow{}.conv.weight")),
        (r"motion\.pixel_flow\.steps\.(\d)\.(upsample_flow|deconv)\.weight", _minus(5, "motion.decoder.{1}{0}.conv.weight")),
        (r"motion\.pixel_flow\.predict_flow\.weight", "motion.decoder.predict_flow.conv.weight"),
        (r"motion\.segment_flow\.norm\.(\w+)", r"motion.decoder.decoder_norm.\1"),
        (r"motion\.segment_flow\.query_mlp\.(\d)\.(\w+)", _halved("motion.decoder.output_head.layers.{}.{}")),
        (r"motion\.segment_flow\.pixel_mlp\.(\d)\.(\w+)", _halved("motion.decoder.scale_layer.layers.{}.{}")),
        (r"motion\.segment_flow\.fusion\.(\w+)", r"motion.decoder.fuse_layer.conv.\1"),
    )
)


def is_ignored(released_name: str) -> bool:
    """Whether a tensor of a released checkpoint is of no use here: training state, or computed from the configuration."""
    return IGNORED.fullmatch(released_name) is not None


def released_tensor(name: str) -> ReleasedTensor | None:
    """Where the tensor ``name`` of our model comes from; None if it has no counterpart and keeps its initial value.

    >>> released_tensor("segmentor.class_predictor.bias")
    ReleasedTensor(name='sem_seg_head.predictor.class_embed.bias', part=0, parts=1)

    Raises:
        KeyError: If no rule covers the name.
    """
    if WITHOUT_SOURCE.fullmatch(name):
        return None
    # Both released attentions stack their query, key and value projections in this order.
    projection = re.search(r"\.([qkv])_proj\.", name)
    part, parts = ("qkv".index(projection[1]), 3) if projection else (0, 1)
    if projection:
        name = name.replace(projection[0], ".qkv.")
    for pattern, replacement in RULES:
        match = pattern.fullmatch(name)
        if match:
            released = replacement(match) if callable(replacement) else match.expand(replacement)
            return ReleasedTensor(released, part, parts)
    raise KeyError(f"no rule for the released name of {name!r}")
