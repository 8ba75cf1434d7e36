"""What is trained in each stage: a module that turns a batch into losses."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mpvss_model.config import StreamConfig
from mpvss_model.motion.module import propagate_masks
from mpvss_model.propagation.registry import make_propagator
from mpvss_model.propagation.ways.copy import CopyPropagator
from mpvss_model.segmentor.mask2former.segmentor import Mask2FormerSegmentor
from mpvss_model.stream.video_segmentor import VideoSegmentor
from mpvss_model.training.config import LossConfig, TrainingConfig
from mpvss_model.training.flow_loss import flow_loss
from mpvss_model.training.frozen_segmentor import FrozenSegmentor
from mpvss_model.training.losses import segmentation_losses
from mpvss_model.warp import backward_warp

__all__ = ["MotionStage", "SegmentorStage", "Stage", "frozen_predictor", "key_frame_predictions", "parameter_groups"]

NORMS = (nn.LayerNorm, nn.GroupNorm, _BatchNorm)
POSITION_BIASES = ("relative_position_bias_table", "absolute_pos_embed")
BACKBONE = "pixel_level_module.encoder."
# Of the segmentor, in the stage "motion".
TRAINED_HEADS = ("class_predictor.", "mask_predictor.mask_embedder.")

Batch = dict[str, torch.Tensor]
Predictions = tuple[Sequence[torch.Tensor], Sequence[torch.Tensor], torch.Tensor]
Predictor = Callable[[torch.Tensor], Predictions]
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

    @abstractmethod
    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """The weighted losses of a batch by name; their sum is to be minimised."""

    @abstractmethod
    def video_segmentor(self, key_frame_interval: int) -> VideoSegmentor:
        """A copy of the model in its present state, for validation."""

    def trained_model(self) -> nn.Module:
        """The model as it is to be written."""
        return self.model

    def _normalized(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 RGB ``[B, 3, H, W]`` -> float32, as the segmentor takes it."""
        return (images - self._mean) / self._std

    def _every_frame_segmentor(self, network: nn.Module) -> VideoSegmentor:
        """Segments every frame with a Mask2Former, which cannot be trained any more."""
        segmentor = self._inference_segmentor(network)
        config = StreamConfig(max_interval_frames=1)
        return VideoSegmentor(segmentor=segmentor, propagator=CopyPropagator(), config=config)

    def _inference_segmentor(self, model: nn.Module) -> Mask2FormerSegmentor:
        return Mask2FormerSegmentor(
            model=model, name="in training", device=model.device, image_mean=self.image_mean, image_std=self.image_std
        )


class SegmentorStage(Stage):
    """Trains a ``Mask2FormerForUniversalSegmentation`` on batches of `FrameDataset`.

    Args:
        model: As in `Stage`.
        freeze_backbone_norms: Whether the backbone's batch norms keep their statistics and weights.
        loss: Weights and sampling of the losses.
        image_mean: As in `Stage`.
        image_std: Likewise.
    """

    def __init__(
        self, model: nn.Module, *, freeze_backbone_norms: bool, loss: LossConfig, image_mean: RGB, image_std: RGB
    ) -> None:
        super().__init__(model, image_mean=image_mean, image_std=image_std)
        self._loss = loss
        self._freeze_backbone_norms = freeze_backbone_norms
        if freeze_backbone_norms:
            for norm in self._backbone_norms():
                norm.requires_grad_(False)

    def train(self, mode: bool = True) -> SegmentorStage:
        """As usual, except that frozen norms stay in evaluation mode."""
        super().train(mode)
        if self._freeze_backbone_norms:
            for norm in self._backbone_norms():
                norm.eval()
        return self

    def _backbone_norms(self) -> list[nn.Module]:
        return [module for name, module in self.named_modules() if BACKBONE in name and isinstance(module, _BatchNorm)]

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        masks, classes, _ = key_frame_predictions(self.model, self._normalized(batch["image"]))
        return segmentation_losses(masks, classes, batch["label"], self._loss)

    def video_segmentor(self, key_frame_interval: int) -> VideoSegmentor:
        """Segments every frame, whatever the interval."""
        return self._every_frame_segmentor(copy.deepcopy(self.model))


class MotionStage(Stage):
    """Trains an `MPVSSModel` on batches of `FramePairDataset`: its motion module and the segmentor's heads, all else frozen.

    The key frame's masks of all decoder layers are warped to the later frame and supervised there (MPVSS, section 3.3 and
    released code). With ``loss.flow_weight``, so is the flow itself, where the batch says what it is.

    Args:
        model: As in `Stage`.
        freeze_heads: Whether the segmentor's heads stay as they are, too.
        loss: Weights and sampling of the losses.
        image_mean: As in `Stage`.
        image_std: Likewise.
    """

    def __init__(
        self, model: nn.Module, *, freeze_heads: bool = False, loss: LossConfig, image_mean: RGB, image_std: RGB
    ) -> None:
        super().__init__(model, image_mean=image_mean, image_std=image_std)
        self._loss = loss
        for name, parameter in model.segmentor.named_parameters():
            parameter.requires_grad_(not freeze_heads and any(head in name for head in TRAINED_HEADS))
        self._predictor: Predictor | None = None

    def train(self, mode: bool = True) -> MotionStage:
        """As usual, except that the frozen segmentor keeps its norm statistics and drops nothing."""
        super().train(mode)
        self.model.segmentor.eval()
        return self

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        if self._predictor is None:  # not before the model is on its device
            self._predictor = frozen_predictor(self.model.segmentor)
        masks, classes, queries = self._predictor(self._normalized(batch["key_image"]))
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
        warped = propagate_masks(mask_logits.flatten(0, 1), flow.flatten(0, 1), released_grid=self.model.config.released_grid)
        return warped.view_as(mask_logits)

    def video_segmentor(self, key_frame_interval: int) -> VideoSegmentor:
        """Segments key frames and carries their masks to the frames in between."""
        model = copy.deepcopy(self.model).eval()
        return VideoSegmentor(
            segmentor=self._inference_segmentor(model.segmentor),
            propagator=make_propagator("segment", motion=model.motion, released_grid=model.config.released_grid),
            config=StreamConfig(max_interval_frames=key_frame_interval),
        )


def key_frame_predictions(model: nn.Module, pixel_values: torch.Tensor) -> Predictions:
    """Run a ``Mask2FormerForUniversalSegmentation`` on normalised frames ``[B, 3, H, W]``.

    Returns:
        Mask logits ``[B, Q, H/4, W/4]`` and class logits ``[B, Q, C + 1]`` of every decoder layer, the last one last, and the
        query vectors ``[B, Q, d]`` that the last class logits were read from.
    """
    outputs = model.model(pixel_values, output_hidden_states=True)
    queries = [states.transpose(0, 1) for states in outputs.transformer_decoder_intermediate_states]
    return outputs.masks_queries_logits, [model.class_predictor(layer) for layer in queries], queries[-1]


def frozen_predictor(segmentor: nn.Module) -> Predictor:
    """`key_frame_predictions` of a segmentor of which at most the heads are trained, faster where it can be."""
    if segmentor.device.type != "cpu" or segmentor.config.pre_norm:
        return partial(key_frame_predictions, segmentor)
    return FrozenSegmentor(segmentor).predictions


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
