"""Convolutions and linear layers for training on CPUs: frozen batch norms and activations folded in, and cheap gradients."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import FunctionCtx, once_differentiable

from mpvss_model.segmentor.mask2former.convolutions import ACTIVATIONS, SEQUENTIAL
from mpvss_model.segmentor.mask2former.efficientnet_lite import InvertedResidual, SamePaddedConv2d

__all__ = ["TrainedConv2d", "TrainedLinear", "prepare_trained_convolutions"]

Gradients = tuple[torch.Tensor | None, ...]


class TrainedConv2d(nn.Module):
    """A convolution with the parameters of another, and of the batch norm that follows it if that is frozen.

    The norm's scale is folded into the weights at each call, so that gradients reach the weights through it.

    Args:
        conv: Its parameters are shared, not copied.
        norm: In evaluation mode, with weights that are not trained; None for none.
    """

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d | None = None) -> None:
        super().__init__()
        self.conv = conv
        self.norm = norm
        self.activation = ""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[B, C, h, w]`` -> ``[B, C_out, h', w']``, both in ``channels_last`` layout."""
        weight, bias = self.conv.weight, self.conv.bias
        if self.norm is not None:
            scale = self.norm.weight * (self.norm.running_var + self.norm.eps).rsqrt()
            shift = self.norm.bias - self.norm.running_mean * scale
            weight = weight * scale[:, None, None, None]
            bias = shift if bias is None else shift + bias * scale
        return _Convolution.apply(*_in_autocast_type(x, weight, bias), _geometry(self.conv, x.shape), self.activation)


class TrainedLinear(nn.Module):
    """A linear layer, and perhaps a ReLU after it, of many tokens: a convolution of pixels in a row.

    Args:
        linear: Its parameters are shared, not copied.
        has_relu: Whether the result is cut off below 0.
    """

    def __init__(self, linear: nn.Linear, *, has_relu: bool = False) -> None:
        super().__init__()
        self.linear = linear
        self.activation = "relu" if has_relu else ""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """``[B, S, C]`` -> ``[B, S, C_out]``."""
        x, weight, bias = _in_autocast_type(tokens, self.linear.weight, self.linear.bias)
        pixels = x.transpose(1, 2).unsqueeze(2)  # [B, C, 1, S], in channels_last layout already
        y = _Convolution.apply(pixels, weight[:, :, None, None], bias, POINTWISE, self.activation)
        return y.squeeze(2).transpose(1, 2)


class TrainedInvertedResidual(nn.Module):
    """An `InvertedResidual` whose ReLU6 are part of its convolutions.

    Args:
        block: Its convolutions are `TrainedConv2d` that norms are folded into.
    """

    def __init__(self, block: InvertedResidual) -> None:
        super().__init__()
        self.block = block
        for layer in (block.expand, block.depthwise):
            if layer is not None:
                layer[0].activation = "relu6"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        block = self.block
        y = block.project(block.depthwise(x if block.expand is None else block.expand(x)))
        return x + y if block.has_skip else y


class _Geometry(NamedTuple):
    """How a kernel moves over a feature map.

    Attributes:
        stride: In pixels.
        padding: On both sides.
        dilation: In pixels.
        groups: Of channels.
        left_out: So many rows and columns at the start of the result do not count. With them, padding that is larger at the
            end than at the start becomes equal on both sides, which needs no copy of the feature map.
        size: Height and width of what counts; None for all.
    """

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    left_out: tuple[int, int] = (0, 0)
    size: tuple[int, int] | None = None


POINTWISE = _Geometry((1, 1), (0, 0), (1, 1), 1)
FLOAT64_ACTIVATIONS = {"": nn.Identity(), "relu": F.relu, "relu6": F.relu6}


