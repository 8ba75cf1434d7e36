"""What a Mask2Former costs, counted on the network itself without running it."""

from __future__ import annotations

import torch
from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation

from mpvss_model.image import FramePadding
from mpvss_model.runtime.flop_count import count_parameters, counted, gflops, meta_tensor
from mpvss_model.segmentor.cost import PartCost, SegmentorCost
from mpvss_model.segmentor.network_files import quiet

__all__ = ["mask2former_cost"]


def mask2former_cost(config: Mask2FormerConfig, frame_size: tuple[int, int]) -> SegmentorCost:
    """Cost of ``backbone``, ``pixel decoder`` and ``transformer decoder``, as ``transformers`` computes them.

    Args:
        config: Of the network.
        frame_size: Height and width in pixels.
    """
    with quiet(), torch.device("meta"):
        network = Mask2FormerForUniversalSegmentation(config)
    network = network.to("meta").eval()  # some constructors ignore the default device
    pixel_level = network.model.pixel_level_module
    by_module = counted(network, meta_tensor(1, 3, *FramePadding(*frame_size).padded_size)).get_flop_counts()
    root = f"{type(network).__name__}.model.pixel_level_module"
    total, backbone, pixel_decoder = (gflops(by_module[name]) for name in ("Global", f"{root}.encoder", f"{root}.decoder"))
    heads = count_parameters(network) - count_parameters(pixel_level)
    parts = {
        "backbone": PartCost(backbone, count_parameters(pixel_level.encoder), "key"),
        "pixel decoder": PartCost(pixel_decoder, count_parameters(pixel_level.decoder), "key"),
        "transformer decoder": PartCost(total - backbone - pixel_decoder, heads, "key"),
    }
    return SegmentorCost(parts, config.num_queries)
