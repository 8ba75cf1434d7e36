"""Settings of a training run; the defaults are the published recipe for VSPW (MPVSS, section 4.1 and released code)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml

from mpvss_model.config import AUTO_INFERENCE_SIZE, StreamConfig
from mpvss_model.errors import ConfigError

__all__ = [
    "PADDED_MULTIPLE",
    "AugmentationConfig",
    "DataConfig",
    "LossConfig",
    "MixedDataConfig",
    "ModelConfig",
    "TrainingConfig",
]

PADDED_MULTIPLE = 32
# Of a model that learns from itself, see `mpvss_model.training.imitation`.
IMITATION_STAGES = ("backbone", "decoder")

S = TypeVar("S", bound="_Settings")


def _setting(default: Any, minimum: float = -math.inf, maximum: float = math.inf, choices: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"minimum": minimum, "maximum": maximum, "choices": choices})


class _Settings:
    """Checks every field against its type and bounds, and builds itself from nested mappings."""

    def __post_init__(self) -> None:
        types = get_type_hints(type(self))
        for setting in fields(self):
            _check(setting.name, getattr(self, setting.name), types[setting.name], setting.metadata)

    @classmethod
    def from_mapping(cls: type[S], values: Mapping[str, Any], path: str = "") -> S:  # no Self in Python 3.10
        """Build from what a YAML file holds; settings that it leaves out keep their defaults.

        Raises:
            ConfigError: If a setting is unknown, missing or out of range; ``path`` goes before its name.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(
                f"{path.rstrip('.') or 'a training configuration'} must be a mapping of settings, got {values!r}"
            )
        known = {setting.name: setting for setting in fields(cls)}
        unknown = [f"{path}{name}" for name in values if name not in known]
        if unknown:
            raise ConfigError(f"unknown setting {', '.join(unknown)}; known are {', '.join(path + name for name in known)}")
        missing = [
            f"{path}{name}" for name, s in known.items() if name not in values and s.default is s.default_factory is MISSING
        ]
        if missing:
            raise ConfigError(f"setting {', '.join(missing)} is missing")
        types = get_type_hints(cls)
        try:
            return cls(**{name: _converted(value, types[name], f"{path}{name}.") for name, value in values.items()})
        except ConfigError as error:
            raise error if not path or str(error).startswith(path) else ConfigError(f"{path}{error}") from None


