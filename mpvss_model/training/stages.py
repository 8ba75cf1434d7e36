"""What is trained in each stage: a module that turns a batch into losses."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mpvss_model.checkpoints.starting_model import StartingModel, load_start, with_motion
from mpvss_model.config import FRAME_SIZE, StreamConfig
from mpvss_model.data import ClipSet
from mpvss_model.errors import ConfigError
from mpvss_model.instances.thing_classes import thing_classes
from mpvss_model.motion.module import flow_of_masks
from mpvss_model.propagation.registry import make_propagator
from mpvss_model.propagation.ways.copy import CopyPropagator
from mpvss_model.segmentor.mask2former.segmentor import Mask2FormerSegmentor
from mpvss_model.segmentor.mask2former.training_network import Predictions
from mpvss_model.segmentor.shipped_models import model_location
from mpvss_model.stream.video_segmentor import VideoSegmentor
from mpvss_model.training.losses.flow import flow_loss
from mpvss_model.training.losses.segmentation import segmentation_losses
from mpvss_model.training.predictor import Predictor
from mpvss_model.training.recipe.config import LossConfig, TrainingConfig
from mpvss_model.training.samples.datasets import ClipDataset, FrameDataset, FramePairDataset, PanopticFrameDataset
from mpvss_model.training.samples.style import RandomStyle
from mpvss_model.warp import backward_warp

__all__ = [
    "MotionStage",
    "SegmentorStage",
    "Stage",
    "parameter_groups",
    "sample_settings",
    "with_motion_from",
]

NORMS = (nn.LayerNorm, nn.GroupNorm, _BatchNorm)
POSITION_BIASES = ("relative_position_bias_table", "absolute_pos_embed")
BACKBONE = "pixel_level_module.encoder."
# Of the segmentor, in the stage "motion".
TRAINED_HEADS = ("class_predictor.", "mask_predictor.mask_embedder.")
TRACKED = "tracked"
# mIoU by which segment-aware flow must beat tracked flow to be worth its time.
MIN_ADVANTAGE = 0.001

Batch = dict[str, torch.Tensor]
RGB = tuple[float, ...]


class Stage(nn.Module, ABC):
    """A model in training.

    Args:
        model: What is trained.
        image_mean: RGB mean of the segmentor's images, on the 0..1 scale.
        image_std: Likewise the standard deviation.
    """

    def __init__(self, model: nn.Module, *, image_mean: RGB, image_std: RGB) -> None:
        super().__init__()
        self.model = model
        self.image_mean = image_mean
        self.image_std = image_std
        self.register_buffer("_mean", torch.tensor(image_mean).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("_std", torch.tensor(image_std).view(1, 3, 1, 1) * 255, persistent=False)

    @property
    def inference_size(self) -> int:
        """What the model recommends, see `StreamConfig`; it is validated at that size."""
        return getattr(self.model.config, "inference_size", FRAME_SIZE)

    @classmethod
    @abstractmethod
    def from_config(cls, config: TrainingConfig, start: StartingModel) -> Stage:
        """What a recipe makes of a starting model that has the data's classes.

        Raises:
            ConfigError: If the recipe does not fit the model.
            CheckpointError: If another model that it names cannot be loaded.
        """

    @abstractmethod
    def dataset(self, clips: ClipSet, config: TrainingConfig, style: RandomStyle | None = None) -> ClipDataset:
        """The samples that `forward` takes batches of.

        Args:
            clips: Where they come from.
            config: The recipe.
            style: Of their images; None for that of the clips.

        Raises:
            DataError: If the clips have none.
            ConfigError: If the recipe does not fit the model.
        """

    @abstractmethod
    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """The weighted losses of a batch by name; their sum is to be minimised."""

    @abstractmethod
    def video_segmentor(self, key_frame_interval: int) -> VideoSegmentor:
        """A copy of the model in its present state, for validation."""

    def rivals(self, key_frame_interval: int) -> dict[str, VideoSegmentor]:
        """Other ways to segment video with the model in its present state, to be validated beside it, by name."""
        return {}

    def heed(self, metrics: Mapping[str, float]) -> None:
        """Learn what validation found; the rivals' metrics have their names and a slash before their own."""

    def trained_model(self) -> nn.Module:
        """The model as it is to be written."""
        return self.model

    def _normalized(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 RGB ``[B, 3, H, W]`` -> float32, as the segmentor takes it."""
        return (images - self._mean) / self._std

    def _every_frame_segmentor(self, network: nn.Module) -> VideoSegmentor:
        """Segments every frame with a Mask2Former, which cannot be trained any more."""
        segmentor = self._inference_segmentor(network)
        return VideoSegmentor(
            segmentor=segmentor,
            propagator=CopyPropagator(),
            config=StreamConfig(max_interval_frames=1),
            recommended_inference_size=self.inference_size,
        )

    def _inference_segmentor(self, model: nn.Module) -> Mask2FormerSegmentor:
        segmentor = Mask2FormerSegmentor(
            model=model, name="in training", device=model.device, image_mean=self.image_mean, image_std=self.image_std
        )
        if model.device.type == "cpu":
            segmentor.accelerate(torch.float32)
        return segmentor


class SegmentorStage(Stage):
    """Trains a ``Mask2FormerForUniversalSegmentation`` on batches of `FrameDataset`.

    Args:
        model: As in `Stage`.
        freeze_backbone_norms: Whether the backbone's batch norms keep their statistics and weights.
        written_with: Makes the model that is to be written from ``model``, such as one with a motion module; None for itself.
        things: Class indices of things, each of which is to be found by itself; batches are of `PanopticFrameDataset` then.
        loss: Weights and sampling of the losses.
        image_mean: As in `Stage`.
        image_std: Likewise.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        freeze_backbone_norms: bool,
        written_with: Callable[[nn.Module], nn.Module] | None = None,
        things: Collection[int] = frozenset(),
        loss: LossConfig,
        image_mean: RGB,
        image_std: RGB,
    ) -> None:
        super().__init__(model, image_mean=image_mean, image_std=image_std)
        self._things = things
        self._written_with = written_with
        self._loss = loss
        self._freeze_backbone_norms = freeze_backbone_norms
        self._predictor = Predictor(model, norms_are_frozen=freeze_backbone_norms)
        if freeze_backbone_norms:
            for norm in self._backbone_norms():
                norm.requires_grad_(False)

    @classmethod
    def from_config(cls, config: TrainingConfig, start: StartingModel) -> SegmentorStage:
        """With the motion module of ``model.motion_from``, if one is named."""
        source = config.model.motion_from
        written_with = partial(_with_motion_of, with_motion_from(source, start)) if source else None
        names = config.model.thing_classes
        things = thing_classes(tuple(start.network.config.id2label.values()), names) if names else frozenset()
        start.network.config.thing_classes = [*names] or None
        return cls(
            start.network,
            freeze_backbone_norms=config.freeze_backbone_norms,
            written_with=written_with,
            things=things,
            loss=config.loss,
            image_mean=start.image_mean,
            image_std=start.image_std,
        )

    def dataset(
        self, clips: ClipSet, config: TrainingConfig, style: RandomStyle | None = None
    ) -> FrameDataset | PanopticFrameDataset:
        """Labelled frames, with instances where there are classes of things."""
        if self._things:
            return PanopticFrameDataset(clips, things=self._things, **sample_settings(config, style))
        return FrameDataset(clips, **sample_settings(config, style))

    def train(self, mode: bool = True) -> SegmentorStage:
        """As usual, except that frozen norms stay in evaluation mode."""
        super().train(mode)
        if self._freeze_backbone_norms:
            for norm in self._backbone_norms():
                norm.eval()
        self._predictor.train(mode)
        return self

    def _backbone_norms(self) -> list[nn.Module]:
        return [module for name, module in self.named_modules() if BACKBONE in name and isinstance(module, _BatchNorm)]

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Losses by name, each weighted, of the frames ``image`` against the labels ``label``."""
        masks, classes, _ = self._predictor(self._normalized(batch["image"]))
        return segmentation_losses(masks, classes, batch["label"], self._loss, batch.get("target_classes"))

    def video_segmentor(self, key_frame_interval: int) -> VideoSegmentor:
        """Segments every frame, whatever the interval."""
        return self._every_frame_segmentor(copy.deepcopy(self.model))

    def trained_model(self) -> nn.Module:
        """The model, with the motion module that is kept for it, if any."""
        return self.model if self._written_with is None else self._written_with(self.model)


class MotionStage(Stage):
    """Trains an `MPVSSModel` on batches of `FramePairDataset`: its motion module and the segmentor's heads, all else frozen.

    The key frame's masks of all decoder layers are warped to the later frame and supervised there (MPVSS, section 3.3 and
    released code). With ``loss.flow_weight``, so is the flow itself, where the batch says what it is.

    Args:
        model: As in `Stage`.
        freeze_heads: Whether the segmentor's heads stay as they are, too.
        recommends: Whether validation decides what ``auto`` stands for with the model: segment-aware flow if that is better
            than tracked flow, which is several times faster.
        loss: Weights and sampling of the losses.
        image_mean: As in `Stage`.
        image_std: Likewise.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        freeze_heads: bool = False,
        recommends: bool = False,
        loss: LossConfig,
        image_mean: RGB,
        image_std: RGB,
    ) -> None:
        super().__init__(model, image_mean=image_mean, image_std=image_std)
        self._loss = loss
        self._recommends = recommends
        for name, parameter in model.segmentor.named_parameters():
            parameter.requires_grad_(not freeze_heads and any(head in name for head in TRAINED_HEADS))
        self._predictor = Predictor(model.segmentor, norms_are_frozen=True, only_heads=True)

    @classmethod
    def from_config(cls, config: TrainingConfig, start: StartingModel) -> MotionStage:
        """With the motion module of ``model.motion_from``, that of the starting model, or a new one."""
        if config.model.motion_from:
            start = with_motion_from(config.model.motion_from, start)
        return cls(
            with_motion(start, config.model.motion),
            freeze_heads=config.freeze_heads,
            recommends=start.motion is None,
            loss=config.loss,
            image_mean=start.image_mean,
            image_std=start.image_std,
        )

    def dataset(self, clips: ClipSet, config: TrainingConfig, style: RandomStyle | None = None) -> FramePairDataset:
        """Pairs of frames."""
        motion = self.model.motion.config
        if motion.refines_tracked_flow and config.loss.flow_weight:
            raise ConfigError("loss.flow_weight must be 0 for a motion module that refines tracked flow: its own is not known")
        return FramePairDataset(
            clips,
            max_frame_distance=config.max_frame_distance,
            pairs=config.pairs_per_key_frame,
            tracked_stride=motion.tracked_flow_stride if motion.refines_tracked_flow else 0,
            **sample_settings(config, style),
        )

    def train(self, mode: bool = True) -> MotionStage:
        """As usual, except that the frozen segmentor keeps its norm statistics and drops nothing."""
        super().train(mode)
        self.model.segmentor.eval()
        return self

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Losses by name, each weighted, of masks carried from ``key_image`` to ``image`` against the labels ``label``."""
        masks, classes, queries = self._predictor(self._normalized(batch["key_image"]))
        if batch["image"].ndim == 5:  # several later frames for each key frame
            batch, (masks, classes, queries) = _spread(batch, Predictions(masks, classes, queries))
        # Half precision is too coarse for flow and positions.
        with torch.autocast(queries.device.type, enabled=False):
            masks = torch.stack(masks, dim=2).float()  # [B, Q, L, h, w]
            seen = batch["key_image"]
            if self.model.motion.config.refines_tracked_flow:
                masks = backward_warp(masks.flatten(1, 2), batch["tracked_flow"]).view_as(masks)
                seen = batch["tracked_image"]
            motion = self.model.motion(batch["image"], seen, queries.float())
            warped = self._warped(masks, motion.segment_flow)
            losses = segmentation_losses(warped.unbind(2), classes, batch["label"], self._loss)
            if self._loss.flow_weight:
                losses["flow"] = self._loss.flow_weight * flow_loss(motion, batch["flow"])
        return losses

    def _warped(self, mask_logits: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
        """Mask logits ``[B, Q, L, h, w]`` of all layers, each query's by the flow that they share, ``[B, Q, 2, h/2, w/2]``."""
        flow = flow_of_masks(flow, *mask_logits.shape[-2:])
        warped = backward_warp(mask_logits.flatten(0, 1), flow, released_grid=self.model.config.released_grid)
        return warped.view_as(mask_logits)

    def video_segmentor(self, key_frame_interval: int) -> VideoSegmentor:
        """Segments key frames and carries their masks to the frames in between."""
        return self._propagating("segment", key_frame_interval)

    def rivals(self, key_frame_interval: int) -> dict[str, VideoSegmentor]:
        """Tracked flow, unless every frame is a key frame."""
        if not self._recommends or key_frame_interval == 1:
            return {}
        return {TRACKED: self._propagating(TRACKED, key_frame_interval)}

    def heed(self, metrics: Mapping[str, float]) -> None:
        """Recommend the way to propagate that is better."""
        if self._recommends and f"{TRACKED}/miou" in metrics:
            is_better = metrics["miou"] > metrics[f"{TRACKED}/miou"] + MIN_ADVANTAGE
            self.model.config.propagation = "segment" if is_better else TRACKED

    def _propagating(self, propagation: str, key_frame_interval: int) -> VideoSegmentor:
        model = copy.deepcopy(self.model).eval()
        return VideoSegmentor(
            segmentor=self._inference_segmentor(model.segmentor),
            propagator=make_propagator(propagation, motion=model.motion, released_grid=model.config.released_grid),
            config=StreamConfig(max_interval_frames=key_frame_interval),
            recommended_inference_size=self.inference_size,
        )


