"""One training run: data and a starting model in, a model directory out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import takewhile
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from mpvss_model.checkpoints.starting_model import (
    StartingModel,
    load_start,
    new_start,
    replace_classes,
    save_model,
    set_losses,
)
from mpvss_model.data import Clip, ClipSet, in_classes_of, open_clips
from mpvss_model.errors import DataError
from mpvss_model.evaluation.clip_evaluation import ClipEvaluation
from mpvss_model.runtime.progress import new_console
from mpvss_model.segmentor.shipped_models import model_location
from mpvss_model.stream.video_segmentor import VideoSegmentor
from mpvss_model.training.recipe.config import IMITATION_STAGES, MixedDataConfig, ModelConfig, TrainingConfig
from mpvss_model.training.registry import STAGES
from mpvss_model.training.reporting import CLASS_PREFIX, data_summary
from mpvss_model.training.run_folder import RunFolder
from mpvss_model.training.samples.datasets import ClipDataset
from mpvss_model.training.samples.mixture import MixedDataset
from mpvss_model.training.samples.style import RandomStyle
from mpvss_model.training.stages import Stage
from mpvss_model.training.trainer import Trainer, Validate, new_accelerator

__all__ = ["train", "train_from_yaml"]


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
        training: Clips to train on, with class names: those of the starting model in any order, unless it gets a new class
            head.
        validation: Clips to validate on, if any, with the same classes.
        out_dir: The model is written here when training is done. Its folder ``training`` holds checkpoints, TensorBoard logs
            and the configuration; ``best`` is the model that was best on the validation clips. Each checkpoint is a model
            directory, too.
        resume: Go on with the run that ``out_dir`` holds, if it does. Otherwise that run is deleted.

    Returns:
        The metrics of the trained model on the validation clips, by name; none if ``config.max_minutes`` were over before the
        last step, so that there is no trained model yet.

    Raises:
        DataError: If the data cannot be used or has other classes than the starting model.
        ConfigError: If the configuration does not fit the machine, the model, or the run to go on with.
        CheckpointError: If the starting model cannot be loaded.
        TrainingInterrupted: If SIGINT or SIGTERM came; the next call goes on from its checkpoint.
        MPVSSError: If training diverges.
    """
    folder = RunFolder(Path(out_dir))
    class_names = _class_names(training, validation)
    torch.manual_seed(config.seed)
    start = _start(config.model, class_names)
    training = _in_classes_of(start, training, config.model.start)
    if validation is not None:
        validation = _in_classes_of(start, validation, config.model.start)
    mixed = [_MixedClips.opened(source, training) for source in config.data.mixed_with]
    stage = _stage(config, start)
    dataset = _dataset(stage, training, mixed, config)
    accelerator = new_accelerator(config, folder.path)
    if accelerator.is_main_process:
        folder.prepare(asdict(config), resume=resume)
    accelerator.wait_for_everyone()
    console = new_console(visible=accelerator.is_main_process)
    validated = [clips for clips in (validation, *(source.validation for source in mixed)) if clips is not None]
    for clips in (training, *(source.training for source in mixed)):
        console.print(data_summary("training", clips), markup=False)
    for clips in validated:
        console.print(data_summary("validating", clips), markup=False)
    trainer = Trainer(
        stage=stage,
        dataset=dataset,
        validate=_validation(config, validated, accelerator),
        save_model=_save_stage,
        config=config,
        accelerator=accelerator,
        folder=folder,
        console=console,
    )
    metrics = trainer.run()
    if metrics is None:
        return {}
    if accelerator.is_main_process:
        folder.write_model(partial(_save_stage, trainer.result))
    return metrics


@dataclass(frozen=True)
class _MixedClips:
    """A data set beside the main one, opened."""

    training: ClipSet
    validation: ClipSet | None
    source: MixedDataConfig

    @classmethod
    def opened(cls, source: MixedDataConfig, main: ClipSet) -> _MixedClips:
        """With labels in the order of the main data's classes."""

        def part(split: str) -> ClipSet:
            clips = open_clips(source.root, layout=source.layout, split=split or None)
            return in_classes_of(clips, main.class_names, main.name)

        return cls(part(source.train_split), part(source.validation_split) if source.validation_split else None, source)


def _dataset(stage: Stage, training: ClipSet, mixed: list[_MixedClips], config: TrainingConfig) -> ClipDataset | MixedDataset:
    main = stage.dataset(training, config)
    if not mixed:
        return main
    others = []
    for clips in mixed:
        probability = clips.source.restyle_probability
        style = RandomStyle(training, probability) if probability else None
        others.append((stage.dataset(clips.training, config, style), clips.source.share))
    return MixedDataset(main, others)


