"""Convolutions and linear layers for inference: norms folded in, activations in the same pass, 1x1 as matrix products."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from transformers.models.resnet.modeling_resnet import ResNetBasicLayer, ResNetBottleNeckLayer, ResNetConvLayer, ResNetShortCut

from mpvss_model.segmentor.mask2former.efficientnet_lite import InvertedResidual, SamePaddedConv2d

__all__ = ["ACTIVATIONS", "FusedConv2d", "PointwiseConv2d", "linear", "prepare_convolutions"]

# Modules that apply their parts in the order in which they list them.
SEQUENTIAL = (nn.Sequential, ResNetConvLayer, ResNetShortCut)
# Modules that need the input of their activation no more.
OVERWRITING = (nn.Sequential, ResNetConvLayer, ResNetBasicLayer, ResNetBottleNeckLayer)
# By the names that torch.ops.mkldnn has for them, with their arguments.
ACTIVATIONS = {"": ("none", []), "relu": ("relu", []), "relu6": ("hardtanh", [0.0, 6.0])}
PLAIN_ACTIVATIONS = {"": nn.Identity(), "relu": F.relu_, "relu6": lambda x: F.relu6(x, inplace=True)}
ACTIVATION_MODULES = {nn.ReLU: "relu", nn.ReLU6: "relu6"}


def linear(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    activation: str = "",
    added: torch.Tensor | None = None,
) -> torch.Tensor:
    """``F.linear`` and what follows it, in one pass over the result where oneDNN can; for inference only.

    Otherwise torch writes the bias, adds the product to it and applies the activation, each time to and from memory: twice as
    long as the product itself where there are many pixels of few channels.

    Args:
        x: ``[..., C]``.
        weight: ``[C_out, C]``.
        bias: ``[C_out]``, or None.
        activation: One of `ACTIVATIONS`.
        added: Of the shape of the result, to be added to it; without activation.
    """
    if not _has_one_pass(x):
        y = PLAIN_ACTIVATIONS[activation](F.linear(x, weight, bias))
        return y if added is None else y.add_(added)
    if added is not None:
        return torch.ops.mkldnn._linear_pointwise.binary(x, added, weight, bias, "add")
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, *ACTIVATIONS[activation], "")


def _has_one_pass(x: torch.Tensor) -> bool:
    if x.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    return x.dtype == torch.float32 or (x.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())


class PointwiseConv2d(nn.Module):
    """A 1x1 convolution as a matrix product of pixels in ``channels_last`` layout, which is what it is.

    On a single thread, torch sends small 1x1 convolutions to a slow implementation.

    Args:
        conv: With kernel 1, stride 1, no padding and one group.

    Attributes:
        activation: Of the result, one of `ACTIVATIONS`.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(conv.weight.detach().flatten(1), requires_grad=False)
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach(), requires_grad=False)
        self.activation = ""

    def forward(self, x: torch.Tensor, added: torch.Tensor | None = None) -> torch.Tensor:
        """``[B, C, h, w]`` -> ``[B, C_out, h, w]``, plus what is to be ``added`` if there is no activation."""
        pixels = x.permute(0, 2, 3, 1)
        added = None if added is None else added.permute(0, 2, 3, 1)
        return linear(pixels, self.weight, self.bias, self.activation, added).permute(0, 3, 1, 2)


class FusedConv2d(nn.Module):
    """A convolution and the activation after it, in one pass where oneDNN can.

    Args:
        conv: With zeros for padding, as many as it says or as TensorFlow's ``SAME`` asks for.
        activation: One of `ACTIVATIONS`.
    """

    def __init__(self, conv: nn.Conv2d, activation: str) -> None:
        super().__init__()
        self.conv = conv
        self.activation = activation

    def forward(self, x: torch.Tensor, *, is_padded: bool = False) -> torch.Tensor:
        """``[B, C, h, w]`` -> ``[B, C_out, h', w']``; nothing more is padded if ``x`` already is."""
        if is_padded:
            padding: tuple[int, ...] = (0, 0)
        elif isinstance(self.conv, SamePaddedConv2d):
            x, padding = self.conv.padded(x)
        else:
            padding = self.conv.padding
        conv = self.conv
        if not _has_one_pass(x):
            y = F.conv2d(x, conv.weight, conv.bias, conv.stride, padding, conv.dilation, conv.groups)
            return PLAIN_ACTIVATIONS[self.activation](y)
        return torch.ops.mkldnn._convolution_pointwise(
            x, conv.weight, conv.bias, padding, conv.stride, conv.dilation, conv.groups, *ACTIVATIONS[self.activation], ""
        )


