"""How the student is trained: a recipe that suits a CPU and small data."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import yaml

from mpvss_model.adaptation.split import TAUGHT
from mpvss_model.files import write_whole
from mpvss_model.training.recipe.config import (
    PADDED_MULTIPLE,
    AugmentationConfig,
    DataConfig,
    LossConfig,
    MixedDataConfig,
    ModelConfig,
    TrainingConfig,
)

__all__ = ["adaptation_recipe", "write_recipe"]

CROP_PX = (224, 288)
MAX_SHORT_SIDE_PX = 384
RELATIVE_SIDES = (0.625, 0.75, 0.875, 1.0, 1.25)


def adaptation_recipe(
    *,
    teaching: Path,
    mixed: Path | None,
    mix_share: float,
    student: str,
    has_motion: bool,
    frame_size: tuple[int, int],
    steps: int,
) -> TrainingConfig:
    """Train the whole segmentor, gently, and keep its motion module.

    Args:
        teaching: Data set with the teacher's labels.
        mixed: Labelled data set beside it, or None.
        mix_share: Its share of each batch.
        student: Model to start from.
        has_motion: Whether it has a motion module.
        frame_size: Height and width of the frames that it learns from.
        steps: Of training.
    """
    shorter = min(*frame_size, MAX_SHORT_SIDE_PX)
    crop_height, crop_width = (
        min(crop, -(-side // PADDED_MULTIPLE) * PADDED_MULTIPLE) for crop, side in zip(CROP_PX, frame_size, strict=True)
    )
    others = [] if mixed is None else [_mixed(mixed, mix_share)]
    return TrainingConfig(
        stage="segmentor",
        data=DataConfig(
            root=str(teaching), layout="folder", train_split=TAUGHT, validation_split="", mixed_with=tuple(others)
        ),
        model=ModelConfig(start=student, motion_from=student if has_motion else ""),
        loss=LossConfig(train_num_points=1024),
        augmentation=AugmentationConfig(
            short_sides_px=tuple(round(shorter * scale) for scale in RELATIVE_SIDES),
            max_long_side_px=2 * shorter,
            crop_height_px=crop_height,
            crop_width_px=crop_width,
            max_class_share=0.75,
            sensor_probability=0.2,
        ),
        steps=steps,
        batch_size=16,
        learning_rate=2e-4,
        warmup_steps=20,
        backbone_lr_multiplier=0.5,
        freeze_backbone_norms=True,
        gradient_clip=1.0,
        averaging=0.99,
        repeat_threshold=0.3,
        workers=min(1, len(os.sched_getaffinity(0)) - 1),
        log_interval=10,
        checkpoint_minutes=5.0,
        checkpoint_interval=1000,
        validation_interval=1_000_000,
    )


def write_recipe(recipe: TrainingConfig, path: Path) -> None:
    """Write a recipe as ``mpvss train`` takes it."""
    values = json.loads(json.dumps(asdict(recipe)))  # lists instead of tuples
    write_whole(path, lambda unfinished: unfinished.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8"))


def _mixed(root: Path, share: float) -> MixedDataConfig:
    return MixedDataConfig(root=str(root), layout="folder", train_split=TAUGHT, share=share, restyle_probability=0.4)
