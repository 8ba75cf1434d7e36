"""``mpvss label``: the best labels that a model can give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from mpvss_model.config import AUTO_INFERENCE_SIZE, DEFAULT_MODEL, DecodingConfig, StreamConfig
from mpvss_model.fleet.config import FleetConfig
from mpvss_model.propagation.registry import propagation_choices
from mpvss_ros.cli.common.options import (
    DeviceOption,
    InferenceSizeOption,
    IntervalOption,
    ModelOption,
    PrecisionOption,
    ThreadsOption,
    TopicOption,
    with_settings,
)

if TYPE_CHECKING:
    from mpvss_ros.bags.fleet.sources import GivenSources

__all__ = ["label"]

# About as long as a model takes to load for a hundredth of the work, where that takes a second.
PIECE_FRAMES = 3000

SourcesArgument = Annotated[
    list[str],
    typer.Argument(
        help="Bags, folders of images or data sets; folders of bags, or patterns such as 'drives/*'.", show_default=False
    ),
]
OutOption = Annotated[
    Path,
    typer.Option(
        help="Folder to write, or, ending with .mcap, a bag; of several sources a folder with a folder or bag for each. An "
        "interrupted run continues there."
    ),
]
PieceOption = Annotated[
    int,
    typer.Option(
        help="With several workers, bags of twice as many frames are cut into pieces of about so many, with the same labels "
        "in the end; 0: never.",
        metavar="FRAMES",
        min=0,
    ),
]
ClassesOption = Annotated[
    str | None,
    typer.Option(help="To other classes: a YAML file, ade20k-rooms or coco-rooms.", show_default=False, metavar="MAP"),
]
FlipsOption = Annotated[bool, typer.Option("--flips", help="Segment mirrored copies, too, and average.")]
ScalesOption = Annotated[str, typer.Option(help="Segment copies of these sizes, relative, and average: 0.75,1,1.25.")]
PropagationOption = Annotated[str, typer.Option(help=f"With --interval: {', '.join(propagation_choices())}.")]
ConfidenceOption = Annotated[float, typer.Option(help="Pixels below become unlabeled, 0 to 1.")]


@with_settings
def label(
    sources: SourcesArgument,
    *,
    out: OutOption,
    model: ModelOption = DEFAULT_MODEL,
    classes: ClassesOption = None,
    flips: FlipsOption = False,
    scales: ScalesOption = "1",
    interval: IntervalOption = 1,
    propagation: PropagationOption = "auto",
    inference_size: InferenceSizeOption = AUTO_INFERENCE_SIZE,
    min_confidence: ConfidenceOption = 0.0,
    bag: Annotated[bool, typer.Option("--bag", help="Write a rosbag2 directory.")] = False,
    topic: TopicOption = None,
    split: Annotated[str | None, typer.Option(help="Part of a data set.", show_default=False)] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = 0,
    piece_frames: PieceOption = PIECE_FRAMES,
    decoding: DecodingConfig,
    fleet: FleetConfig,
) -> None:
    """Label recordings or data sets without hurry.

    Exit code 1 if some of several sources failed, 130 or 143 if SIGINT or SIGTERM stopped it.
    """
    from mpvss_model.labelling import ClassMapping, LabellingConfig
    from mpvss_model.labelling.config import parse_views
    from mpvss_ros.bags.fleet.sources import found_sources
    from mpvss_ros.bags.labelled_bag import is_single_file

    found = found_sources(sources, leave_out=out)
    config = LabellingConfig(
        interval=interval,
        propagation=propagation,
        views=parse_views(scales, flips=flips),
        min_confidence=min_confidence,
    )
    settings: dict[str, Any] = {
        "as_bag": bag or is_single_file(out),
        "model": model,
        "config": config,
        "mapping": None if classes is None else ClassMapping.open(classes),
        "stream": StreamConfig(inference_size=inference_size),
        "topic": topic,
        "split": split,
        "decoding": decoding,
        "device": device,
        "precision": precision,
    }
    if found.are_several or fleet.is_several:
        _label_several(found, out, fleet, threads=fleet.threads(threads), piece_frames=piece_frames, **settings)
    else:
        _label_one(found.locations[0], out, threads=fleet.threads(threads), **settings)


def _label_one(source: str, out: Path, *, threads: int, split: str | None, **settings: Any) -> None:
    """A source in this process."""
    from mpvss_model.data import path_and_split
    from mpvss_model.runtime.threads import use_threads
    from mpvss_ros.bags.labelled_bag import label_source
    from mpvss_ros.cli.common.progress import shown_progress

    use_threads(threads)
    path, split = path_and_split(source, split)
    with shown_progress("labelling") as on_frame:
        labelling = label_source(path, out, split=split, on_frame=on_frame, **settings)
    _say(labelling.counts.lines(), labelling.frames, labelling.class_names, out)


def _label_several(sources: GivenSources, out: Path, fleet: FleetConfig, **task: Any) -> None:
    """Several sources, or one by several workers."""
    from mpvss_model.errors import MPVSSError
    from mpvss_model.runtime.progress import new_console
    from mpvss_ros.bags.fleet.label_work import LabellingTask
    from mpvss_ros.bags.fleet.labelling import LEDGER_FILE, label_sources
    from mpvss_ros.cli.common.fleet import end, labelled_sources_table, print_failures

    ledger = label_sources(sources, out, task=LabellingTask(**task), fleet=fleet, console=new_console())
    if not sources.are_several:
        (entry,) = ledger.entries
        if ledger.failures:
            raise MPVSSError(entry.error)
        _say(entry.result["notes"], entry.result["frames"], entry.result["class_names"], out)
        return
    Console().print(labelled_sources_table(ledger))
    print_failures(ledger)
    print(f"  {out / LEDGER_FILE}")
    end(ledger.failures)


def _say(notes: Sequence[str], frames: int, class_names: Sequence[str], out: Path) -> None:
    for line in notes:
        print(f"  {line}")
    print(f"{frames} frames of {len(class_names)} classes in {out}")
