"""The paper's backbones by name, as Mask2Former configurations."""

from __future__ import annotations

from transformers import Mask2FormerConfig, ResNetConfig, SwinConfig
from transformers.configuration_utils import PreTrainedConfig as BackboneConfig

from mpvss_model.errors import ConfigError

__all__ = [
    "BACKBONES",
    "BackboneConfig",
    "backbone_name",
    "mask2former_config",
    "paper_backbone",
    "resnet_config",
    "swin_config",
]

FEATURE_STAGES = ["stage1", "stage2", "stage3", "stage4"]


def resnet_config(**sizes: object) -> ResNetConfig:
    """A ResNet that hands on its four stages; strides sit in the 3x3 convolutions, as in detectron2's."""
    return ResNetConfig(downsample_in_bottleneck=False, out_features=FEATURE_STAGES, **sizes)


def swin_config(**sizes: object) -> SwinConfig:
    """A Swin Transformer that hands on its four stages."""
    return SwinConfig(drop_path_rate=0.3, out_features=FEATURE_STAGES, **sizes)


BACKBONES: dict[str, BackboneConfig] = {
    "r50": resnet_config(depths=[3, 4, 6, 3]),
    "r101": resnet_config(depths=[3, 4, 23, 3]),
    "swin-t": swin_config(embed_dim=96, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24], window_size=7),
    "swin-s": swin_config(embed_dim=96, depths=[2, 2, 18, 2], num_heads=[3, 6, 12, 24], window_size=7),
    "swin-b": swin_config(embed_dim=128, depths=[2, 2, 18, 2], num_heads=[4, 8, 16, 32], window_size=12),
    "swin-l": swin_config(embed_dim=192, depths=[2, 2, 18, 2], num_heads=[6, 12, 24, 48], window_size=12),
}


def paper_backbone(name: str) -> BackboneConfig:
    """The configuration of ``r50``, ``r101``, ``swin-t``, ``swin-s``, ``swin-b`` or ``swin-l``.

    Raises:
        ConfigError: If there is no such backbone.
    """
    if name not in BACKBONES:
        raise ConfigError(f"unknown backbone {name!r}; known are {', '.join(BACKBONES)}")
    return BACKBONES[name]


def mask2former_config(backbone: BackboneConfig, num_classes: int, **settings: object) -> Mask2FormerConfig:
    """A Mask2Former of the paper (100 queries, 9 decoder layers) on any backbone.

    Args:
        backbone: Handing on four feature maps, at strides 4 .. 32.
        num_classes: Without "no object"; 124 for VSPW, 19 for Cityscapes.
        **settings: Of ``Mask2FormerConfig``, where they differ.
    """
    return Mask2FormerConfig(backbone_config=backbone.to_dict(), num_labels=num_classes, **settings)


def backbone_name(config: BackboneConfig) -> str:
    """The paper's name of a backbone, or a description of one that is not the paper's."""
    for name, known in BACKBONES.items():
        if _sizes(known) == _sizes(config):
            return name
    return f"{config.model_type} ({', '.join(f'{key} {value}' for key, value in _sizes(config).items())})"


def _sizes(config: BackboneConfig) -> dict[str, object]:
    names = ("layer_type", "embedding_size", "hidden_sizes", "embed_dim", "depths", "num_heads", "window_size", "mlp_ratio")
    sizes = {name: getattr(config, name) for name in names if hasattr(config, name)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in sizes.items()}
