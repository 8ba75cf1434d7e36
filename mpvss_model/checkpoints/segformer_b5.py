"""SegFormer-B5 (Xie et al., NeurIPS 2021), which MRCFA and other video segmentors on MiT-B5 are built on."""

from __future__ import annotations

import torch
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from mpvss_model.runtime.flop_count import count_parameters, counted, gflops, meta_tensor
from mpvss_model.segmentor.cost import PartCost
from mpvss_model.segmentor.network_files import quiet

__all__ = ["segformer_b5_cost"]


def segformer_b5_cost(frame_size: tuple[int, int], num_classes: int) -> dict[str, PartCost]:
    """Cost of ``backbone`` and ``head``, counted on the network itself without running it.

    Args:
        frame_size: Height and width in pixels; the network sees them as they are, without padding.
        num_classes: Of its head.
    """
    with quiet(), torch.device("meta"):
        config = SegformerConfig(
            depths=[3, 6, 40, 3], hidden_sizes=[64, 128, 320, 512], decoder_hidden_size=768, num_labels=num_classes
        )
        network = SegformerForSemanticSegmentation(config)
    network = network.to("meta").eval()  # some constructors ignore the default device
    by_module = counted(network, meta_tensor(1, 3, *frame_size)).get_flop_counts()
    return {
        part: PartCost(gflops(by_module[f"{type(network).__name__}.{name}"]), count_parameters(getattr(network, name)), "all")
        for part, name in (("backbone", "segformer"), ("head", "decode_head"))
    }