def _class_names(training: ClipSet, validation: ClipSet | None) -> tuple[str, ...]:
    if training.class_names is None:
        raise DataError(f"{training.name} does not say which classes it has; a plain folder needs a classes.txt for training")
    if validation is not None:
        if validation.class_names != training.class_names:
            raise DataError(f"{validation.name} and {training.name} must have the same classes")
        if not any(frame.is_labelled for clip in validation.clips for frame in clip.frames):
            raise DataError(f"{validation.name} has no labelled frame to validate on; set data.validation_split to ''")
    return training.class_names


def _start(config: ModelConfig, class_names: tuple[str, ...]) -> StartingModel:
    if config.start:
        start = load_start(model_location(config.start))
        if config.replace_classes:
            replace_classes(start.network, class_names)
    else:
        start = new_start(
            backbone=config.backbone,
            class_names=class_names,
            settings=config.settings,
            backbone_weights=config.backbone_weights,
            others_from=config.others_from and model_location(config.others_from),
        )
    if config.inference_size >= 0:
        start.network.config.inference_size = config.inference_size
    return start


def _in_classes_of(start: StartingModel, clips: ClipSet, name: str) -> ClipSet:
    """Clips with labels that are a starting model's class indices."""
    try:
        return in_classes_of(clips, tuple(start.network.config.id2label.values()), name)
    except DataError as error:
        raise DataError(f"{error}; or set model.replace_classes: true for a new class head with the data's classes") from None


def _stage(config: TrainingConfig, start: StartingModel) -> Stage:
    if config.stage not in IMITATION_STAGES:  # those have losses of their own
        mask2former_losses = asdict(config.loss)
        del mask2former_losses["flow_weight"]
        set_losses(start.network, **mask2former_losses)
    return STAGES[config.stage].from_config(config, start)


def _validation(config: TrainingConfig, sets: Sequence[ClipSet], accelerator: Accelerator) -> Validate:
    """A function that measures a stage on validation clips, which the processes divide among themselves.

    Args:
        config: The recipe.
        sets: The metrics of the first have no prefix; of others, there is mIoU alone, after the set's name.
        accelerator: Of the run.
    """
    if not sets:
        return lambda stage, is_interrupted: {}
    main, *others = (replace(clips, clips=_spread_clips(clips, config.validation_clips)) for clips in sets)

    def summed(values: np.ndarray) -> np.ndarray:
        return accelerator.reduce(torch.from_numpy(values).to(accelerator.device), "sum").cpu().numpy()

    def measured(segmentor: VideoSegmentor, clips: ClipSet, is_interrupted: Callable[[], bool]) -> ClipEvaluation:
        evaluation = ClipEvaluation(segmentor)
        for clip in clips.clips[accelerator.process_index :: accelerator.num_processes]:
            evaluation.add_video(takewhile(lambda _: not is_interrupted(), clip.frames))
        evaluation.confusion.counts = summed(evaluation.confusion.counts)
        for consistency in evaluation.consistency.values():
            consistency.accuracy_sum, consistency.windows = summed(np.array([consistency.accuracy_sum, consistency.windows]))
        return evaluation

    def validate(stage: Stage, is_interrupted: Callable[[], bool]) -> dict[str, float] | None:
        evaluation = measured(stage.video_segmentor(config.key_frame_interval), main, is_interrupted)
        classes = zip(main.class_names, evaluation.confusion.iou_per_class.tolist(), strict=True)
        metrics = evaluation.summary() | {f"{CLASS_PREFIX}{name}": iou for name, iou in classes}
        for rival, segmentor in stage.rivals(config.key_frame_interval).items():
            metrics[f"{rival}/miou"] = measured(segmentor, main, is_interrupted).confusion.miou
        for other in others:
            segmentor = stage.video_segmentor(config.key_frame_interval)
            metrics[f"{other.name}/miou"] = measured(segmentor, other, is_interrupted).confusion.miou
        if summed(np.array([is_interrupted()], np.int64))[0]:
            return None
        stage.heed(metrics)
        return metrics

    return validate


def _spread_clips(clips: ClipSet, count: int) -> tuple[Clip, ...]:
    """So many clips of a set, evenly spread; all for 0."""
    indices = np.linspace(0, len(clips.clips) - 1, count or len(clips.clips)).round().astype(int)
    return tuple(clips.clips[i] for i in np.unique(indices))


def _save_stage(stage: Stage, folder: Path) -> None:
    save_model(stage.trained_model(), folder, image_mean=stage.image_mean, image_std=stage.image_std)
