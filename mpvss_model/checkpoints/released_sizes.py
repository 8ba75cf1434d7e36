"""The configuration of a checkpoint of the authors' code, read off the shapes of its tensors."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict

from mpvss_model.checkpoints.mpvss_model import MPVSSConfig
from mpvss_model.errors import CheckpointError
from mpvss_model.motion.config import MotionConfig
from mpvss_model.segmentor.mask2former.backbones import BackboneConfig, mask2former_config, resnet_config, swin_config

__all__ = ["TensorShapes", "released_motion_config", "released_mpvss_config"]

PIXEL_DECODER = "sem_seg_head.pixel_decoder."
PIXEL_DECODER_LAYERS = PIXEL_DECODER + "transformer.encoder.layers."
PREDICTOR = "sem_seg_head.predictor."
# Deformable attention of the pixel decoder: sampling points of one head, on three levels.
POINTS_PER_HEAD = 3 * 4


class TensorShapes:
    """Shapes of a checkpoint's tensors by name.

    A tensor that is missing has the published size: what is wrong with a checkpoint is said once, for all of its tensors, when
    they are compared with the model that these sizes make.

    Args:
        shapes: By name.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._shapes = shapes

    def __contains__(self, prefix: str) -> bool:
        return any(name.startswith(prefix) for name in self._shapes)

    def size(self, name: str, dim: int, default: int) -> int:
        """Size of a tensor along a dimension."""
        shape = self._shapes.get(name, ())
        return shape[dim] if dim < len(shape) else default

    def count(self, prefix: str, default: int) -> int:
        """How many different numbers follow ``prefix`` in the tensors' names."""
        pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
        return len({match[1] for match in map(pattern.match, self._shapes) if match}) or default


def released_mpvss_config(shapes: TensorShapes) -> MPVSSConfig:
    """Backbone, classes, queries, layers and, where there is a motion module, its sizes.

    Raises:
        CheckpointError: If the backbone is neither a ResNet nor a Swin Transformer.
    """
    num_queries = shapes.size(PREDICTOR + "query_feat.weight", 0, 100)
    hidden_dim = shapes.size(PREDICTOR + "query_feat.weight", 1, 256)
    segmentor = mask2former_config(
        _backbone(shapes),
        shapes.size(PREDICTOR + "class_embed.weight", 0, 125) - 1,
        num_queries=num_queries,
        hidden_dim=hidden_dim,
        feature_size=shapes.size(PIXEL_DECODER + "mask_features.weight", 1, 256),
        mask_feature_size=shapes.size(PIXEL_DECODER + "mask_features.weight", 0, 256),
        encoder_layers=shapes.count(PIXEL_DECODER_LAYERS, 6),
        encoder_feedforward_dim=shapes.size(PIXEL_DECODER_LAYERS + "0.linear1.weight", 0, 1024),
        num_attention_heads=shapes.size(PIXEL_DECODER_LAYERS + "0.self_attn.attention_weights.bias", 0, 96) // POINTS_PER_HEAD,
        # One more than there are layers: the queries before the first layer predict, too.
        decoder_layers=shapes.count(PREDICTOR + "transformer_cross_attention_layers.", 9) + 1,
        dim_feedforward=shapes.size(PREDICTOR + "transformer_ffn_layers.0.linear1.weight", 0, 2048),
    )
    motion = asdict(released_motion_config(shapes, num_queries, hidden_dim)) if "motion." in shapes else None
    return MPVSSConfig(segmentor=segmentor, motion=motion, released_grid=True)


def released_motion_config(
    shapes: TensorShapes, num_queries: int | None = None, query_size: int | None = None
) -> MotionConfig:
    """Sizes of the motion module (names with ``motion.``); queries as given, or as the module itself has them.

    The number of attention heads leaves no trace in the tensors; the released code always has 8.
    """
    published = MotionConfig()
    decoder = "motion.decoder."
    hidden_size = shapes.size(decoder + "query_embed.weight", 1, published.hidden_size)
    return MotionConfig(
        num_queries=num_queries or shapes.size(decoder + "query_embed.weight", 0, published.num_queries),
        query_size=query_size or hidden_size,
        hidden_size=hidden_size,
        num_layers=shapes.count(decoder + "transformer_self_attention_layers.", published.num_layers),
        ffn_size=shapes.size(decoder + "transformer_ffn_layers.0.linear1.weight", 0, published.ffn_size),
        encoder_channels=tuple(
            shapes.size(f"motion.encoder.conv{i}.0.conv.weight", 0, channels)
            for i, channels in enumerate(published.encoder_channels, start=1)
        ),
        upsampled_channels=tuple(
            shapes.size(f"{decoder}deconv{5 - i}.conv.weight", 1, channels)
            for i, channels in enumerate(published.upsampled_channels)
        ),
    )


def _backbone(shapes: TensorShapes) -> BackboneConfig:
    if "backbone.patch_embed." in shapes:
        return _swin(shapes)
    if "backbone.stem." in shapes:
        return _resnet(shapes)
    raise CheckpointError(
        "cannot tell the backbone: expected tensors backbone.patch_embed.* (Swin Transformer) or backbone.stem.* (ResNet)"
    )


def _swin(shapes: TensorShapes) -> BackboneConfig:
    embed_dim = shapes.size("backbone.patch_embed.proj.weight", 0, 96)
    first_block = "backbone.layers.0.blocks.0."
    bias_table = "backbone.layers.{}.blocks.0.attn.relative_position_bias_table"
    return swin_config(
        embed_dim=embed_dim,
        patch_size=shapes.size("backbone.patch_embed.proj.weight", 2, 4),
        depths=[shapes.count(f"backbone.layers.{i}.blocks.", 2) for i in range(4)],
        num_heads=[shapes.size(bias_table.format(i), 1, 3 * 2**i) for i in range(4)],
        window_size=(math.isqrt(shapes.size(bias_table.format(0), 0, 13**2)) + 1) // 2,
        mlp_ratio=shapes.size(first_block + "mlp.fc1.weight", 0, 4 * embed_dim) / embed_dim,
    )


def _resnet(shapes: TensorShapes) -> BackboneConfig:
    is_bottleneck = "backbone.res2.0.conv3." in shapes
    last_conv = "conv3" if is_bottleneck else "conv2"
    return resnet_config(
        layer_type="bottleneck" if is_bottleneck else "basic",
        embedding_size=shapes.size("backbone.stem.conv1.weight", 0, 64),
        hidden_sizes=[shapes.size(f"backbone.res{i + 2}.0.{last_conv}.weight", 0, 256 * 2**i) for i in range(4)],
        depths=[shapes.count(f"backbone.res{i + 2}.", 3) for i in range(4)],
    )
