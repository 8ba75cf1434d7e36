"""Convolutions and linear layers in one pass, against the same in several."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mpvss_model.segmentor.mask2former.convolutions import FusedConv2d, FusedInvertedResidual, linear, prepare_convolutions
from mpvss_model.segmentor.mask2former.deformable_attention import _softmax
from mpvss_model.segmentor.mask2former.efficientnet_lite import InvertedResidual, SamePaddedConv2d
from mpvss_model.segmentor.registry import load_model

PLAIN = {"": lambda x: x, "relu": F.relu, "relu6": F.relu6}


def channels_last(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("activation", PLAIN)
@torch.inference_mode()
def test_a_linear_layer_and_its_activation_are_those_of_torch(activation, dtype):
    x, weight, bias = (torch.randn(*shape).to(dtype) for shape in ((7, 5, 24), (40, 24), (40,)))
    expected = PLAIN[activation](F.linear(x, weight, bias))
    # Half precision rounds after each pass.
    torch.testing.assert_close(linear(x, weight, bias, activation), expected)


@torch.inference_mode()
def test_what_is_added_to_a_linear_layer_stays_as_it_is():
    x, weight, bias, added = torch.randn(7, 24), torch.randn(40, 24), torch.randn(40), torch.randn(7, 40)
    expected, before = F.linear(x, weight, bias) + added, added.clone()
    torch.testing.assert_close(linear(x, weight, bias, added=added), expected)
    torch.testing.assert_close(linear(x.double(), weight.double(), bias.double(), added=added.double()).float(), expected)
    assert torch.equal(added, before)


@pytest.mark.parametrize("size", [(24, 32), (23, 31), (24, 31)])
@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "expansion"),
    [((16, 24), 3, 2, 6), ((16, 16), 5, 1, 6), ((16, 24), 5, 2, 6), ((16, 8), 3, 1, 1)],
)
@torch.inference_mode()
def test_an_inverted_residual_is_that_of_torch_at_even_and_odd_sizes(channels, kernel, stride, expansion, size):
    torch.manual_seed(0)
    block = nn.Sequential(InvertedResidual(*channels, kernel, stride, expansion)).eval().requires_grad_(False)
    for norm in (module for module in block.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.normal_(norm.bias)  # what is outside of the frame must be 0 all the same
        nn.init.uniform_(norm.running_var, 0.5, 1.5)
    fused = copy.deepcopy(block)
    prepare_convolutions(fused)
    assert isinstance(fused[0], FusedInvertedResidual)
    x = channels_last(1, channels[0], *size)
    before = x.clone()
    torch.testing.assert_close(fused(x), block(x), atol=1e-4, rtol=1e-4)
    assert torch.equal(x, before)


@torch.inference_mode()
def test_activations_become_part_of_convolutions_wherever_they_follow_them():
    torch.manual_seed(0)
    first = SamePaddedConv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU6(), nn.Conv2d(8, 8, 1), nn.ReLU()
    last = nn.Conv2d(8, 4, 3, padding="same"), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.ReLU(), nn.GELU()
    layers = nn.Sequential(*first, *last).eval().requires_grad_(False)
    fused = copy.deepcopy(layers)
    prepare_convolutions(fused)
    assert sum(isinstance(layer, FusedConv2d) for layer in fused) == 2
    # One's padding is known by name only, and it keeps its activation.
    assert sum(isinstance(layer, nn.ReLU | nn.ReLU6) for layer in fused) == 1
    x = channels_last(1, 3, 32, 48)
    torch.testing.assert_close(fused(x), layers(x), atol=1e-5, rtol=1e-5)


def test_softmax_over_few_samples_is_that_of_torch_however_large_the_logits():
    logits = 100 * torch.randn(50, 4, 12, generator=torch.Generator().manual_seed(0))
    logits[0] = -1e30
    torch.testing.assert_close(_softmax(logits), logits.softmax(dim=-1))
    assert _softmax(logits).is_contiguous()


def test_a_weight_that_is_no_number_is_not_hidden_by_an_activation(tiny_checkpoint):
    segmentor = load_model(str(tiny_checkpoint), device=torch.device("cpu")).segmentor
    next(p for p in segmentor.model.model.pixel_level_module.encoder.parameters() if p.ndim == 4)[0] = torch.nan
    segmentor.accelerate(torch.float32)
    key_frame = segmentor.segment(np.zeros((64, 64, 3), np.uint8), 0.0)
    assert not torch.isfinite(key_frame.mask_logits).all()
