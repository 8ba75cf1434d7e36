"""VidEoMT one frame at a time, and what that costs (Norouzi et al., VidEoMT, 2026; section 3).

The first layers of a vision transformer see the frame's patches alone. The last ones see the queries beside them: learned
ones, to which the last frame's are added once a linear layer has updated them. ``transformers``' own forward goes through a
whole clip and forgets the queries at its end.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from transformers import VideomtConfig, VideomtForUniversalSegmentation

from mpvss_model.runtime.flop_count import count_parameters, counted, meta_tensor, total_gflops
from mpvss_model.segmentor.cost import PartCost, SegmentorCost
from mpvss_model.segmentor.network_files import quiet

__all__ = ["SegmentedFrame", "segment_frame", "videomt_cost"]


class SegmentedFrame(NamedTuple):
    """What the network says of one frame.

    Attributes:
        mask_logits: ``[Q, h, w]``, over the network's whole input.
        class_logits: ``[Q, C + 1]``, the last one "no object".
        queries: ``[Q, d]``, after the final norm, as the class head reads them.
        memory: ``[Q, d]``, the queries before that norm, as the next frame takes them on.
    """

    mask_logits: torch.Tensor
    class_logits: torch.Tensor
    queries: torch.Tensor
    memory: torch.Tensor


def segment_frame(
    network: VideomtForUniversalSegmentation, pixels: torch.Tensor, memory: torch.Tensor | None
) -> SegmentedFrame:
    """Segment a frame after another one of the same video, or as the first.

    Args:
        network: In evaluation mode.
        pixels: Normalised, ``[1, 3, S, S]`` of the network's own size.
        memory: That of the frame before it; None for the first.
    """
    before, after = _layers(network)
    tokens = network.embeddings(pixels)
    for layer in before:
        tokens = layer(tokens)
    queries = network.query.weight[None]
    if memory is not None:
        queries = network.query_updater(memory[None]) + queries
    tokens = torch.cat([queries, tokens], dim=1)
    for layer in after:
        tokens = layer(tokens)
    normed = network.layernorm(tokens)
    mask_logits, class_logits = network.predict(normed)
    num_queries = network.config.num_queries
    return SegmentedFrame(mask_logits[0], class_logits[0], normed[0, :num_queries], tokens[0, :num_queries])


def videomt_cost(config: VideomtConfig) -> SegmentorCost:
    """Cost of ``encoder`` and ``heads`` for a frame that comes after another one; every frame is resized to one size.

    Args:
        config: Of the network.
    """
    with quiet(), torch.device("meta"):
        network = VideomtForUniversalSegmentation(config)
    network = network.to("meta").eval()  # some constructors ignore the default device
    tokens = config.num_queries + network.embeddings.num_prefix_tokens + network.embeddings.patch_embeddings.num_patches
    pixels = meta_tensor(1, config.num_channels, config.image_size, config.image_size)
    memory = meta_tensor(config.num_queries, config.hidden_size)
    total = total_gflops(counted(segment_frame, network, pixels, memory))
    heads = total_gflops(counted(network.predict, meta_tensor(1, tokens, config.hidden_size)))
    in_heads = sum(map(count_parameters, (network.upscale_block, network.mask_head, network.class_predictor)))
    parts = {
        "encoder": PartCost(total - heads, count_parameters(network) - in_heads, "key"),
        "heads": PartCost(heads, in_heads, "key"),
    }
    return SegmentorCost(parts, config.num_queries)


def _layers(network: VideomtForUniversalSegmentation) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Those before the queries, and those that see them."""
    first_with_queries = network.num_hidden_layers - network.config.num_blocks
    return network.layers[:first_with_queries], network.layers[first_with_queries:]
