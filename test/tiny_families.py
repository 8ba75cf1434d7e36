"""Tiny networks of each family of segmentors, with random weights; made in milliseconds."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from transformers import (
    BeitConfig,
    BeitForSemanticSegmentation,
    ConvNextConfig,
    DetrConfig,
    DPTConfig,
    DPTForSemanticSegmentation,
    EomtConfig,
    EomtDinov3Config,
    EomtDinov3ForUniversalSegmentation,
    EomtForUniversalSegmentation,
    MaskFormerConfig,
    MaskFormerForInstanceSegmentation,
    OneFormerConfig,
    OneFormerForUniversalSegmentation,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SwinConfig,
    UperNetConfig,
    UperNetForSemanticSegmentation,
)
from transformers.modeling_utils import PreTrainedModel

CLASSES = ("floor", "wall", "door", "wall", "robot")
NAMES = {"id2label": dict(enumerate(CLASSES)), "label2id": {name: i for i, name in enumerate(CLASSES)}}
STAGES = ["stage1", "stage2", "stage3", "stage4"]
EOMT_SIDE_PX = 64


def swin_config() -> SwinConfig:
    sizes = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 4}
    return SwinConfig(image_size=64, out_features=STAGES, **sizes)


def segformer(names=NAMES) -> PreTrainedModel:
    sizes = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 16, 16], "num_attention_heads": [1, 1, 2, 2]}
    return SegformerForSemanticSegmentation(SegformerConfig(**sizes, decoder_hidden_size=16, **names))


def upernet(names=NAMES) -> PreTrainedModel:
    backbone = ConvNextConfig(depths=[1, 1, 1, 1], hidden_sizes=[8, 8, 16, 16], out_features=STAGES)
    sizes = {"hidden_size": 16, "auxiliary_in_channels": 16, "auxiliary_channels": 8}
    return UperNetForSemanticSegmentation(UperNetConfig(backbone_config=backbone, **sizes, **names))


def beit(names=NAMES) -> PreTrainedModel:
    sizes = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 16, "image_size": 64}
    positions = {"use_absolute_position_embeddings": True, "use_relative_position_bias": True}
    return BeitForSemanticSegmentation(BeitConfig(**sizes, **positions, out_indices=[1, 2, 3, 4], **names))


def dpt(names=NAMES) -> PreTrainedModel:
    sizes = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 16, "image_size": 64}
    neck = {"backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [8, 8, 8, 8], "fusion_hidden_size": 8}
    return DPTForSemanticSegmentation(DPTConfig(**sizes, **neck, is_hybrid=False, **names))


def maskformer(names=NAMES) -> PreTrainedModel:
    decoder = DetrConfig(
        d_model=32, decoder_layers=2, encoder_layers=1, num_queries=7, decoder_attention_heads=2, decoder_ffn_dim=16
    )
    config = MaskFormerConfig(
        backbone_config=swin_config(), decoder_config=decoder, fpn_feature_size=32, mask_feature_size=32, **names
    )
    return MaskFormerForInstanceSegmentation(config)


def oneformer(names=NAMES, **settings) -> PreTrainedModel:
    sizes = {"hidden_dim": 32, "conv_dim": 32, "mask_dim": 32, "encoder_layers": 1, "decoder_layers": 3, "num_queries": 7}
    sizes |= {"num_attention_heads": 2, "dim_feedforward": 16, "encoder_feedforward_dim": 16, "query_dec_layers": 1}
    sizes |= {"text_encoder_width": 16, "text_encoder_num_layers": 1, "text_encoder_vocab_size": 99}
    return OneFormerForUniversalSegmentation(OneFormerConfig(backbone_config=swin_config(), **sizes, **settings, **names))


def eomt(names=NAMES) -> PreTrainedModel:
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "num_blocks": 1, "num_queries": 7}
    return EomtForUniversalSegmentation(EomtConfig(**sizes, image_size=EOMT_SIDE_PX, patch_size=16, **names))


def eomt_dinov3(names=NAMES) -> PreTrainedModel:
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "num_blocks": 1, "num_queries": 7}
    config = EomtDinov3Config(**sizes, intermediate_size=16, image_size=EOMT_SIDE_PX, patch_size=16, **names)
    return EomtDinov3ForUniversalSegmentation(config)


PER_PIXEL = {"segformer": segformer, "upernet": upernet, "dpt": dpt, "beit": beit}
EOMT = {"eomt": eomt, "eomt_dinov3": eomt_dinov3}
QUERY_BASED = {"maskformer": maskformer, "oneformer": oneformer, **EOMT}
FAMILIES = {**PER_PIXEL, **QUERY_BASED}


# How large random weights are, beside those that keep what they are given as large as it is; by what names contain.
SCALES = {"class_predictor": 8.0, "class_embed": 8.0, "head.head.4": 5e-4, "": 2.0}
SEEDS = {"oneformer": 2}


def lively(model_type: str) -> PreTrainedModel:
    """A network of a family whose random weights are large enough for several classes to be seen."""
    torch.manual_seed(SEEDS.get(model_type, 1))
    network = FAMILIES[model_type]().eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim > 1 and "position" not in name:
                scale = next(scale for part, scale in SCALES.items() if part in name)
                parameter.copy_(torch.randn_like(parameter) * (scale / parameter[0].numel() ** 0.5))
    return network


def busy_frame(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Patches of many colours, uint8 RGB ``[height, width, 3]``."""
    patches = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    return cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC)
