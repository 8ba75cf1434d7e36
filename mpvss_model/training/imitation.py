"""Stages in which a model learns to see past the flaws of cameras. Not part of MPVSS.

A teacher, the model as it was, sees a frame without flaws; the student sees the same frame with flaws and learns to come to
the same results. No labels are needed. First the backbone learns to compute the teacher's feature maps, then everything behind
it to draw the teacher's conclusions from what is left of the flaws.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from mpvss_model.checkpoints.mpvss_model import MPVSSModel
from mpvss_model.checkpoints.starting_model import StartingModel, load_start, with_motion
from mpvss_model.data import ClipSet
from mpvss_model.errors import ConfigError
from mpvss_model.segmentor.shipped_models import model_location
from mpvss_model.stream.video_segmentor import VideoSegmentor
from mpvss_model.training.predictor import Predictor
from mpvss_model.training.recipe.config import LossConfig, TrainingConfig
from mpvss_model.training.samples.datasets import FlawedFrameDataset
from mpvss_model.training.samples.style import RandomStyle
from mpvss_model.training.stages import RGB, Batch, Stage, sample_settings

__all__ = ["BackboneStage", "DecoderStage", "ImitationStage"]

# Of a query that the teacher is sure sees nothing: that must be learned, too.
MIN_QUERY_WEIGHT = 0.1


class ImitationStage(Stage):
    """Trains a part of a model on batches of `FlawedFrameDataset`; everything else stays as it is.

    All modules stay as in inference: norms keep their statistics, nothing is dropped.

    Args:
        model: A ``Mask2FormerForUniversalSegmentation``, or an `MPVSSModel`.
        teacher: A ``Mask2FormerForUniversalSegmentation`` of the same sizes.
        teacher_share: Of the teacher's weights in `trained_model`, 0 to 1. In between, a model tends to be as good as the
            teacher where it was good, and almost as good as the student elsewhere (Wortsman et al., CVPR 2022).
        image_mean: As in `Stage`.
        image_std: Likewise.
    """

    def __init__(
        self, model: nn.Module, teacher: nn.Module, *, teacher_share: float = 0.0, image_mean: RGB, image_std: RGB
    ) -> None:
        super().__init__(model, image_mean=image_mean, image_std=image_std)
        self._teacher = copy.deepcopy(teacher).requires_grad_(False)
        self._teacher_share = teacher_share

    @classmethod
    def from_config(cls, config: TrainingConfig, start: StartingModel) -> ImitationStage:
        """The starting model, whole, with ``model.teacher`` or itself as its teacher."""
        named = config.model
        teacher = load_start(model_location(named.teacher)).network if named.teacher else start.network
        if _sizes(teacher) != _sizes(start.network):
            raise ConfigError(f"model.teacher {named.teacher!r} must have the sizes of model.start {named.start!r}")
        model = start.network if start.motion is None else with_motion(start, {})
        settings = {"teacher_share": config.teacher_share, "image_mean": start.image_mean, "image_std": start.image_std}
        return cls(model, teacher, **settings, **cls._further_settings(config))

    @classmethod
    def _further_settings(cls, config: TrainingConfig) -> dict[str, Any]:
        return {}

    def dataset(self, clips: ClipSet, config: TrainingConfig, style: RandomStyle | None = None) -> FlawedFrameDataset:
        """Frames with and without flaws."""
        return FlawedFrameDataset(clips, **sample_settings(config, style))

    def train(self, mode: bool = True) -> ImitationStage:
        """As usual, except that everything stays in evaluation mode."""
        super().train(mode)
        self.model.eval()
        self._teacher.eval()
        return self

    def trained_model(self) -> nn.Module:
        """A copy of the model, with the teacher's share in its segmentor."""
        model = copy.deepcopy(self.model)
        taught = self._teacher.state_dict()
        for name, value in _segmentor(model).state_dict().items():
            if value.is_floating_point():
                value.lerp_(taught[name], self._teacher_share)
        return model

    def video_segmentor(self, key_frame_interval: int) -> VideoSegmentor:
        """Segments every frame with `trained_model`, whatever the interval."""
        return self._every_frame_segmentor(_segmentor(self.trained_model()))


