"""``mpvss study``: all ways of propagation compared."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mpvss_model.config import AUTO_INFERENCE_SIZE, DecodingConfig
from mpvss_ros.cli.common.options import DeviceOption, InferenceSizeOption, ModelOption, TopicOption, with_settings

__all__ = ["study"]

SourcesArgument = Annotated[
    list[str],
    typer.Argument(help="Bags, folders of frames or data sets; FOLDER:SPLIT for a part of one.", show_default=False),
]


@with_settings
def study(
    sources: SourcesArgument,
    *,
    names: Annotated[str, typer.Option(help="What to call the sources, separated by commas.", show_default=False)] = "",
    model: ModelOption = "rooms-lite",
    out: Annotated[Path, typer.Option(help="Folder for README.md, study.json and the pictures.")] = Path("docs/study"),
    topic: TopicOption = None,
    device: DeviceOption = "auto",
    inference_size: InferenceSizeOption = AUTO_INFERENCE_SIZE,
    workers: Annotated[int, typer.Option(help="Processes that share the clips.", min=1)] = 1,
    threads: Annotated[int, typer.Option(help="CPU threads of each process.", min=1)] = 1,
    decoding: DecodingConfig,
) -> None:
    """Compare all ways of propagation on labelled video: tables, plots and pictures. Continues where it was interrupted."""
    import shlex

    from rich.console import Console
    from rich.progress import Progress

    from mpvss_model.evaluation.study import StudyConfig
    from mpvss_model.evaluation.study.report.command import run_study
    from mpvss_model.propagation.registry import propagations
    from mpvss_ros.bags.labelled_source import open_sources

    given_names = [name.strip() for name in names.split(",")] if names else []
    opened = open_sources(sources, names=given_names, topic=topic, decoding=decoding)
    console = Console()
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("measuring clips", total=None)
        report = run_study(
            opened,
            out,
            model=model,
            device=device,
            threads=threads,
            workers=workers,
            config=StudyConfig(inference_size=inference_size),
            command=shlex.join(["mpvss", *sys.argv[1:]]),
            on_clip=lambda done, total: progress.update(task, completed=done, total=total),
        )
    if not report.has_motion_module:
        left_out = " and ".join(row.name for row in propagations() if row.needs_motion)
        console.print(f"left out {left_out}: model {report.model!r} has no motion module")
    console.print(f"  {out / 'README.md'}")
