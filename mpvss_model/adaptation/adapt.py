"""Adapts a model to recordings without labels, and goes on where it was stopped.

::

    <out>/labels/<source>      what the teacher labelled, a data set
    <out>/views/<source>       of photographs: another view of each
    <out>/teaching             what teaches, a data set with the splits train and val (held back)
    <out>/mix                  what is mixed in, as links, likewise
    <out>/recipe.yaml          how the student is trained
    <out>/run                  the training run
    <out>/report.md, .json     what came of it, with before-after.png
    <out>/config.json, ...     the model, if it is taken
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mpvss_model.adaptation.agreement import is_video
from mpvss_model.adaptation.config import AdaptationConfig
from mpvss_model.adaptation.mixed_folder import check_mixed, write_mixed_folder
from mpvss_model.adaptation.recipe import adaptation_recipe, write_recipe
from mpvss_model.adaptation.report import AdaptationReport, write_report
from mpvss_model.adaptation.split import HELD_BACK
from mpvss_model.adaptation.teaching_set import LabelledClip, TeachingSet, write_teaching_set
from mpvss_model.adaptation.thinning import thinned
from mpvss_model.adaptation.verdict import Verdict, measured
from mpvss_model.checkpoints.starting_model import StartingModel, load_start
from mpvss_model.config import StreamConfig
from mpvss_model.data import Clip, ClipSet, Frame, in_classes_of, open_clips
from mpvss_model.data.class_order import comparable_name
from mpvss_model.errors import ConfigError
from mpvss_model.evaluation.study.source import Source, check_names
from mpvss_model.files import full_disk_named
from mpvss_model.labelling import LabelFolder, LabellingConfig, label_clips
from mpvss_model.labelling.config import View
from mpvss_model.labelling.labeller import labelled_class_names
from mpvss_model.segmentor.config_file import model_name
from mpvss_model.segmentor.network_files import class_names_of
from mpvss_model.segmentor.shipped_models import model_location
from mpvss_model.stream.video_segmentor import VideoSegmentor
from mpvss_model.training import TrainingConfig, train_from_yaml
from mpvss_model.training.run_folder import RunFolder

__all__ = ["adapt"]

# Of photographs: as different as the same photograph can well be seen.
OTHER_VIEW = (View(0.75, mirrored=True),)
# Pairs of frames that tell a video from photographs.
TRIED_PAIRS = 6
# With a limit in minutes, this part of it, at most so long, tells how many steps it has.
TRIAL_PART, MAX_TRIAL_MINUTES = 0.25, 2.0
ENDLESS_STEPS = 1_000_000
MODEL_FILES = ("model.safetensors", "preprocessor_config.json", "config.json")  # the last one makes it a model

OnProgress = Callable[[str, int, int], None]


def adapt(
    sources: Sequence[Source],
    out: Path,
    config: AdaptationConfig,
    *,
    device: str = "auto",
    precision: str = "auto",
    on_progress: OnProgress = lambda what, done, total: None,
) -> AdaptationReport:
    """Let a teacher label recordings, train a student on that, and keep the result if it is better.

    Args:
        sources: Recordings and folders; ground truth is not looked at.
        out: Folder for all that is made; gets a model if the result is taken. The same call goes on with an earlier one.
        config: What teaches whom and how.
        device: Where the models label, see `VideoSegmentor.from_pretrained`; training takes a GPU if there is one.
        precision: Likewise.
        on_progress: Called with what is done now, how much of it is done, and of how much; 0 of 0 for what tells itself.

    Raises:
        MPVSSError: If something given cannot be used, settings are not those of an earlier start, or the disk is full.
        Interrupted: If SIGINT or SIGTERM came; the same call goes on.
    """
    check_names(sources)
    student = load_start(model_location(config.student))
    class_names = class_names_of(student.network.config, config.student)
    _check_classes(config, class_names)
    mixed = None if config.mix is None else check_mixed(config.mix, class_names, config.student)
    with full_disk_named(out, "free some, and the same command goes on; what was labelled and trained stays"):
        clips = [
            clip for source in sources for clip in _labelled(source, out, config, class_names, device, precision, on_progress)
        ]
        teaching = _teach(clips, out, config, class_names, on_progress)
        if mixed is not None:
            write_mixed_folder(config.mix, mixed, out / "mix")
        frame_size = clips[0].frames[0].read_image().shape[:2]
        on_progress("training", 0, 0)
        steps = _train(out, config, student, frame_size)
        return _judge(out, config, sources, class_names, teaching, clips, steps, device, precision)


def _check_classes(config: AdaptationConfig, class_names: tuple[str, ...]) -> None:
    taught = labelled_class_names(config.teacher, config.mapping)
    if {comparable_name(name) for name in taught} == {comparable_name(name) for name in class_names}:
        return
    way = f"the class map {config.mapping.name!r} leads" if config.mapping else f"teacher {config.teacher!r} has"
    way_out = "give a map that leads" if config.mapping else "give --classes MAP.yaml that leads"
    raise ConfigError(
        f"{way} {'to ' if config.mapping else ''}other classes ({_shown(taught)}) than student {config.student!r} "
        f"({_shown(class_names)}): {way_out} to the student's"
    )


def _labelled(
    source: Source,
    out: Path,
    config: AdaptationConfig,
    class_names: tuple[str, ...],
    device: str,
    precision: str,
    on_progress: OnProgress,
) -> Iterator[LabelledClip]:
    """The clips of a source as the teacher labels them."""
    clips = replace(source.clip_set, clips=tuple(thinned(clip, config.every) for clip in source.clip_set.clips))
    given = {"source": str(Path(source.location).resolve()), "every": config.every}

    def label(some: ClipSet, kind: str, labelling: LabellingConfig) -> ClipSet:
        folder = out / kind / source.slug
        label_clips(
            some,
            folder,
            model=config.teacher,
            given=given,
            config=labelling,
            mapping=config.mapping,
            device=device,
            precision=precision,
            on_frame=lambda done, total: on_progress(f"labelling {source.name}", done, total),
        )
        return in_classes_of(open_clips(folder, layout="folder"), class_names, config.student)

    labelled = label(clips, "labels", config.labelling)
    photographs = {clip.name for clip in labelled.clips if not _is_video(clip)}
    chosen = tuple(clip for clip in clips.clips if clip.name.replace("/", "_") in photographs)
    others: dict[str, dict[str, Frame]] = {}
    if chosen:
        views = label(replace(clips, clips=chosen), "views", LabellingConfig(views=OTHER_VIEW))
        others = {clip.name: {frame.name: frame for frame in clip.frames} for clip in views.clips}
    for clip in labelled.clips:
        yield LabelledClip(f"{source.slug}-{clip.name}", clip.frames, others.get(clip.name))


def _is_video(clip: Clip) -> bool:
    last = len(clip.frames) - 1
    if last < 1:
        return False
    starts = sorted({round(i * (last - 1) / max(1, TRIED_PAIRS - 1)) for i in range(TRIED_PAIRS)})
    return is_video([clip.frames[i + j].read_image() for i in starts for j in (0, 1)])


def _teach(
    clips: Sequence[LabelledClip],
    out: Path,
    config: AdaptationConfig,
    class_names: tuple[str, ...],
    on_progress: OnProgress,
) -> TeachingSet:
    folder = LabelFolder(out / "teaching")
    frames = {clip.name: len(clip.frames) for clip in clips}
    folder.prepare({"min_confidence": config.min_confidence, "frames": frames}, class_names)
    return write_teaching_set(
        clips,
        folder,
        min_confidence=config.min_confidence,
        on_frame=lambda done, total: on_progress("looking for agreement", done, total),
    )


def _train(out: Path, config: AdaptationConfig, student: StartingModel, frame_size: tuple[int, int]) -> int:
    """Train, or go on with it; returns the number of steps."""
    recipe_file, run = out / "recipe.yaml", out / "run"
    recipe = adaptation_recipe(
        teaching=(out / "teaching").resolve(),
        mixed=None if config.mix is None else (out / "mix").resolve(),
        mix_share=config.mix_share,
        student=config.student,
        has_motion=student.motion is not None,
        frame_size=frame_size,
        steps=config.steps,
    )
    if config.minutes is not None:
        recipe = replace(recipe, steps=_steps_in(config.minutes, recipe, recipe_file, run))
    write_recipe(recipe, recipe_file)
    train_from_yaml(recipe_file, run)
    return recipe.steps


def _steps_in(minutes: float, recipe: TrainingConfig, recipe_file: Path, run: Path) -> int:
    """How many steps so many minutes have, by a trial whose steps count."""
    if recipe_file.is_file() and (known := TrainingConfig.from_yaml(recipe_file).steps) < ENDLESS_STEPS:
        return known  # of an earlier start
    trial_minutes = min(MAX_TRIAL_MINUTES, TRIAL_PART * minutes)
    write_recipe(replace(recipe, steps=ENDLESS_STEPS, max_minutes=trial_minutes, log_interval=1), recipe_file)
    train_from_yaml(recipe_file, run)
    done = RunFolder(run).progress()
    return max(done.step + 1, math.floor(done.step * minutes / max(done.minutes, 1e-3)))


def _judge(
    out: Path,
    config: AdaptationConfig,
    sources: Sequence[Source],
    class_names: tuple[str, ...],
    teaching: TeachingSet,
    clips: Sequence[LabelledClip],
    steps: int,
    device: str,
    precision: str,
) -> AdaptationReport:
    per_frame = StreamConfig(max_interval_frames=1)
    before, after = (
        VideoSegmentor.from_pretrained(model, device=device, precision=precision, config=per_frame)
        for model in (config.student, str(out / "run"))
    )
    held_back = open_clips(out / "teaching", layout="folder", split=HELD_BACK)
    mixed = None
    if config.mix is not None:
        of_mix = in_classes_of(open_clips(out / "mix", layout="folder", split=HELD_BACK), class_names, config.student)
        mixed = measured(before, after, of_mix)
    report = AdaptationReport(
        teacher=model_name(model_location(config.teacher)),
        student=model_name(model_location(config.student)),
        sources=[source.location for source in sources],
        teaching=teaching,
        steps=steps,
        verdict=Verdict(measured(before, after, held_back), mixed, config.min_gain, config.max_loss),
        photographs=[clip.name for clip in clips if clip.others is not None],
    )
    write_report(report, out, held_back, before=before, after=after)
    _put_model(out, is_taken=report.verdict.is_taken)
    return report


def _put_model(out: Path, *, is_taken: bool) -> None:
    """The run's model in its place, or none, also not one of an earlier verdict."""
    for name in reversed(MODEL_FILES):
        (out / name).unlink(missing_ok=True)
    if is_taken:
        for name in MODEL_FILES:
            unfinished = out / f".unfinished-{name}"
            shutil.copyfile(out / "run" / name, unfinished)
            os.replace(unfinished, out / name)


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + ", ..." * (len(names) > 4)