def sample_settings(config: TrainingConfig, style: RandomStyle | None) -> dict[str, Any]:
    """Arguments that all data sets share."""
    sampling = config.sampling
    if sampling == "auto":
        sampling = "clips" if config.data.layout == "vspw" else "frames"
    return {
        "augmentation": config.augmentation,
        "seed": config.seed,
        "sampling": sampling,
        "repeat_threshold": config.repeat_threshold,
        "style": style,
    }


def with_motion_from(source: str, start: StartingModel) -> StartingModel:
    """A starting model with the motion module of another model.

    Raises:
        ConfigError: If that has none, or one of other sizes.
        CheckpointError: If it cannot be loaded.
    """
    other = load_start(model_location(source))
    if other.motion is None:
        raise ConfigError(f"model.motion_from names {source!r}, which has no motion module")
    motion, segmentor = other.motion.config, start.network.config
    if (motion.num_queries, motion.query_size) != (segmentor.num_queries, segmentor.hidden_dim):
        raise ConfigError(
            f"model.motion_from names {source!r}, whose motion module takes {motion.num_queries} queries of "
            f"{motion.query_size} channels, but the segmentor makes {segmentor.num_queries} of {segmentor.hidden_dim}"
        )
    return replace(start, motion=other.motion, released_grid=other.released_grid, propagation=other.propagation)