@dataclass(frozen=True, kw_only=True)
class MixedDataConfig(_Settings):
    """Another data set whose samples are mixed into every batch, such as renderings beside photographs.

    Attributes:
        root: As in `DataConfig`.
        layout: Likewise.
        train_split: Likewise, but by default all of a plain folder.
        validation_split: Part to validate on, beside that of the main data set, which alone decides which model is best; empty
            for none.
        share: Of each batch, as near as whole samples allow.
        restyle_probability: Of giving a sample the colours of a random training frame of the main data set, and of filtering
            it at random, see `mpvss_model.training.samples.style`.
    """

    root: str
    layout: str = "auto"
    train_split: str = ""
    validation_split: str = ""
    share: float = _setting(MISSING, 0.0, 1.0)
    restyle_probability: float = _setting(0.0, 0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class DataConfig(_Settings):
    """Where the training data is.

    Attributes:
        root: Folder of the data set.
        layout: ``vspw``, ``cityscapes``, ``folder`` or ``auto``, see `mpvss_model.data`.
        train_split: Part to train on; empty for all of a plain folder.
        validation_split: Part to validate on; empty for no validation.
        mixed_with: Other data sets of the same classes.
    """

    root: str
    layout: str = "auto"
    train_split: str = "train"
    validation_split: str = "val"
    mixed_with: tuple[MixedDataConfig, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        total = sum(source.share for source in self.mixed_with)
        if total >= 1:
            raise ConfigError(f"mixed_with: shares must add up to less than 1, what is left is the main data's, got {total:g}")


@dataclass(frozen=True, kw_only=True)
class ModelConfig(_Settings):
    """The network and where its weights start.

    Attributes:
        start: Name of a shipped model, checkpoint directory or hub id to start from; empty for random weights.
        teacher: In the stages ``backbone`` and ``decoder``: the model to imitate, of the same sizes; empty for ``start``.
        replace_classes: Give the starting model a new class head for the data's classes; in the stage ``segmentor`` alone.
        backbone: For random weights: ``r50`` .. ``swin-l`` or ``lite0`` .. ``lite4``.
        others_from: For random weights: a model that everything but the backbone is taken from where it has the same sizes, so
            that only a new backbone has to be got used to; empty for none.
        settings: For random weights: further arguments of ``Mask2FormerConfig``.
        backbone_weights: For random weights: pretrained weights of the backbone; the ``.pth`` file of a published
            EfficientNet-Lite, or a directory or hub id of a ``transformers`` model with this backbone.
        motion_from: A model, such as that of ``start``, whose motion module the result gets: in the stage ``segmentor`` it is
            written beside the trained segmentor as it is, in the stage ``motion`` it is trained further. If empty, there is
            none after the stage ``segmentor``, and the stage ``motion`` trains that of ``start``, or else a new one.
        inference_size: The size of inference, as `StreamConfig` has it, that the model is validated at and recommends; 0 for
            the frames' own, -1 for that of the starting model.
        thing_classes: In the stage ``segmentor``: names of the classes whose single things are found one by one, as the data's
            images of instances show them (panoptic segmentation); the model says so, too. Empty to find classes alone.
        motion: Arguments of `MotionConfig` other than those that follow from the segmentor; they may not change the sizes of
            a motion module that the starting model has.
    """

    start: str = ""
    teacher: str = ""
    replace_classes: bool = False
    backbone: str = "r50"
    others_from: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    backbone_weights: str = ""
    motion_from: str = ""
    inference_size: int = _setting(AUTO_INFERENCE_SIZE)
    thing_classes: tuple[str, ...] = ()
    motion: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        StreamConfig(inference_size=self.inference_size)  # checks it


@dataclass(frozen=True, kw_only=True)
class LossConfig(_Settings):
    """Weights and sampling of Mask2Former's losses, by the names they have in ``Mask2FormerConfig``, and one more.

    Attributes:
        flow_weight: In the stage ``motion``: of the flow's error where it is known, see
            `AugmentationConfig.synthetic_probability`; per pixel of the flow's grid. Not part of the published recipe.
    """

    class_weight: float = _setting(2.0, 0.0)
    mask_weight: float = _setting(5.0, 0.0)
    dice_weight: float = _setting(5.0, 0.0)
    no_object_weight: float = _setting(0.1, 0.0)
    train_num_points: int = _setting(12544, 1)
    oversample_ratio: float = _setting(3.0, 1.0)
    importance_sample_ratio: float = _setting(0.75, 0.0, 1.0)
    flow_weight: float = _setting(0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig(_Settings):
    """Random changes to training frames; both frames of a pair are changed alike.

    Attributes:
        short_sides_px: The shorter side is resized to one of these, ...
        max_long_side_px: ... but the longer side to at most this.
        crop_height_px: Of the random crop, a multiple of 32; smaller frames are padded.
        crop_width_px: Likewise.
        max_class_share: Of the crop's labelled pixels, for one class; a crop with more is drawn again, up to ten times. 1 for
            any. The published recipe draws once.
        flip_probability: Of mirroring left and right.
        color: Whether brightness, contrast, saturation and hue vary (SSD, Liu et al., ECCV 2016).
        sensor_probability: Of each of the flaws of real cameras: exposure, defocus, motion blur, noise and JPEG artefacts; not
            part of the published recipe.
        max_exposure: Of exposure: by up to this factor brighter or darker; 1 for none.
        max_motion_blur: Longest streak, relative to the crop's width; 0 for none.
        max_noise: Highest standard deviation of Gaussian noise, of 255; at least 1.
        synthetic_probability: Of making a pair from one frame by a random camera motion, so that its flow is known exactly,
            for `LossConfig.flow_weight`; not part of the published recipe.
    """

    short_sides_px: tuple[int, ...] = _setting(tuple(range(480, 1921, 96)), 1)
    max_long_side_px: int = _setting(960, 1)
    crop_height_px: int = _setting(480, PADDED_MULTIPLE)
    crop_width_px: int = _setting(480, PADDED_MULTIPLE)
    max_class_share: float = _setting(1.0, 0.0, 1.0)
    flip_probability: float = _setting(0.5, 0.0, 1.0)
    color: bool = True
    sensor_probability: float = _setting(0.0, 0.0, 1.0)
    max_exposure: float = _setting(1.0, 1.0)
    max_motion_blur: float = _setting(0.0, 0.0, 1.0)
    max_noise: float = _setting(10.0, 1.0, 255.0)
    synthetic_probability: float = _setting(0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("crop_height_px", "crop_width_px"):
            if getattr(self, name) % PADDED_MULTIPLE:
                raise ConfigError(f"{name} must be a multiple of {PADDED_MULTIPLE}, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(_Settings):
    """One training run.

    Attributes:
        stage: ``segmentor`` trains a Mask2Former on single frames; a motion module that it started with is dropped unless
            ``model.motion_from`` keeps it. ``motion`` trains the motion module and the class and mask heads of a trained
            segmentor on pairs of frames, everything else frozen. ``backbone`` and then ``decoder`` train the segmentor of a
            whole model to see in frames with the flaws of cameras (`AugmentationConfig.sensor_probability`) what it saw
            without them: first its backbone, then all behind it. They need no labels and leave the motion module as it is.
        data: What to train on.
        model: What to train.
        loss: Mask2Former's losses.
        augmentation: Random changes to the frames.
        steps: Optimizer steps. A run can be continued with more than it was started with; its learning rate then follows the
            longer schedule.
        batch_size: Samples of a step, over all processes.
        accumulation_steps: Backward passes that a step's samples are divided into, to fit the memory.
        learning_rate: Of AdamW at the start; falls to 0 as ``(1 - step / steps) ** poly_power``.
        warmup_steps: During these first steps it rises from near 0, which helps large batches. The published recipe has none.
        backbone_lr_multiplier: The backbone's learning rate, relative.
        freeze_backbone_norms: In the stage ``segmentor``: whether the backbone's batch norms keep their pretrained statistics
            and weights, for batches that are too small to make new ones. The published recipe trains them.
        freeze_heads: In the stage ``motion``: whether the segmentor's class and mask heads keep their weights, so that key
            frames stay what they are. The published recipe trains them.
        teacher_share: In the stages ``backbone`` and ``decoder``: the part of the teacher's weights in the model that is
            written, 0 to 1; see `mpvss_model.training.imitation`.
        averaging: Decay of the moving average of the weights that is validated and written, such as 0.999: the weights of
            about the last thousand steps count. 0 for the weights of the last step, as in the published recipe.
        weight_decay: Of all but norms, embeddings and position biases.
        poly_power: See ``learning_rate``.
        gradient_clip: Norm of the whole gradient is clipped to this; 0 for no clipping.
        mixed_precision: ``no``, ``fp16``, ``bf16``, or ``auto``: on GPUs bf16, or fp16 where they lack it, and none on CPUs.
            With any but ``no``, GPUs multiply float32 matrices as TF32.
        max_frame_distance: Between the two frames of a pair.
        pairs_per_key_frame: In the stage ``motion``: later frames that share a key frame, so that it is segmented once for all
            of them. The published recipe has one.
        sampling: ``frames`` takes every frame equally often, ``clips`` every clip, as the published recipe does; ``auto`` is
            ``clips`` for the layout ``vspw``, else ``frames``.
        repeat_threshold: Frames with a class that is in a smaller part of the frames than this come more often, by the square
            root of how much smaller (repeat factor sampling; Gupta et al., LVIS, CVPR 2019). All labels are read once for it.
            With ``sampling: frames`` only; 0 for no such thing.
        seed: Of the initial weights, the order of samples and all randomness.
        workers: Processes that load samples, for each training process; 0 loads in the training process itself.
        log_interval: Steps between two entries of the TensorBoard log.
        checkpoint_interval: Steps between two checkpoints; as much is lost at most when the run dies.
        checkpoint_minutes: Another one when this time has passed since the last; 0 for none. The clock is read every
            ``log_interval`` steps.
        validation_interval: Steps between two validations; there is one before the first step and after the last, too.
        validation_clips: Validate on so many clips, evenly spread; 0 for all.
        key_frame_interval: Of validation in the stage ``motion``.
        max_minutes: Stop with a checkpoint when the whole run, earlier parts included, has taken so long, as on a machine that
            is rented by the hour; the clock is read every ``log_interval`` steps. Started again with a higher limit, the run
            goes on. 0 for no limit.

    Raises:
        ConfigError: If a value is of the wrong type or out of range.
    """

    stage: str = _setting("segmentor", choices=("segmentor", "motion", *IMITATION_STAGES))
    data: DataConfig
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    steps: int = _setting(90_000, 1)
    batch_size: int = _setting(16, 1)
    accumulation_steps: int = _setting(1, 1)
    learning_rate: float = _setting(5e-5, 0.0)
    warmup_steps: int = _setting(0, 0)
    backbone_lr_multiplier: float = _setting(0.1, 0.0)
    freeze_backbone_norms: bool = False
    freeze_heads: bool = False
    teacher_share: float = _setting(0.0, 0.0, 1.0)
    averaging: float = _setting(0.0, 0.0, 0.9999)
    weight_decay: float = _setting(0.05, 0.0)
    poly_power: float = _setting(0.9, 0.0)
    gradient_clip: float = _setting(0.01, 0.0)
    mixed_precision: str = _setting("auto", choices=("auto", "no", "fp16", "bf16"))
    max_frame_distance: int = _setting(10, 1)
    pairs_per_key_frame: int = _setting(1, 1)
    sampling: str = _setting("auto", choices=("auto", "frames", "clips"))
    repeat_threshold: float = _setting(0.0, 0.0, 1.0)
    seed: int = _setting(0, 0)
    workers: int = _setting(4, 0)
    log_interval: int = _setting(20, 1)
    checkpoint_interval: int = _setting(1000, 1)
    checkpoint_minutes: float = _setting(10.0, 0.0)
    validation_interval: int = _setting(5000, 1)
    validation_clips: int = _setting(0, 0)
    key_frame_interval: int = _setting(5, 1)
    max_minutes: float = _setting(0.0, 0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size % self.accumulation_steps:
            raise ConfigError(
                f"batch_size must be a multiple of accumulation_steps ({self.accumulation_steps}), got {self.batch_size}"
            )
        if self.stage != "segmentor" and not self.model.start:
            raise ConfigError(
                f"model.start must name a trained segmentor for the stage {self.stage!r}, such as the result of 'segmentor'"
            )
        if self.stage != "segmentor" and self.model.thing_classes:
            raise ConfigError(
                f"model.thing_classes must be empty for the stage {self.stage!r}, which keeps what model.start finds"
            )
        if self.stage != "segmentor" and self.model.replace_classes:
            raise ConfigError(
                f"model.replace_classes must be false for the stage {self.stage!r}, which goes on from the trained class "
                "head of model.start"
            )
        if self.repeat_threshold and self.sampling == "clips":
            raise ConfigError(
                f"repeat_threshold must be 0 with sampling 'clips', which draws clips, not frames, got {self.repeat_threshold}"
            )
        if self.pairs_per_key_frame > 1 and self.augmentation.synthetic_probability:
            raise ConfigError(
                "pairs_per_key_frame must be 1 with augmentation.synthetic_probability above 0, which makes single pairs, got "
                f"{self.pairs_per_key_frame}"
            )
        if self.stage in IMITATION_STAGES and not self.augmentation.sensor_probability:
            raise ConfigError(
                f"augmentation.sensor_probability must be above 0 for the stage {self.stage!r}, which learns from flaws"
            )

    @classmethod
    def from_yaml(cls, path: str | Path, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> TrainingConfig:
        """Read a YAML file of these settings, nested as they are here.

        Args:
            path: Of the file.
            overrides: Settings that replace the file's, such as ``{"data": {"root": "/data"}}``.

        Raises:
            ConfigError: If the file is missing or no YAML, or a setting is unknown, missing or out of range.
        """
        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"cannot read the training configuration {str(path)!r}: {error.strerror}") from None
        except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, or a date that does not exist
            raise ConfigError(f"{str(path)!r} is no valid YAML file: {' '.join(str(error).split())}") from None
        try:
            return cls.from_mapping(_overridden(values, overrides or {}))
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None


def _overridden(values: Any, overrides: Mapping[str, Mapping[str, Any]]) -> Any:
    if not isinstance(values, Mapping):
        return values
    return {**values, **{group: {**(values.get(group) or {}), **settings} for group, settings in overrides.items()}}


def _converted(value: Any, expected: Any, path: str) -> Any:
    if is_dataclass(expected):
        return expected.from_mapping(value, path)
    if expected == tuple[MixedDataConfig, ...] and isinstance(value, list):
        return tuple(MixedDataConfig.from_mapping(item, f"{path[:-1]}[{i}].") for i, item in enumerate(value))
    if expected is float and isinstance(value, str):  # YAML 1.1 reads 5e-5, without a point, as text
        try:
            return float(value)
        except ValueError:
            return value
    return tuple(value) if isinstance(value, list) else value


def _check(name: str, value: Any, expected: Any, limits: Mapping[str, Any]) -> None:
    if expected == tuple[int, ...]:
        if not isinstance(value, tuple) or not value:
            raise ConfigError(f"{name} must be a list of whole numbers, got {value!r}")
        for i, item in enumerate(value):
            _check(f"{name}[{i}]", item, int, limits)
    elif expected == tuple[str, ...]:
        if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{name} must be a list of names, got {value!r}")
    elif expected == tuple[MixedDataConfig, ...]:
        if not isinstance(value, tuple) or not all(isinstance(item, MixedDataConfig) for item in value):
            raise ConfigError(f"{name} must be a list of data sets, each with root and share, got {value!r}")
    elif expected in (int, float):
        is_number = isinstance(value, expected if expected is int else (int, float)) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or not limits["minimum"] <= value <= limits["maximum"]:
            kind = "whole number" if expected is int else "number"
            upper = f" and at most {limits['maximum']}" if math.isfinite(limits["maximum"]) else ""
            raise ConfigError(f"{name} must be a {kind} of at least {limits['minimum']}{upper}, got {value!r}")
    elif expected in (bool, str):
        if not isinstance(value, expected):
            raise ConfigError(f"{name} must be {'true or false' if expected is bool else 'a text'}, got {value!r}")
        if limits.get("choices") and value not in limits["choices"]:
            raise ConfigError(f"{name} must be one of {', '.join(limits['choices'])}, got {value!r}")
    elif not isinstance(value, Mapping) and not is_dataclass(value):
        raise ConfigError(f"{name} must be a mapping of settings, got {value!r}")
