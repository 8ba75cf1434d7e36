"""Models to train: new ones and trained ones, with the changes that training needs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation
from transformers.models.mask2former.modeling_mask2former import Mask2FormerLoss

from mpvss_model.checkpoints.convert import PREPROCESSOR_CONFIG, read_released
from mpvss_model.checkpoints.mpvss_model import MPVSSConfig, MPVSSModel
from mpvss_model.config import FRAME_SIZE
from mpvss_model.errors import CheckpointError, ConfigError
from mpvss_model.image import IMAGENET_MEAN, IMAGENET_STD
from mpvss_model.motion.config import MotionConfig
from mpvss_model.motion.module import MotionModule
from mpvss_model.segmentor.image_statistics import image_statistics
from mpvss_model.segmentor.mask2former.backbones import BACKBONES, FEATURE_STAGES, BackboneConfig, mask2former_config
from mpvss_model.segmentor.mask2former.efficientnet_lite import VARIANTS, EfficientNetLiteConfig, imagenet_state_dict
from mpvss_model.segmentor.mask2former.initial_weights import draw_published_weights
from mpvss_model.segmentor.mask2former.segmentor import Mask2FormerSegmentor
from mpvss_model.segmentor.network_files import quiet, write_network
from mpvss_model.segmentor.registry import load_model

__all__ = ["StartingModel", "load_start", "new_start", "replace_classes", "save_model", "set_losses", "with_motion"]

RGB = tuple[float, ...]
# A Swin that hands on feature maps has a norm for each, which one that classifies images lacks.
SEGMENTATION_NORMS = "hidden_states_norms."
BACKBONE_PREFIX = "model.pixel_level_module.encoder."
CLASS_HEAD_PREFIX = "class_predictor."
CRITERION_PREFIX = "criterion."


@dataclass(frozen=True)
class StartingModel:
    """What training starts from, on the CPU.

    Attributes:
        network: The segmentor. Its configuration's ``inference_size`` is what `StreamConfig` calls the model's recommendation,
            its ``thing_classes`` are those that the model says.
        motion: Its motion module, if it has one already.
        released_grid: How ``motion`` was trained to warp, see `mpvss_model.warp.backward_warp`.
        propagation: What ``auto`` stands for with ``motion``, see `MPVSSConfig`.
        image_mean: RGB mean of the segmentor's images, on the 0..1 scale.
        image_std: Likewise the standard deviation.
    """

    network: Mask2FormerForUniversalSegmentation
    motion: MotionModule | None = None
    released_grid: bool = False
    propagation: str = "segment"
    image_mean: RGB = IMAGENET_MEAN
    image_std: RGB = IMAGENET_STD


def new_start(
    *,
    backbone: str,
    class_names: tuple[str, ...],
    settings: Mapping[str, Any],
    backbone_weights: str = "",
    others_from: str = "",
) -> StartingModel:
    """A Mask2Former with random weights, drawn as in the published code, see `draw_published_weights`.

    Args:
        backbone: ``r50`` .. ``swin-l``, or ``lite0`` .. ``lite4`` for an EfficientNet-Lite.
        class_names: By class index.
        settings: Further arguments of ``Mask2FormerConfig``.
        backbone_weights: Pretrained ones: the ``.pth`` file of a published EfficientNet-Lite, or a directory or hub id of a
            model with this backbone; empty for none.
        others_from: Name of a shipped model, checkpoint directory or hub id: everything but the backbone is taken from this
            Mask2Former where sizes are the same, the class head if it has the same classes; empty for none.

    Raises:
        ConfigError: If there is no such backbone or setting.
        CheckpointError: If the weights are missing or of another architecture.
    """
    unknown = [name for name in settings if name not in Mask2FormerConfig.__dataclass_fields__]
    if unknown:
        raise ConfigError(f"unknown model.settings {', '.join(unknown)}: they are no arguments of Mask2FormerConfig")
    backbone_config = _backbone_config(backbone)
    try:
        with quiet():
            model = Mask2FormerForUniversalSegmentation(mask2former_config(backbone_config, len(class_names), **settings))
    except Exception as error:  # wrong types and sizes that do not fit show in many ways
        raise ConfigError(f"model.settings make no Mask2Former: {_one_line(error)}") from error
    draw_published_weights(model)
    _name_classes(model, class_names)
    if backbone_weights:
        _load_backbone(model.model.pixel_level_module.encoder, backbone_weights)
    if others_from:
        _take_all_but_backbone(model, load_start(others_from).network)
    return StartingModel(model)


def load_start(name_or_dir: str) -> StartingModel:
    """A trained Mask2Former or MPVSS model, ready to be trained further.

    Args:
        name_or_dir: Name of a shipped model, checkpoint directory or hub id.

    Raises:
        CheckpointError: If it is missing, incomplete, broken, or of another type.
    """
    loaded = load_model(name_or_dir, device=torch.device("cpu"))
    if not isinstance(loaded.segmentor, Mask2FormerSegmentor):
        raise CheckpointError(f"model {name_or_dir!r} is no Mask2Former: only those can be trained further")
    for module in (loaded.segmentor.model, loaded.motion):
        if module is not None:
            module.requires_grad_(True)
    mean, std = image_statistics(name_or_dir)
    network = loaded.segmentor.model
    network.config.inference_size = loaded.inference_size
    network.config.thing_classes = [*loaded.thing_classes] or None
    if loaded.motion is None:
        return StartingModel(network, image_mean=mean, image_std=std)
    return StartingModel(network, loaded.motion, loaded.released_grid, loaded.propagation, mean, std)


def save_model(model: nn.Module, folder: Path, *, image_mean: RGB, image_std: RGB) -> None:
    """Write a model directory that `load_start` and `VideoSegmentor.from_pretrained` load."""
    write_network(model, folder)
    settings = PREPROCESSOR_CONFIG | {"image_mean": list(image_mean), "image_std": list(image_std)}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def replace_classes(model: Mask2FormerForUniversalSegmentation, class_names: tuple[str, ...]) -> None:
    """Give a trained Mask2Former a new class head; everything else keeps its weights."""
    model.class_predictor = nn.Linear(model.config.hidden_dim, len(class_names) + 1)
    _name_classes(model, class_names)
    _build_criterion(model)  # it holds a weight for each class, which is saved, too


def set_losses(model: Mask2FormerForUniversalSegmentation, **settings: float) -> None:
    """Let a Mask2Former's configuration say with which weights and sampling of the losses it was trained."""
    for name, value in settings.items():
        setattr(model.config, name, value)
    _build_criterion(model)


