"""Batch norms become part of the convolutions before them, which is exact once training is over."""

from __future__ import annotations

from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from transformers.models.resnet.modeling_resnet import ResNetConvLayer, ResNetShortCut

__all__ = ["fold_batch_norms"]

# Modules that apply their parts in the order in which they list them.
SEQUENTIAL = (nn.Sequential, ResNetConvLayer, ResNetShortCut)


def fold_batch_norms(module: nn.Module) -> None:
    """Fold, in place, each batch norm that directly follows a convolution; ``module`` must be in evaluation mode."""
    for parent in module.modules():
        if not isinstance(parent, SEQUENTIAL):
            continue
        for (conv_name, conv), (norm_name, norm) in pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(parent, norm_name, nn.Identity())
