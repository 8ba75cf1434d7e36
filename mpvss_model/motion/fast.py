"""The motion module's flow for some of its queries, with the same numbers as `MotionModule.forward` for less work.

- The first convolution is linear in its two images: the key image's part is computed once per key frame.
- The motion maps are products of query vectors with a linear layer's output per pixel: the vectors go through that layer
  instead, and the maps of Q' queries cost Q' products per pixel instead of all the layer's outputs.
- The fusion is linear, too: its part for the pixel-wise flow is the same for all queries.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from mpvss_model.motion.encoder import LEAKY_SLOPE, MotionEncoder, half_size_input
from mpvss_model.motion.module import Motion, MotionModule
from mpvss_model.motion.segment_flow import SegmentFlowHead

__all__ = ["fast_motion", "key_part"]


def key_part(module: MotionModule, key_image: torch.Tensor) -> torch.Tensor:
    """What the key image, uint8 ``[1, 3, H, W]``, adds to the first convolution of each later frame."""
    conv = module.encoder.stages[0][0]
    return F.conv2d(_input(key_image, conv.weight.dtype), conv.weight[:, 3:], None, conv.stride, conv.padding)


def fast_motion(
    module: MotionModule, current_image: torch.Tensor, key_part: torch.Tensor, queries: torch.Tensor, selected: torch.Tensor
) -> Motion:
    """Flow from the current frame to the key frame.

    Args:
        module: In evaluation mode.
        current_image: uint8 RGB ``[1, 3, H, W]``.
        key_part: Of the key frame, see `key_part`.
        queries: ``[Q, query_size]``, of the key frame.
        selected: Indices ``[Q']`` of the queries that need a flow.
    """
    dtype = module.decoder.query_embed.weight.dtype
    conv2, conv3, *coarse = _features(module.encoder, _input(current_image, dtype), key_part)
    refined, queries = module.decoder(coarse[::-1], queries.unsqueeze(0).to(dtype))
    pixel_flow = module.pixel_flow([*refined, conv3, conv2])
    segment_flow = _segment_flow(module.segment_flow, queries[0, selected], conv2, pixel_flow)
    return Motion(pixel_flow=pixel_flow, segment_flow=segment_flow.unsqueeze(0))


def _input(image: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return half_size_input(image).to(dtype).contiguous(memory_format=torch.channels_last)


def _features(encoder: MotionEncoder, current: torch.Tensor, key_part: torch.Tensor) -> list[torch.Tensor]:
    first = encoder.stages[0][0]
    x = F.conv2d(current, first.weight[:, :3], first.bias, first.stride, first.padding).add_(key_part)
    x = F.leaky_relu_(x, LEAKY_SLOPE)
    features = []
    for convs in encoder.stages[1:]:
        for conv in convs:
            x = F.leaky_relu_(conv(x), LEAKY_SLOPE)
        features.append(x)
    return features


def _segment_flow(
    head: SegmentFlowHead, queries: torch.Tensor, features: torch.Tensor, pixel_flow: torch.Tensor
) -> torch.Tensor:
    """As `SegmentFlowHead.forward`, for one frame: ``[Q', d]`` -> ``[Q', 2, h, w]``."""
    vectors = head.query_mlp(head.norm(queries))
    *hidden_layers, last = head.pixel_mlp
    hidden = features[0].permute(1, 2, 0).flatten(0, 1)  # [h * w, C_2]
    for layer in hidden_layers:
        hidden = layer(hidden)
    # Released weights hold y in the first half of the motion map and x in the second.
    weight = torch.stack([vectors @ part for part in last.weight.chunk(2)[::-1]], dim=1)  # [Q', 2, 2 d]
    bias = torch.stack([vectors @ part for part in last.bias.chunk(2)[::-1]], dim=1)  # [Q', 2]
    maps = torch.addmm(bias.flatten()[:, None], weight.flatten(0, 1), hidden.t())
    maps = maps.view(len(queries), 2, *features.shape[-2:])
    fusion = head.fusion
    shared = F.conv2d(pixel_flow, fusion.weight[:, :2], fusion.bias, padding=fusion.padding)
    return F.conv2d(maps, fusion.weight[:, 2:], padding=fusion.padding).add_(shared)