class BackboneStage(ImitationStage):
    """Trains the backbone: its feature maps are to be the teacher's. Arguments are those of `ImitationStage`."""

    def __init__(
        self, model: nn.Module, teacher: nn.Module, *, teacher_share: float = 0.0, image_mean: RGB, image_std: RGB
    ) -> None:
        super().__init__(model, teacher, teacher_share=teacher_share, image_mean=image_mean, image_std=image_std)
        model.requires_grad_(False)
        _backbone(_segmentor(self.model)).requires_grad_(True)
        self._teacher_predictor = Predictor(self._teacher, norms_are_frozen=True)
        self._predictor = Predictor(_segmentor(self.model), norms_are_frozen=True)

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Each feature map's squared error, relative to its variance."""
        backbone = _backbone(_segmentor(self.model))
        with torch.no_grad():
            expected = self._teacher_predictor.feature_maps(self._normalized(batch["original"]))
        seen = self._predictor.feature_maps(self._normalized(batch["image"]))
        return {
            stage: F.mse_loss(features.float(), target.float()) / target.float().var(dim=(0, 2, 3)).mean()
            for stage, features, target in zip(backbone.out_features, seen, expected, strict=True)
        }


class DecoderStage(ImitationStage):
    """Trains all of the segmentor but its backbone: each query's classes and mask are to be the teacher's.

    Args:
        model: As in `ImitationStage`.
        teacher: Likewise.
        loss: Of its settings, the weights of classes and masks.
        teacher_share: As in `ImitationStage`.
        image_mean: As in `Stage`.
        image_std: Likewise.
    """

    def __init__(
        self,
        model: nn.Module,
        teacher: nn.Module,
        *,
        loss: LossConfig,
        teacher_share: float = 0.0,
        image_mean: RGB,
        image_std: RGB,
    ) -> None:
        super().__init__(model, teacher, teacher_share=teacher_share, image_mean=image_mean, image_std=image_std)
        self._loss = loss
        self._teacher_predictor = Predictor(self._teacher, norms_are_frozen=True)
        self._predictor = Predictor(_segmentor(self.model), norms_are_frozen=True)
        model.requires_grad_(False)
        _segmentor(self.model).requires_grad_(True)
        _backbone(_segmentor(self.model)).requires_grad_(False)

    @classmethod
    def _further_settings(cls, config: TrainingConfig) -> dict[str, Any]:
        return {"loss": config.loss}

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Kullback-Leibler divergences from the teacher's classes and masks, summed over decoder layers.

        Means over queries, weighted by how sure the teacher is that they see something.
        """
        with torch.no_grad():
            expected_masks, expected_classes, _ = self._teacher_predictor(self._normalized(batch["original"]))
        masks, classes, _ = self._predictor(self._normalized(batch["image"]))
        losses = {"classes": 0.0, "masks": 0.0}
        for layer in zip(masks, classes, expected_masks, expected_classes, strict=True):
            mask, score, expected_mask, expected_score = (logits.float() for logits in layer)
            weight = 1 - expected_score.softmax(-1)[..., -1].clamp(max=1 - MIN_QUERY_WEIGHT)  # [B, Q]
            weight = weight / weight.sum()
            losses["classes"] += self._loss.class_weight * (weight * _class_divergence(score, expected_score)).sum()
            losses["masks"] += self._loss.mask_weight * (weight * _mask_divergence(mask, expected_mask)).sum()
        return losses


def _sizes(network: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in network.state_dict().items()}


def _segmentor(model: nn.Module) -> nn.Module:
    return model.segmentor if isinstance(model, MPVSSModel) else model


def _backbone(network: nn.Module) -> nn.Module:
    return network.model.pixel_level_module.encoder


def _class_divergence(logits: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """``[B, Q, C + 1]`` twice -> ``[B, Q]``."""
    return F.kl_div(logits.log_softmax(-1), expected.log_softmax(-1), reduction="none", log_target=True).sum(-1)


def _mask_divergence(logits: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """``[B, Q, h, w]`` twice -> ``[B, Q]``, mean over pixels."""
    probability = expected.sigmoid()
    cross_entropy = F.binary_cross_entropy_with_logits(logits, probability, reduction="none")
    entropy = F.binary_cross_entropy_with_logits(expected, probability, reduction="none")
    return (cross_entropy - entropy).mean((-1, -2))
