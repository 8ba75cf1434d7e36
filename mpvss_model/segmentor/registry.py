"""Loads whatever a user may give as a model: a Mask2Former, or an MPVSS model with its motion module."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import Mask2FormerConfig

from mpvss_model.checkpoints.convert import load_checkpoint
from mpvss_model.checkpoints.mpvss_model import MPVSSConfig
from mpvss_model.motion.module import MotionModule
from mpvss_model.segmentor.image_statistics import image_statistics
from mpvss_model.segmentor.mask2former.segmentor import Mask2FormerSegmentor, quiet
from mpvss_model.segmentor.network_files import check_location, load_config

__all__ = ["LoadedModel", "load_model"]


@dataclass(frozen=True)
class LoadedModel:
    """A model on its device, in evaluation mode.

    Attributes:
        segmentor: For key frames.
        motion: For the frames in between; None if the checkpoint has none.
        released_grid: How ``motion`` was trained to warp, see `mpvss_model.warp.backward_warp`.
        propagation: What ``auto`` stands for, one of `mpvss_model.propagation.registry.propagation_names`.
    """

    segmentor: Mask2FormerSegmentor
    motion: MotionModule | None
    released_grid: bool = False
    propagation: str = "tracked"

    def accelerate(self, dtype: torch.dtype) -> None:
        """Run faster from now on, in some floating-point type; the model cannot be trained or saved afterwards."""
        self.segmentor.accelerate(dtype)
        if self.motion is not None:
            self.motion.to(dtype, memory_format=torch.channels_last)


def load_model(name_or_dir: str, *, device: torch.device) -> LoadedModel:
    """Load a checkpoint directory, or a model of the hub by its id.

    Raises:
        CheckpointError: If it is missing, incomplete, broken or of another type.
    """
    check_location(name_or_dir)
    with quiet():
        model_type = load_config(name_or_dir, [Mask2FormerConfig.model_type, MPVSSConfig.model_type]).model_type
        if model_type != MPVSSConfig.model_type:
            return LoadedModel(Mask2FormerSegmentor.from_pretrained(name_or_dir, device=device), motion=None)
        model = load_checkpoint(name_or_dir)
        mean, std = image_statistics(name_or_dir)
    segmentor = Mask2FormerSegmentor(
        model=model.segmentor,
        name=Path(name_or_dir).name if os.path.isdir(name_or_dir) else name_or_dir,
        device=device,
        image_mean=mean,
        image_std=std,
    )
    if model.motion is None:
        return LoadedModel(segmentor, motion=None)
    motion = model.motion.to(device).eval().requires_grad_(False)
    return LoadedModel(segmentor, motion, model.config.released_grid, model.config.propagation)