def _build_criterion(model: Mask2FormerForUniversalSegmentation) -> None:
    model.weight_dict = {
        "loss_cross_entropy": model.config.class_weight,
        "loss_mask": model.config.mask_weight,
        "loss_dice": model.config.dice_weight,
    }
    model.criterion = Mask2FormerLoss(config=model.config, weight_dict=model.weight_dict)


def with_motion(start: StartingModel, settings: Mapping[str, Any]) -> MPVSSModel:
    """The starting segmentor and its motion module, or a new one, as one model.

    Args:
        start: Becomes part of the model.
        settings: Of the motion module's `MotionConfig`, without those that the segmentor decides.

    Raises:
        ConfigError: If a setting is unknown or out of range, or does not fit the motion module that there is.
    """
    decided = {"num_queries": start.network.config.num_queries, "query_size": start.network.config.hidden_dim}
    kept = {} if start.motion is None else asdict(start.motion.config)
    motion = asdict(MotionConfig.from_dict({**kept, **settings, **decided}))
    with quiet():
        config = MPVSSConfig(
            segmentor=start.network.config,
            motion=motion,
            released_grid=start.released_grid,
            propagation=start.propagation,
            inference_size=getattr(start.network.config, "inference_size", FRAME_SIZE),
            thing_classes=getattr(start.network.config, "thing_classes", None),
        )
        model = MPVSSModel(config)
    model.segmentor = start.network
    if start.motion is not None:
        try:
            model.motion.load_state_dict(start.motion.state_dict())
        except RuntimeError:  # sizes differ
            changed = ", ".join(f"{name} ({kept[name]})" for name in settings if motion[name] != kept[name])
            raise ConfigError(f"model.motion does not fit the motion module of the model to start from: {changed}") from None
    return model


def _backbone_config(name: str) -> BackboneConfig:
    if name in VARIANTS:
        return EfficientNetLiteConfig(variant=name, out_features=FEATURE_STAGES)
    if name not in BACKBONES:
        raise ConfigError(f"unknown model.backbone {name!r}; known are {', '.join([*BACKBONES, *VARIANTS])}")
    return BACKBONES[name]


def _name_classes(model: Mask2FormerForUniversalSegmentation, class_names: tuple[str, ...]) -> None:
    model.config.id2label = dict(enumerate(class_names))
    model.config.label2id = {name: i for i, name in enumerate(class_names)}


def _take_all_but_backbone(model: Mask2FormerForUniversalSegmentation, other: Mask2FormerForUniversalSegmentation) -> None:
    own, has_other_classes = model.state_dict(), model.config.id2label != other.config.id2label
    left_out = (BACKBONE_PREFIX, *([CLASS_HEAD_PREFIX] if has_other_classes else []), CRITERION_PREFIX)
    taken = {
        name: value
        for name, value in other.state_dict().items()
        if not name.startswith(left_out) and name in own and own[name].shape == value.shape
    }
    model.load_state_dict(taken, strict=False)


def _load_backbone(backbone: nn.Module, weights: str) -> None:
    """Load a published EfficientNet-Lite's ``.pth`` file, or any model of ``transformers`` with the same backbone."""
    try:
        if weights.endswith(".pth"):
            backbone.load_state_dict(imagenet_state_dict(read_released(weights)))
            return
        with quiet():
            loaded, info = type(backbone).from_pretrained(weights, config=backbone.config, output_loading_info=True)
        backbone.load_state_dict(loaded.state_dict())
    except CheckpointError:
        raise
    except Exception as error:  # transformers, safetensors and the hub client raise a dozen unrelated types here
        raise CheckpointError(f"cannot load backbone weights {weights!r}: {_one_line(error)}") from error
    missing = sorted(name for name in info["missing_keys"] if not name.startswith(SEGMENTATION_NORMS))
    if missing:
        raise CheckpointError(
            f"backbone weights {weights!r} lack {len(missing)} tensors: {textwrap.shorten(', '.join(missing), 300)}"
        )


def _one_line(error: Exception) -> str:
    return textwrap.shorten(str(error) or type(error).__name__, 300)
