"""``mpvss evaluate``: a model's metrics, cost and speed on a bag, a folder of frames or a data set."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from mpvss_model.config import DEFAULT_MODEL, PER_FRAME, DecodingConfig, ExecutionConfig, StreamConfig
from mpvss_model.errors import ConfigError, MPVSSError
from mpvss_model.fleet.config import FleetConfig
from mpvss_model.propagation.registry import propagation_choices
from mpvss_ros.cli.common.options import (
    DeviceOption,
    ModelOption,
    PrecisionOption,
    SplitOption,
    ThingClassesOption,
    ThreadsOption,
    TopicOption,
    separate_names,
    with_settings,
)

if TYPE_CHECKING:
    from mpvss_model.evaluation.evaluation_report import EvaluationReport
    from mpvss_ros.bags.fleet.evaluation import EvaluationTask
    from mpvss_ros.bags.fleet.sources import GivenSources

__all__ = ["evaluate"]

SourcesArgument = Annotated[
    list[str],
    typer.Argument(
        help="Bags, folders of frames or data sets (VSPW, Cityscapes); FOLDER:SPLIT for a part of one; folders of bags, or "
        "patterns such as 'drives/*'.",
        show_default=False,
    ),
]
PropagationOption = Annotated[
    str,
    typer.Option(help=f"{', '.join(propagation_choices())}; per-frame for none at all; several separated by commas."),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        help="JSON file to write; of several sources, those that it has already are not evaluated again.", show_default=False
    ),
]
RepeatsOption = Annotated[
    int,
    typer.Option(
        help="Evaluate so often, at most as often as the interval, with key frames in other places of each clip: mean and "
        "standard deviation.",
        min=1,
    ),
]
PerClassOption = Annotated[bool, typer.Option("--per-class", help="Print a table of the classes, too.")]
ConfusionOption = Annotated[Path | None, typer.Option(help="File for the confusion matrix, .csv or .png.", show_default=False)]
ExportOption = Annotated[
    Path | None, typer.Option(help="New folder for the labels as PNG files, as --ids says.", show_default=False)
]
IdsOption = Annotated[
    str,
    typer.Option(help="Of --export: vspw, cityscapes: ids and file names of that server; index: the model's class indices."),
]


@with_settings
def evaluate(
    sources: SourcesArgument,
    *,
    model: ModelOption = DEFAULT_MODEL,
    propagation: PropagationOption = "auto",
    out: OutOption = None,
    per_class: PerClassOption = False,
    confusion: ConfusionOption = None,
    repeats: RepeatsOption = 1,
    export: ExportOption = None,
    ids: IdsOption = "index",
    thing_classes: ThingClassesOption = "",
    topic: TopicOption = None,
    split: SplitOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = 0,
    streams: tuple[StreamConfig, ...],
    decoding: DecodingConfig,
    execution: ExecutionConfig,
    fleet: FleetConfig,
) -> None:
    """Measure a model on labelled video, straight from its files, without ROS communication.

    Exit code 1 if some of several sources failed, 130 or 143 if SIGINT or SIGTERM stopped those.
    """
    from mpvss_model.evaluation.source_evaluation import check_ways_of
    from mpvss_ros.bags.fleet.evaluation import EvaluationTask
    from mpvss_ros.bags.fleet.sources import found_sources

    found = found_sources(sources)
    runs = _runs(propagation, streams)
    _check_files(confusion, export, several_runs=len(runs) > 1, several_repeats=repeats > 1)
    _check_one_source(found, per_class=per_class, confusion=confusion, export=export)
    if export is not None and fleet.is_several:
        raise ConfigError("--export takes the labels of one process, got several workers or a cluster")
    if len(runs) > 1:  # the first ones may take hours
        check_ways_of(model, [way for way, _ in runs])
    task = EvaluationTask(
        model=model,
        runs=tuple(runs),
        repeats=repeats,
        topic=topic,
        split=split,
        decoding=decoding,
        device=device,
        precision=precision,
        execution=execution,
        thing_classes=tuple(separate_names(thing_classes)),
        threads=fleet.threads(threads),
    )
    if found.are_several:
        _evaluate_several(found, out, task, fleet)
        return
    if fleet.is_several:
        reports = _evaluated_elsewhere(found, task, fleet)
    else:
        reports = _evaluated_here(found.locations[0], task, export, ids)
    console = Console()
    _show(console, reports, per_class=per_class)
    _write(reports, out=out, confusion=confusion)
    for written in (out, confusion, export):
        if written is not None:
            console.print(f"  {written}", markup=False, highlight=False, soft_wrap=True)


def _evaluated_here(source: str, task: EvaluationTask, export: Path | None, ids: str) -> list[EvaluationReport]:
    """The reports of one source, made in this process."""
    from contextlib import ExitStack

    from rich.progress import Progress

    from mpvss_model.evaluation.label_export import LabelExport
    from mpvss_model.runtime.threads import use_threads

    use_threads(task.threads)
    with Progress(transient=True) as progress, ExitStack() as exports:
        target = None if export is None else exports.enter_context(LabelExport(export, ids))
        reports = []
        for way, stream in task.runs:
            title = f"{way}, interval {stream.max_interval_frames}" if len(task.runs) > 1 else "segmenting"
            bar = progress.add_task(title)
            reports.append(
                task.evaluate(
                    source,
                    way,
                    stream,
                    export=target,
                    on_frame=lambda done, total, bar=bar: progress.update(bar, completed=done, total=total),
                )
            )
    return reports


def _evaluated_elsewhere(sources: GivenSources, task: EvaluationTask, fleet: FleetConfig) -> list[EvaluationReport]:
    """The reports of one source, made by a worker."""
    from mpvss_model.runtime.progress import new_console
    from mpvss_ros.bags.fleet.evaluation import evaluate_sources

    ledger, reports = evaluate_sources(sources, None, task=task, fleet=fleet, console=new_console())
    for entry in ledger.failures:
        raise MPVSSError(entry.error)
    return reports


def _evaluate_several(sources: GivenSources, out: Path | None, task: EvaluationTask, fleet: FleetConfig) -> None:
    """A table of all sources."""
    from mpvss_model.runtime.progress import new_console
    from mpvss_ros.bags.fleet.evaluation import evaluate_sources
    from mpvss_ros.cli.common.fleet import end, evaluated_sources_table, print_failures

    ledger, _ = evaluate_sources(sources, out, task=task, fleet=fleet, console=new_console())
    Console().print(evaluated_sources_table(ledger))
    print_failures(ledger)
    if out is not None:
        print(f"  {out}")
    end(ledger.failures)


def _runs(propagation: str, streams: tuple[StreamConfig, ...]) -> list[tuple[str, StreamConfig]]:
    """Each way with each interval, but segmentation of every frame once."""
    from mpvss_model.evaluation.source_evaluation import check_way

    ways = list(dict.fromkeys(way.strip() for way in propagation.split(",")))
    for way in ways:
        check_way(way)
    runs = itertools.product(ways, streams)
    return [(way, stream) for way, stream in runs if way != PER_FRAME or stream is streams[0]]


def _check_one_source(sources: GivenSources, *, per_class: bool, confusion: Path | None, export: Path | None) -> None:
    """Raise `ConfigError` if what is asked for is of one source, and there may be several."""
    for option, is_given in (("--per-class", per_class), ("--confusion", confusion), ("--export", export)):
        if is_given and sources.are_several:
            raise ConfigError(f"{option} takes one source, got several; --out has classes and confusion matrices of all")


def _check_files(confusion: Path | None, export: Path | None, *, several_runs: bool, several_repeats: bool) -> None:
    """Raise `ConfigError` before anything is segmented if what is asked for has no place in the files."""
    if export is not None and (several_runs or several_repeats):
        raise ConfigError("--export takes the labels of one way, one interval and one repeat, got several")
    if confusion is not None and several_runs:
        raise ConfigError("--confusion takes one way and one interval, got several; --out has all confusion matrices")
    if confusion is not None:
        from mpvss_model.evaluation.confusion_files import check_confusion_file

        check_confusion_file(confusion)


def _show(console: Console, reports: list[EvaluationReport], *, per_class: bool) -> None:
    from mpvss_ros.cli.common.tables import classes_table, evaluation_table, evaluations_table, things_table

    console.print(evaluation_table(reports[0]) if len(reports) == 1 else evaluations_table(reports))
    if any(report.panoptic is not None for report in reports):
        console.print(things_table(reports))
    if per_class:
        console.print(classes_table(reports))
    for note in dict.fromkeys(note for report in reports for note in report.notes):
        console.print(f"  {note}", markup=False, highlight=False, soft_wrap=True)


def _write(reports: list[EvaluationReport], *, out: Path | None, confusion: Path | None) -> None:
    from mpvss_ros.cli.common.json_output import write_json

    first = reports[0]
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(out, first.as_dict() if len(reports) == 1 else {"runs": [report.as_dict() for report in reports]})
    if confusion is not None:
        from mpvss_model.evaluation.confusion_files import write_confusion

        write_confusion(confusion, first.confusion_matrix, list(first.iou_per_class))