class FusedInvertedResidual(nn.Module):
    """An `InvertedResidual` in three passes over its feature maps.

    Args:
        block: Its batch norms are folded into its convolutions, and those of 1x1 pixels are `PointwiseConv2d`.
    """

    def __init__(self, block: InvertedResidual) -> None:
        super().__init__()
        self.expand = None if block.expand is None else block.expand[0]
        if self.expand is not None:
            self.expand.activation = "relu6"
        self.depthwise = FusedConv2d(block.depthwise[0], "relu6")
        self.project = block.project[0]
        self.has_skip = block.has_skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[B, C, h, w]`` -> ``[B, C_out, h', w']``."""
        (left, right), (top, bottom) = self.depthwise.conv.same_padding(x.shape)
        if self.expand is None:
            y = self.depthwise(x)
        elif (left, top) == (right, bottom):
            y = self.depthwise(self.expand(x))
        else:
            # A sixth of the pixels' numbers has to be moved if that is done before they become many.
            y = self.expand(F.pad(x, (left, right, top, bottom)))
            height, width = x.shape[-2:]
            for border in (y[:, :, :top], y[:, :, top + height :], y[..., :left], y[..., left + width :]):
                border.zero_()
            y = self.depthwise(y, is_padded=True)
        return self.project(y, x if self.has_skip else None)


def prepare_convolutions(module: nn.Module) -> None:
    """Make a module's convolutions cheap, in place; it must be in evaluation mode and is not trained any more."""
    for parent in module.modules():
        if isinstance(parent, SEQUENTIAL):
            _fold_batch_norms(parent)
        for name, child in list(parent.named_children()):
            if _is_pointwise(child):
                setattr(parent, name, PointwiseConv2d(child))
            elif isinstance(child, nn.ReLU) and isinstance(parent, OVERWRITING):
                child.inplace = True
    for parent in list(module.modules()):
        if isinstance(parent, SEQUENTIAL):
            _fuse_activations(parent)
        for name, child in list(parent.named_children()):
            if isinstance(child, InvertedResidual):
                setattr(parent, name, FusedInvertedResidual(child))


def _fold_batch_norms(parent: nn.Module) -> None:
    """Each batch norm that directly follows a convolution becomes part of it."""
    for (conv_name, conv), (norm_name, norm) in pairwise(list(parent.named_children())):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(parent, conv_name, fuse_conv_bn_eval(conv, norm))
            setattr(parent, norm_name, nn.Identity())


def _fuse_activations(parent: nn.Module) -> None:
    """Each activation that follows a convolution becomes part of it."""
    children = [(name, child) for name, child in parent.named_children() if not isinstance(child, nn.Identity)]
    for (conv_name, conv), (activation_name, activation) in pairwise(children):
        if (fused := ACTIVATION_MODULES.get(type(activation))) is None:
            continue
        if isinstance(conv, PointwiseConv2d):
            conv.activation = fused
        elif isinstance(conv, nn.Conv2d) and conv.padding_mode == "zeros" and not isinstance(conv.padding, str):
            setattr(parent, conv_name, FusedConv2d(conv, fused))
        else:
            continue
        setattr(parent, activation_name, nn.Identity())


def _is_pointwise(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.Conv2d)
        and (module.kernel_size, module.stride, module.groups) == ((1, 1), (1, 1), 1)
        and module.padding in ((0, 0), "valid", "same")
    )
