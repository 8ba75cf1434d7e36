"""MPVSS as one ``transformers`` model: a Mask2Former and its motion module in one checkpoint directory."""

from __future__ import annotations

from dataclasses import asdict
from typing import ClassVar

import torch
from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, AutoModel, Mask2FormerConfig, Mask2FormerForUniversalSegmentation, initialization
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.models.mask2former.modeling_mask2former import Mask2FormerForUniversalSegmentationOutput

import mpvss_model.segmentor.mask2former.efficientnet_lite  # noqa: F401  registers the backbone with transformers
from mpvss_model.errors import ConfigError
from mpvss_model.motion.config import MotionConfig
from mpvss_model.motion.module import MotionModule
from mpvss_model.propagation.registry import propagation_names
from mpvss_model.segmentor.mask2former.backbones import mask2former_config, paper_backbone

__all__ = ["MPVSSConfig", "MPVSSModel", "paper_config"]


@strict
class MPVSSConfig(PreTrainedConfig):
    """What the ``config.json`` of an `MPVSSModel` says.

    Args:
        segmentor: Of the key-frame segmentor: a `Mask2FormerConfig`, or its fields; by default that of ``transformers``.
        motion: Fields of a `MotionConfig`; without them the model has no motion module.
        released_grid: Whether masks are warped on the grid of the authors' code, see `mpvss_model.warp.backward_warp`.
        propagation: What ``"auto"`` stands for with this model, if it has a motion module: one of
            `mpvss_model.propagation.registry.propagation_names`.
        inference_size: The size of inference that the model recommends, see `mpvss_model.config.StreamConfig`; 0 for none.
        thing_classes: Names or indices of the segmentor's classes that are things; None for a model that finds classes only.

    Raises:
        ConfigError: If the segmentor is no Mask2Former, the motion module does not take its queries, or there is no such
            propagation.
    """

    model_type = "mpvss"
    sub_configs: ClassVar[dict[str, type[PreTrainedConfig]]] = {"segmentor": Mask2FormerConfig}

    segmentor: dict | PreTrainedConfig | None = None
    motion: dict | None = None
    released_grid: bool = False
    propagation: str = "segment"
    inference_size: int = 0
    thing_classes: list[str | int] | None = None

    def __post_init__(self, **kwargs):
        self.segmentor = _segmentor_config(self.segmentor)
        if self.motion is not None:
            motion = MotionConfig.from_dict(self.motion)
            expected = (self.segmentor.num_queries, self.segmentor.hidden_dim)
            if (motion.num_queries, motion.query_size) != expected:
                raise ConfigError(
                    f"the motion module takes {motion.num_queries} queries of {motion.query_size} channels, but the segmentor "
                    f"makes {expected[0]} of {expected[1]}; make num_queries and query_size agree"
                )
            self.motion = asdict(motion)
        if self.propagation not in (names := propagation_names()):
            raise ConfigError(f"propagation in config.json must be one of {', '.join(names)}, got {self.propagation!r}")
        super().__post_init__(**kwargs)


def _segmentor_config(config: dict | PreTrainedConfig | None) -> PreTrainedConfig:
    """That of a Mask2Former, which a motion module goes with: it takes the queries of one."""
    fields = config.to_dict() if isinstance(config, PreTrainedConfig) else config or {}
    model_type = fields.get("model_type", Mask2FormerConfig.model_type)
    if model_type != Mask2FormerConfig.model_type:
        raise ConfigError(
            f"segmentor in config.json is of type {model_type!r}; expected {Mask2FormerConfig.model_type!r}, whose queries a "
            "motion module takes: use the segmentor's own directory, with propagation 'tracked'"
        )
    return config if isinstance(config, PreTrainedConfig) else Mask2FormerConfig(**fields)


class MPVSSModel(PreTrainedModel):
    """A key-frame segmentor and, unless ``config.motion`` is None, the motion module that goes with it.

    Args:
        config: Sizes of both.
    """

    config_class = MPVSSConfig
    main_input_name = "pixel_values"
    # Computed from the configuration, or never read.
    _keys_to_ignore_on_load_missing: ClassVar[list[str]] = [
        r"criterion\.empty_weight",
        r"num_batches_tracked",
        r"encoder\.swin\.layernorm\.",
    ]

    def __init__(self, config: MPVSSConfig) -> None:
        super().__init__(config)
        self.segmentor = Mask2FormerForUniversalSegmentation(config.segmentor)
        self.motion = None if config.motion is None else MotionModule(MotionConfig.from_dict(config.motion))
        self.post_init()

    def forward(self, pixel_values: torch.Tensor, **kwargs: object) -> Mask2FormerForUniversalSegmentationOutput:
        """Segment key frames: ``Mask2FormerForUniversalSegmentation.forward``."""
        return self.segmentor(pixel_values, **kwargs)

    def initialize_weights(self) -> None:
        """Called by ``transformers``, also while loading, for parameters that have no values yet."""
        super().initialize_weights()
        if self.motion is not None:
            for parameter, initial in zip(
                self.motion.parameters(), MotionModule(self.motion.config).parameters(), strict=True
            ):
                initialization.copy_(parameter, initial)  # leaves loaded parameters as they are

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Motion modules initialise themselves, and the segmentor is a ``PreTrainedModel`` of its own."""


def paper_config(backbone: str, num_classes: int) -> MPVSSConfig:
    """The published network.

    Args:
        backbone: ``r50``, ``r101``, ``swin-t``, ``swin-s``, ``swin-b`` or ``swin-l``.
        num_classes: 124 for VSPW, 19 for Cityscapes.

    Raises:
        ConfigError: If there is no such backbone, or no class.
    """
    if num_classes < 1:
        raise ConfigError(f"num_classes must be at least 1, got {num_classes!r}")
    return MPVSSConfig(segmentor=mask2former_config(paper_backbone(backbone), num_classes), motion=asdict(MotionConfig()))


AutoConfig.register("mpvss", MPVSSConfig)
AutoModel.register(MPVSSConfig, MPVSSModel)
