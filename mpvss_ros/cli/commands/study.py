"""``mpvss study``: all ways of propagation compared."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mpvss_model.config import AUTO_INFERENCE_SIZE, DEFAULT_MODEL, DecodingConfig
from mpvss_model.fleet.config import FleetConfig
from mpvss_ros.cli.common.options import (
    DeviceOption,
    InferenceSizeOption,
    ModelOption,
    NamesOption,
    SplitOption,
    TopicOption,
    separate_names,
    with_settings,
)

__all__ = ["study"]

SourcesArgument = Annotated[
    list[str],
    typer.Argument(
        help="Bags, folders of frames or data sets; FOLDER:SPLIT for a part of one; folders of bags, or patterns.",
        show_default=False,
    ),
]


@with_settings
def study(
    sources: SourcesArgument,
    *,
    names: NamesOption = "",
    model: ModelOption = DEFAULT_MODEL,
    out: Annotated[Path, typer.Option(help="Folder for README.md, study.json and the pictures.")] = Path("out/study"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the study of another model in that folder.")] = False,
    topic: TopicOption = None,
    split: SplitOption = None,
    device: DeviceOption = "auto",
    inference_size: InferenceSizeOption = AUTO_INFERENCE_SIZE,
    threads: Annotated[int, typer.Option(help="CPU threads of each process.", min=1)] = 1,
    repeats: Annotated[int, typer.Option(help="Of random corruptions, for mean and standard deviation.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="Of random corruptions.", min=0)] = 0,
    decoding: DecodingConfig,
    fleet: FleetConfig,
) -> None:
    """Compare all ways of propagation on labelled video: tables, plots and pictures.

    Goes on where it was stopped. Exit code 1 if some clips failed, which the report names and is without; 130 or 143 if SIGINT
    or SIGTERM stopped it.
    """
    import shlex

    from mpvss_model.evaluation.study import StudyConfig
    from mpvss_model.evaluation.study.report.command import run_study
    from mpvss_model.propagation.registry import propagations
    from mpvss_model.runtime.progress import new_console
    from mpvss_ros.bags.fleet.sources import found_sources
    from mpvss_ros.bags.labelled_source import open_sources
    from mpvss_ros.cli.common.fleet import end

    found = found_sources(sources, leave_out=out)
    report = run_study(
        open_sources(found.locations, names=separate_names(names), split=split, topic=topic, decoding=decoding),
        out,
        model=model,
        device=device,
        threads=threads,
        fleet=fleet,
        config=StudyConfig(corruption_repeats=repeats, seed=seed, inference_size=inference_size),
        command=shlex.join(["mpvss", *sys.argv[1:]]),
        overwrite=overwrite,
        console=new_console(),
    )
    if not report.has_motion_module:
        left_out = " and ".join(row.name for row in propagations() if row.needs_motion)
        print(f"left out {left_out}: model {report.model!r} has no motion module")
    for failure in report.failures:
        print(f"  {failure}")
    print(f"  {out / 'README.md'}")
    end(report.failures)
