"""Initial weights of a Mask2Former as in the published code, which are not those of ``transformers``.

Those draw almost everything with a standard deviation of 0.02. Queries then hardly differ, and training from a backbone's
ImageNet weights takes thousands of steps to get going, if it ever does.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from transformers import Mask2FormerForUniversalSegmentation

__all__ = ["draw_published_weights"]

QUERY_KEY_VALUE = 3


@torch.no_grad()
def draw_published_weights(model: Mask2FormerForUniversalSegmentation) -> None:
    """Draw all weights anew but those of the backbone (Cheng et al., Mask2Former, CVPR 2022, published code).

    Sampling offsets, attention weights, norms and the projections of deformable attention are left as they are, since there
    both codes agree.

    Args:
        model: Its random numbers are those of torch's global generator.
    """
    pixel_decoder = model.model.pixel_level_module.decoder
    _draw_pixel_decoder(pixel_decoder)
    transformer = model.model.transformer_module
    for embedding in (transformer.queries_features, transformer.queries_embedder, transformer.level_embed):
        nn.init.normal_(embedding.weight)
    for projection in transformer.input_projections:
        if isinstance(projection, nn.Conv2d):
            _draw_convolution(projection)
    for layer in transformer.decoder.layers:
        _draw_decoder_layer(layer)
    for module in (model.class_predictor, *transformer.decoder.mask_predictor.modules()):
        if isinstance(module, nn.Linear):
            module.reset_parameters()


def _draw_pixel_decoder(decoder: nn.Module) -> None:
    for projection in decoder.input_projections:
        nn.init.xavier_uniform_(projection[0].weight)
        nn.init.zeros_(projection[0].bias)
    for layer in decoder.encoder.layers:
        _draw_feed_forward(layer)
    nn.init.normal_(decoder.level_embed)
    for sequence in (*decoder.lateral_convolutions, *decoder.output_convolutions, [decoder.mask_projection]):
        _draw_convolution(sequence[0])


def _draw_decoder_layer(layer: nn.Module) -> None:
    own, cross = layer.self_attn, layer.cross_attn
    for projection in (own.q_proj, own.k_proj, own.v_proj):
        # There, the three are one matrix with as many outputs more.
        outputs, inputs = projection.weight.shape
        nn.init.uniform_(projection.weight, *_xavier_bounds(inputs, QUERY_KEY_VALUE * outputs))
    nn.init.xavier_uniform_(cross.in_proj_weight)
    nn.init.zeros_(cross.in_proj_bias)
    for projection in (own.out_proj, cross.out_proj):
        nn.init.xavier_uniform_(projection.weight)
    for projection in (own.q_proj, own.k_proj, own.v_proj, own.out_proj, cross.out_proj):
        nn.init.zeros_(projection.bias)
    _draw_feed_forward(layer)


def _draw_feed_forward(layer: nn.Module) -> None:
    for linear in (layer.fc1, layer.fc2):
        linear.reset_parameters()
        nn.init.xavier_uniform_(linear.weight)


def _draw_convolution(conv: nn.Conv2d) -> None:
    """``c2_xavier_fill`` of fvcore."""
    nn.init.kaiming_uniform_(conv.weight, a=1)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def _xavier_bounds(inputs: int, outputs: int) -> tuple[float, float]:
    bound = math.sqrt(6 / (inputs + outputs))
    return -bound, bound
