"""Convolutions for inference: without batch norms after them, as matrix products where they are just that."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from transformers.models.resnet.modeling_resnet import ResNetBasicLayer, ResNetBottleNeckLayer, ResNetConvLayer, ResNetShortCut

__all__ = ["PointwiseConv2d", "prepare_convolutions"]

# Modules that apply their parts in the order in which they list them.
SEQUENTIAL = (nn.Sequential, ResNetConvLayer, ResNetShortCut)
# Modules that need the input of their activation no more.
OVERWRITING = (nn.Sequential, ResNetConvLayer, ResNetBasicLayer, ResNetBottleNeckLayer)


class PointwiseConv2d(nn.Module):
    """A 1x1 convolution as a matrix product of pixels in ``channels_last`` layout, which is what it is.

    On a single thread, torch sends small 1x1 convolutions to a slow implementation.

    Args:
        conv: With kernel 1, stride 1, no padding and one group.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(conv.weight.detach().flatten(1), requires_grad=False)
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach(), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[B, C, h, w]`` -> ``[B, C_out, h, w]``."""
        return F.linear(x.permute(0, 2, 3, 1), self.weight, self.bias).permute(0, 3, 1, 2)


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


def _fold_batch_norms(parent: nn.Module) -> None:
    """Each batch norm that directly follows a convolution becomes part of it."""
    for (conv_name, conv), (norm_name, norm) in pairwise(list(parent.named_children())):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(parent, conv_name, fuse_conv_bn_eval(conv, norm))
            setattr(parent, norm_name, nn.Identity())


def _is_pointwise(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.Conv2d)
        and (module.kernel_size, module.stride, module.groups) == ((1, 1), (1, 1), 1)
        and module.padding in ((0, 0), "valid", "same")
    )