class _Convolution(torch.autograd.Function):
    """A convolution and perhaps an activation."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        geometry: _Geometry,
        activation: str,
    ) -> torch.Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        y = _convolved(x, weight, bias, geometry, activation)
        ctx.save_for_backward(x, weight, y if activation else None)
        ctx.geometry, ctx.activation, ctx.has_bias = geometry, activation, bias is not None
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: torch.Tensor) -> Gradients:
        x, weight, y = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        if ctx.activation == "relu6":
            gradient = torch.ops.aten.hardtanh_backward(gradient, y, 0, 6)
        elif ctx.activation == "relu":
            gradient = torch.ops.aten.threshold_backward(gradient, y, 0)
        wants_x, wants_weight, wants_bias, *_ = ctx.needs_input_grad
        to_bias = gradient.sum((0, 2, 3)) if ctx.has_bias and wants_bias else None
        to_x, to_weight = _gradients(gradient, x, weight, ctx.geometry, wants_x, wants_weight)
        return to_x, to_weight, to_bias, None, None


def prepare_trained_convolutions(module: nn.Module, *, norms_are_frozen: bool) -> None:
    """Make a module's convolutions cheap to train, in place; it keeps its parameters but not their names.

    Args:
        module: Whose batch norms are in evaluation mode if they are frozen.
        norms_are_frozen: Whether batch norms keep their statistics and weights.
    """
    for parent in list(module.modules()):
        children = list(parent.named_children())
        if isinstance(parent, SEQUENTIAL) and norms_are_frozen:
            for (name, conv), (norm_name, norm) in pairwise(children):
                if _is_known(conv) and isinstance(norm, nn.BatchNorm2d):
                    setattr(parent, name, TrainedConv2d(conv, norm))
                    setattr(parent, norm_name, nn.Identity())
        for name, child in parent.named_children():
            if _is_known(child) and not isinstance(parent, TrainedConv2d):
                setattr(parent, name, TrainedConv2d(child))
    if norms_are_frozen:
        for parent in list(module.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, InvertedResidual):
                    setattr(parent, name, TrainedInvertedResidual(child))


def _in_autocast_type(*tensors: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
    if not torch.is_autocast_enabled("cpu"):
        return tensors
    dtype = torch.get_autocast_dtype("cpu")
    return tuple(tensor if tensor is None else tensor.to(dtype) for tensor in tensors)


def _is_known(module: nn.Module) -> bool:
    if type(module) not in (nn.Conv2d, SamePaddedConv2d):
        return False
    return module.padding_mode == "zeros" and not isinstance(module.padding, str)


def _geometry(conv: nn.Conv2d, shape: torch.Size) -> _Geometry:
    """Of a convolution on a ``[B, C, h, w]``."""
    if not isinstance(conv, SamePaddedConv2d):
        return _Geometry(conv.stride, conv.padding, conv.dilation, conv.groups)
    padding, left_out = [], []
    for (start, end), stride in zip(reversed(conv.same_padding(shape)), conv.stride, strict=True):
        earlier = -(-(end - start) // stride)  # strides that it starts earlier, for as many results more
        padding.append(start + earlier * stride)
        left_out.append(earlier)
    if not any(left_out):
        return _Geometry(conv.stride, tuple(padding), conv.dilation, conv.groups)
    size = tuple(-(-side // stride) for side, stride in zip(shape[2:], conv.stride, strict=True))
    return _Geometry(conv.stride, tuple(padding), conv.dilation, conv.groups, tuple(left_out), size)


def _is_pointwise(weight: torch.Tensor, geometry: _Geometry) -> bool:
    """Whether it is a product of matrices: torch is slow at small 1x1 convolutions and their gradients."""
    return weight.shape[2:] == (1, 1) and geometry == POINTWISE


def _convolved(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, geometry: _Geometry, activation: str
) -> torch.Tensor:
    """A convolution and perhaps an activation, in one pass over memory."""
    stride, padding, dilation, groups, (top, left), size = geometry
    if x.dtype == torch.float64:  # which oneDNN does not have
        y = FLOAT64_ACTIVATIONS[activation](F.conv2d(x, weight, bias, stride, padding, dilation, groups))
    else:
        after = ACTIVATIONS[activation]
        y = torch.ops.mkldnn._convolution_pointwise(x, weight, bias, padding, stride, dilation, groups, *after, "")
    if size is None:
        return y
    return y[..., top : top + size[0], left : left + size[1]].contiguous(memory_format=torch.channels_last)


def _gradients(
    gradient: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, geometry: _Geometry, wants_x: bool, wants_weight: bool
) -> Gradients:
    """Of the feature map and the weights. Wherever torch has a slow case, another way to the same numbers is gone."""
    if _is_pointwise(weight, geometry):
        to_x = _product(gradient, weight.flatten(1)) if wants_x else None
        to_weight = (_pixels(gradient).t() @ _pixels(x)).view(weight.shape) if wants_weight else None
        return to_x, to_weight
    weight_gradient = _weight_gradient_of(weight, geometry) if wants_weight else None
    to_x, to_weight = _general_gradients(gradient, x, weight, geometry, wants_x, wants_weight and weight_gradient is None)
    return to_x, to_weight if weight_gradient is None else weight_gradient(gradient, x, weight, geometry)


def _weight_gradient_of(weight: torch.Tensor, geometry: _Geometry) -> Callable[..., torch.Tensor] | None:
    """A faster way than torch's, for some depthwise convolutions."""
    if weight.shape[1:] == (1, 5, 5) and geometry.stride == geometry.dilation == (1, 1):
        return _weight_gradient_5x5
    if weight.shape[1:] == (1, 3, 3) and geometry.size is not None:
        return _weight_gradient_3x3
    return None