def _with_motion_of(start: StartingModel, network: nn.Module) -> nn.Module:
    """A network and the motion module of a starting model in one."""
    return with_motion(replace(start, network=network), {})


def _spread(batch: Batch, predictions: Predictions) -> tuple[Batch, Predictions]:
    """Key frames ``[B, ...]`` and ``[B, P, ...]`` of later frames, and the key frames' predictions -> all ``[B * P, ...]``."""
    batch = dict(batch)
    key_image, pairs = batch.pop("key_image"), batch["image"].shape[1]

    def repeated(values: torch.Tensor) -> torch.Tensor:
        return values.repeat_interleave(pairs, dim=0)

    later = {name: values.flatten(0, 1) for name, values in batch.items()}
    masks, classes, queries = predictions
    spread = Predictions([repeated(layer) for layer in masks], [repeated(layer) for layer in classes], repeated(queries))
    return {"key_image": repeated(key_image), **later}, spread


def parameter_groups(stage: nn.Module, config: TrainingConfig) -> list[dict[str, Any]]:
    """The trained parameters for an optimizer: slower for the backbone, no decay for norms, embeddings and position biases."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter, module in _trained_parameters(stage):
        decays = not isinstance(module, (*NORMS, nn.Embedding)) and not name.endswith(POSITION_BIASES)
        groups.setdefault((BACKBONE in name, decays), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": config.learning_rate * (config.backbone_lr_multiplier if in_backbone else 1.0),
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (in_backbone, decays), parameters in groups.items()
    ]


def _trained_parameters(stage: nn.Module) -> Iterator[tuple[str, nn.Parameter, nn.Module]]:
    for prefix, module in stage.named_modules():
        for name, parameter in module.named_parameters(prefix, recurse=False):
            if parameter.requires_grad:
                yield name, parameter, module
