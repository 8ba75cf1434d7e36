"""MPVSS model directories, strictly: a segmentor and its motion module in one checkpoint."""

from __future__ import annotations

import torch

from mpvss_model.checkpoints.mpvss_model import MPVSSConfig, MPVSSModel
from mpvss_model.segmentor.config_file import check_location, model_name
from mpvss_model.segmentor.image_statistics import image_statistics
from mpvss_model.segmentor.mask2former.segmentor import Mask2FormerSegmentor
from mpvss_model.segmentor.network_files import load_config, load_network, quiet
from mpvss_model.segmentor.registry import LoadedModel

__all__ = ["load", "load_checkpoint"]


def load(name_or_dir: str, *, device: torch.device) -> LoadedModel:
    """Load a directory that `convert` of this room or ``save_pretrained`` wrote, or such a model of the hub.

    Raises:
        CheckpointError: If it is missing, broken or of another type, a setting is wrong, or any tensor is missing, left over
            or of another shape.
    """
    check_location(name_or_dir)
    with quiet():
        load_config(name_or_dir, MPVSSConfig.model_type)
        mean, std = image_statistics(name_or_dir)
    model = load_checkpoint(name_or_dir)
    segmentor = Mask2FormerSegmentor(
        model=model.segmentor, name=model_name(name_or_dir), device=device, image_mean=mean, image_std=std
    )
    if model.motion is None:
        return LoadedModel(segmentor)
    motion = model.motion.to(device).eval().requires_grad_(False)
    return LoadedModel(segmentor, motion, model.config.released_grid, model.config.propagation)


def load_checkpoint(name_or_dir: str) -> MPVSSModel:
    """The network of such a directory or model of the hub, in evaluation mode.

    Raises:
        CheckpointError: If it is missing, broken, or any tensor is missing, left over or of another shape.
    """
    with quiet():
        return load_network(MPVSSModel, name_or_dir)
