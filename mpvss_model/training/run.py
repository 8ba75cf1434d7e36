"""One training run: data and a starting model in, a model directory out."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from mpvss_model.data import ClipSet, open_clips
from mpvss_model.errors import ConfigError, DataError
from mpvss_model.evaluation import ClipEvaluation
from mpvss_model.segmentor.start import (
    StartingModel,
    load_start,
    new_start,
    replace_classes,
    save_model,
    set_losses,
    with_motion,
)
from mpvss_model.text_files import read_json_object
from mpvss_model.training.config import IMITATION_STAGES, ModelConfig, TrainingConfig
from mpvss_model.training.datasets import ClipDataset, FlawedFrameDataset, FrameDataset, FramePairDataset
from mpvss_model.training.imitation import BackboneStage, DecoderStage, ImitationStage
from mpvss_model.training.stages import MotionStage, SegmentorStage, Stage
from mpvss_model.training.trainer import Trainer, checkpoints, new_accelerator

__all__ = ["train", "train_from_yaml"]

RUN_DIR = "training"
# May be changed between a run and its continuation.
RUNTIME_SETTINGS = (
    "workers",
    "log_interval",
    "checkpoint_interval",
    "validation_interval",
    "validation_clips",
    "max_minutes",
)


def train_from_yaml(
    config_path: str | Path,
    out_dir: str | Path,
    *,
    data_root: str | Path | None = None,
    start: str | None = None,
    resume: bool = True,
) -> dict[str, float]:
    """Train as a YAML file says.

    Args:
        config_path: Settings of a `TrainingConfig`.
        out_dir: See `train`.
        data_root: Instead of ``data.root``.
        start: Instead of ``model.start``.
        resume: See `train`.

    Returns:
        The metrics of the trained model on the validation clips, by name.

    Raises:
        MPVSSError: As `train`, and if the file or the data set is not usable.
    """
    overrides: dict[str, dict[str, str]] = {}
    if data_root is not None:
        overrides["data"] = {"root": str(data_root)}
    if start is not None:
        overrides["model"] = {"start": start}
    config = TrainingConfig.from_yaml(config_path, overrides)
    data = config.data
    training = open_clips(data.root, layout=data.layout, split=data.train_split or None)
    validation = open_clips(data.root, layout=data.layout, split=data.validation_split) if data.validation_split else None
    return train(config, training, validation, out_dir, resume=resume)


def train(
    config: TrainingConfig, training: ClipSet, validation: ClipSet | None, out_dir: str | Path, *, resume: bool = True
) -> dict[str, float]:
    """Train one stage and write a model directory that `VideoSegmentor.from_pretrained` loads.

    Started by ``accelerate launch``, it uses all the processes and devices that it was given.

    Args:
        config: The recipe.
        training: Clips to train on, with class names.
        validation: Clips to validate on, if any.
        out_dir: The model is written here when training is done. Its folder ``training`` holds checkpoints, TensorBoard logs
            and the configuration.
        resume: Go on with the run that ``out_dir`` holds, if it does. Otherwise that run is deleted.

    Returns:
        The metrics of the trained model on the validation clips, by name; none if ``config.max_minutes`` were over before the
        last step, so that there is no trained model yet.

    Raises:
        DataError: If the data cannot be used or has other classes than the starting model.
        ConfigError: If the configuration does not fit the machine, the model, or the run to go on with.
        CheckpointError: If the starting model cannot be loaded.
        MPVSSError: If training diverges.
    """
    out_dir = Path(out_dir)
    run_dir = out_dir / RUN_DIR
    class_names = _class_names(training, validation)
    torch.manual_seed(config.seed)
    stage = _stage(config, class_names, training)
    dataset = _dataset(config, training, stage)
    accelerator = new_accelerator(config, run_dir)
    if accelerator.is_main_process:
        _prepare_run(config, out_dir, resume=resume)
    accelerator.wait_for_everyone()
    trainer = Trainer(
        stage=stage,
        dataset=dataset,
        validate=_validation(config, validation, accelerator),
        config=config,
        accelerator=accelerator,
        run_dir=run_dir,
    )
    metrics = trainer.run()
    if metrics is None:
        return {}
    if accelerator.is_main_process:
        _write_model(stage, out_dir)
    return metrics


def _class_names(training: ClipSet, validation: ClipSet | None) -> tuple[str, ...]:
    if training.class_names is None:
        raise DataError(f"{training.name} does not say which classes it has; a plain folder needs a classes.txt for training")
    if validation is not None:
        if validation.class_names != training.class_names:
            raise DataError(f"{validation.name} and {training.name} must have the same classes")
        if not any(frame.is_labelled for clip in validation.clips for frame in clip.frames):
            raise DataError(f"{validation.name} has no labelled frame to validate on; set data.validation_split to ''")
    return training.class_names


def _dataset(config: TrainingConfig, clips: ClipSet, stage: Stage) -> ClipDataset:
    settings = {"augmentation": config.augmentation, "seed": config.seed}
    if isinstance(stage, SegmentorStage):
        return FrameDataset(clips, **settings)
    if isinstance(stage, ImitationStage):
        return FlawedFrameDataset(clips, **settings)
    tracked = stage.model.motion.config.refines_tracked_flow
    if tracked and config.loss.flow_weight:
        raise ConfigError("loss.flow_weight must be 0 for a motion module that refines tracked flow: its own is not known")
    return FramePairDataset(clips, max_frame_distance=config.max_frame_distance, tracked=tracked, **settings)


def _stage(config: TrainingConfig, class_names: tuple[str, ...], clips: ClipSet) -> Stage:
    start = _start(config.model, class_names)
    if config.model.replace_classes:
        replace_classes(start.network, class_names)
    clips.check_classes(tuple(start.network.config.id2label.values()), config.model.start)
    if config.stage in IMITATION_STAGES:
        return _imitation_stage(config, start)
    mask2former_losses = asdict(config.loss)
    del mask2former_losses["flow_weight"]
    set_losses(start.network, **mask2former_losses)
    settings = {"loss": config.loss, "image_mean": start.image_mean, "image_std": start.image_std}
    if config.stage == "segmentor":
        return SegmentorStage(start.network, freeze_backbone_norms=config.freeze_backbone_norms, **settings)
    return MotionStage(with_motion(start, config.model.motion), freeze_heads=config.freeze_heads, **settings)


def _imitation_stage(config: TrainingConfig, start: StartingModel) -> ImitationStage:
    teacher = load_start(config.model.teacher).network if config.model.teacher else start.network
    if _sizes(teacher) != _sizes(start.network):
        raise ConfigError(f"model.teacher {config.model.teacher!r} must have the sizes of model.start {config.model.start!r}")
    model = start.network if start.motion is None else with_motion(start, {})
    settings = {"teacher_share": config.teacher_share, "image_mean": start.image_mean, "image_std": start.image_std}
    if config.stage == "backbone":
        return BackboneStage(model, teacher, **settings)
    return DecoderStage(model, teacher, loss=config.loss, **settings)


def _sizes(network: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in network.state_dict().items()}


def _start(config: ModelConfig, class_names: tuple[str, ...]) -> StartingModel:
    if config.start:
        return load_start(config.start)
    return new_start(
        backbone=config.backbone,
        class_names=class_names,
        settings=config.settings,
        backbone_weights=config.backbone_weights,
    )


def _validation(
    config: TrainingConfig, clips: ClipSet | None, accelerator: Accelerator
) -> Callable[[Stage], dict[str, float]]:
    """A function that measures a stage on the validation clips, which the processes divide among themselves."""
    if clips is None:
        return lambda stage: {}
    chosen = np.linspace(0, len(clips.clips) - 1, config.validation_clips or len(clips.clips)).round().astype(int)
    chosen = [clips.clips[i] for i in np.unique(chosen)]

    def summed(values: np.ndarray) -> np.ndarray:
        return accelerator.reduce(torch.from_numpy(values).to(accelerator.device), "sum").cpu().numpy()

    def validate(stage: Stage) -> dict[str, float]:
        evaluation = ClipEvaluation(stage.video_segmentor(config.key_frame_interval))
        evaluation.run(chosen[accelerator.process_index :: accelerator.num_processes])
        evaluation.confusion.counts = summed(evaluation.confusion.counts)
        for consistency in evaluation.consistency.values():
            consistency.accuracy_sum, consistency.windows = summed(np.array([consistency.accuracy_sum, consistency.windows]))
        return evaluation.summary()

    return validate


def _prepare_run(config: TrainingConfig, out_dir: Path, *, resume: bool) -> None:
    """Make the folder of a run, or check that the run in it had the same configuration."""
    run_dir = out_dir / RUN_DIR
    record = run_dir / "config.json"
    if (out_dir / "config.json").exists() and not record.exists():
        raise ConfigError(f"{out_dir} holds a model that was not trained there: choose another output directory")
    if not resume:
        for folder in [*checkpoints(run_dir), run_dir / "logs"]:
            shutil.rmtree(folder, ignore_errors=True)
    settings = json.loads(json.dumps(asdict(config)))
    if checkpoints(run_dir):
        recorded = read_json_object(record, ConfigError)
        changed = [name for name in settings if name not in RUNTIME_SETTINGS and settings[name] != recorded.get(name)]
        if changed:
            raise ConfigError(
                f"{run_dir} holds a run with other settings ({', '.join(changed)}): continue it with its own, choose another "
                "output directory, or start over without resuming"
            )
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        partial = record.with_suffix(".unfinished")
        partial.write_text(json.dumps(settings, indent=2) + "\n")
        os.replace(partial, record)
    except OSError as error:
        raise ConfigError(f"cannot write to output directory {out_dir}: {error.strerror}") from error


def _write_model(stage: Stage, out_dir: Path) -> None:
    """Put whole files in their places, config.json last: without it, a directory is no model."""
    partial = out_dir / RUN_DIR / "unfinished"
    shutil.rmtree(partial, ignore_errors=True)
    save_model(stage.trained_model(), partial, image_mean=stage.image_mean, image_std=stage.image_std)
    for file in sorted(partial.iterdir(), key=lambda file: file.name == "config.json"):
        os.replace(file, out_dir / file.name)
    partial.rmdir()
