from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from transformers import ResNetConfig

from mpvss_model.checkpoints.starting_model import load_start, new_start
from mpvss_model.segmentor.mask2former.backbones import mask2former_config, resnet_config
from mpvss_model.segmentor.mask2former.efficientnet_lite import SamePaddedConv2d
from mpvss_model.segmentor.mask2former.training_convolutions import TrainedConv2d, TrainedLinear
from mpvss_model.training.losses.segmentation import segmentation_losses
from mpvss_model.training.predictor import Predictor, key_frame_predictions
from mpvss_model.training.recipe.config import LossConfig

SIZES = {
    "feature_size": 32,
    "mask_feature_size": 32,
    "hidden_dim": 32,
    "encoder_feedforward_dim": 48,
    "dim_feedforward": 48,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "num_attention_heads": 2,
    "num_queries": 5,
}


@pytest.mark.parametrize("groups", [1, 8])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_convolutions_and_their_gradients_are_those_of_torch(kernel, stride, groups):
    torch.manual_seed(0)
    same_padded = SamePaddedConv2d(8, 8, kernel, stride, groups=groups)
    for conv in (same_padded, nn.Conv2d(8, 8, kernel, stride, kernel // 2, groups=groups)):
        for height, width in ((12, 15), (11, 8), (7, 9)):
            x = torch.randn(2, 8, height, width).contiguous(memory_format=torch.channels_last).requires_grad_()
            inputs = [x, conv.weight, conv.bias]
            expected, result = conv(x), TrainedConv2d(conv)(x)
            torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)
            direction = torch.randn_like(expected)
            gradients = (torch.autograd.grad(y, inputs, direction) for y in (expected, result))
            for expected_gradient, gradient in zip(*gradients, strict=True):
                torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("has_relu", [False, True])
def test_linear_layers_and_their_gradients_are_those_of_torch(has_relu):
    torch.manual_seed(0)
    linear, tokens = nn.Linear(6, 10), torch.randn(2, 7, 6, requires_grad=True)
    expected = linear(tokens).relu() if has_relu else linear(tokens)
    result = TrainedLinear(linear, has_relu=has_relu)(tokens)
    torch.testing.assert_close(result, expected)
    inputs = [tokens, linear.weight, linear.bias]
    gradients = (torch.autograd.grad(y.square().sum(), inputs) for y in (expected, result))
    for expected_gradient, gradient in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-4)


def small_network(backbone: str, tiny_checkpoint: str) -> nn.Module:
    if backbone == "swin":
        return load_start(tiny_checkpoint).network
    if backbone == "lite0":
        return new_start(backbone="lite0", class_names=("a", "b"), settings=SIZES).network
    from transformers import Mask2FormerForUniversalSegmentation

    config: ResNetConfig = resnet_config(embedding_size=8, hidden_sizes=[16, 16, 16, 16], depths=[1, 1, 1, 1])
    return Mask2FormerForUniversalSegmentation(mask2former_config(config, 2, **SIZES))


def training_course(predict: Callable, network: nn.Module, steps: int = 20) -> list[float]:
    """The losses of training steps, the same frames and random points in each."""
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    pixel_values = torch.randn(2, 3, 64, 96, dtype=torch.float64, generator=generator)
    labels = (
        torch.randint(0, 2, (2, 4, 6), generator=generator).to(torch.uint8).repeat_interleave(16, 1).repeat_interleave(16, 2)
    )
    losses = []
    for i in range(steps):
        masks, classes, _ = predict(pixel_values)
        torch.manual_seed(i)  # the network of transformers draws numbers of its own
        total = sum(segmentation_losses(masks, classes, labels, LossConfig(train_num_points=64)).values())
        total.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(total.detach()))
    return losses


def test_training_steps_are_those_of_the_network_of_transformers_but_for_rounding():
    torch.manual_seed(0)
    plain = small_network("resnet", "").double().train()
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval().requires_grad_(False)
        elif type(module).__name__ == "Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention":
            # New ones look at pixel centres exactly, where gradients from the left and the right differ and rounding decides.
            nn.init.uniform_(module.sampling_offsets.bias, -3.0, 3.0)
    fast = copy.deepcopy(plain)
    predictor = Predictor(fast, norms_are_frozen=True)
    predictor.train(True)
    expected = training_course(partial(key_frame_predictions, plain), plain)
    assert expected[-1] < 0.9 * expected[0]
    # In float32, AdamW amplifies rounding; a real difference would show here, too.
    assert training_course(predictor, fast) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("norms_are_frozen", [False, True])
@pytest.mark.parametrize("backbone", ["lite0", "resnet", "swin"])
def test_network_in_training_predicts_and_learns_as_that_of_transformers(backbone, norms_are_frozen, tiny_checkpoint):
    torch.manual_seed(0)
    network = small_network(backbone, tiny_checkpoint).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            module.momentum = None
        elif type(module).__name__ == "Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention":
            nn.init.normal_(module.sampling_offsets.weight, std=0.5)  # some of them beyond the frame
            nn.init.normal_(module.attention_weights.weight, std=0.5)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight)  # so that masks are not all but undecided
        elif type(module).__name__ == "SwinDropPath":
            module.drop_prob = 0.0
    pixel_values = torch.randn(2, 3, 96, 128)
    with torch.no_grad():
        network(pixel_values)  # norms that are frozen have seen such images
    if norms_are_frozen:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval().requires_grad_(False)
    predictor = Predictor(network, norms_are_frozen=norms_are_frozen)
    predictor.train(True)
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    results = []
    for masks, classes, queries in (key_frame_predictions(network, pixel_values), predictor(pixel_values)):
        total = sum(layer.square().mean() for layer in (*masks, *classes)) + queries.square().mean()
        gradients = torch.autograd.grad(total, list(trained.values()), allow_unused=True)
        results.append(({"masks": masks, "classes": classes, "queries": [queries]}, gradients))
    (expected, expected_gradients), (fast, gradients) = results
    for name, tensors in expected.items():
        for reference, tensor in zip(tensors, fast[name], strict=True):
            torch.testing.assert_close(tensor, reference, rtol=1e-3, atol=1e-4)
    largest = max(gradient.norm() for gradient in expected_gradients if gradient is not None)
    errors = []
    for name, reference, gradient in zip(trained, expected_gradients, gradients, strict=True):
        assert (reference is None) == (gradient is None), name
        if reference is not None:
            error = (gradient - reference).norm()
            # A change of the frames by one part in 10 million makes as much of a difference in such a random network.
            assert error <= 0.05 * reference.norm() + 1e-5 * largest, name
            errors.append(float(error / (reference.norm() + 1e-5 * largest)))
    assert np.median(errors) < 0.005