def _general_gradients(
    gradient: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, geometry: _Geometry, wants_x: bool, wants_weight: bool
) -> Gradients:
    if not (wants_x or wants_weight):
        return None, None
    stride, padding, dilation, groups, (top, left), size = geometry
    if size is not None:
        whole = [
            (side + 2 * pad - kernel) // step + 1
            for side, pad, kernel, step in zip(x.shape[2:], padding, weight.shape[2:], stride, strict=True)
        ]
        gradient = F.pad(gradient, (left, whole[1] - left - size[1], top, whole[0] - top - size[0]))
    wanted = wants_x, wants_weight, False
    return torch.ops.aten.convolution_backward(
        gradient, x, weight, None, stride, padding, dilation, False, (0, 0), groups, wanted
    )[:2]


def _weight_gradient_3x3(gradient: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, geometry: _Geometry) -> torch.Tensor:
    """Of a depthwise convolution with unequal padding: with that spelled out, since more padding than 1 is slow."""
    starts = [pad - step * out for pad, step, out in zip(geometry.padding, geometry.stride, geometry.left_out, strict=True)]
    seen = _window(
        x, *starts, *((side - 1) * step + 3 for side, step in zip(gradient.shape[2:], geometry.stride, strict=True))
    )
    inner = _Geometry(geometry.stride, (0, 0), (1, 1), len(weight))
    return _general_gradients(gradient, seen, weight, inner, False, True)[1]


def _weight_gradient_5x5(gradient: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, geometry: _Geometry) -> torch.Tensor:
    """Of a depthwise convolution: put together from the fast ones of 3x3 corners, which agree where they overlap."""
    result = torch.empty_like(weight)
    kernel = weight.new_empty(len(weight), 1, 3, 3)
    height, width = gradient.shape[2] + 2, gradient.shape[3] + 2
    y_padding, x_padding = geometry.padding
    corners = _Geometry((1, 1), (0, 0), (1, 1), len(weight))
    for top in (0, 2):
        for left in (0, 2):
            seen = _window(x, y_padding - top, x_padding - left, height, width)
            _, corner = _general_gradients(gradient, seen, kernel, corners, False, True)
            result[..., top : top + 3, left : left + 3] = corner
    return result


def _window(x: torch.Tensor, above: int, before: int, height: int, width: int) -> torch.Tensor:
    """A copy of a feature map with rows above and columns before it (cut off, if negative), and as large as given."""
    shape = *x.shape[:2], height, width
    window = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    (top, bottom), (left, right) = (
        (max(start, 0), min(start + size, end))
        for start, size, end in zip((above, before), x.shape[2:], (height, width), strict=True)
    )
    window[..., top:bottom, left:right] = x[..., top - above : bottom - above, left - before : right - before]
    window[..., :top, :] = window[..., bottom:, :] = window[..., :left] = window[..., right:] = 0
    return window


def _pixels(x: torch.Tensor) -> torch.Tensor:
    """``[B, C, h, w]`` in ``channels_last`` layout -> ``[B * h * w, C]``, without a copy."""
    return x.permute(0, 2, 3, 1).flatten(0, 2)


def _product(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """``[B, C, h, w]`` times ``[C, C_out]``: ``[B, C_out, h, w]``."""
    batch, _, height, width = x.shape
    shape = batch, weight.shape[1], height, width
    # Not a view of something else, so that what follows may overwrite it.
    result = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    torch.mm(_pixels(x), weight, out=_pixels(result))
    return result
