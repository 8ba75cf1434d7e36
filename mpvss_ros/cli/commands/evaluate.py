"""``mpvss evaluate``: a model's metrics, cost and speed on a bag, a folder of frames or a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mpvss_model.config import DecodingConfig, StreamConfig
from mpvss_model.propagation.registry import propagation_choices
from mpvss_ros.cli.common.options import DeviceOption, ModelOption, PrecisionOption, ThreadsOption, TopicOption, with_settings

__all__ = ["evaluate"]

SourceArgument = Annotated[
    Path, typer.Argument(help="Bag, folder of frames, or data set (VSPW, Cityscapes).", show_default=False)
]
PropagationOption = Annotated[str, typer.Option(help=f"{', '.join(propagation_choices())}; per-frame for none at all.")]
OutOption = Annotated[Path | None, typer.Option(help="JSON file to write.", show_default=False)]
SplitOption = Annotated[str | None, typer.Option(help="Part of a data set.", show_default=False)]


@with_settings
def evaluate(
    source: SourceArgument,
    *,
    model: ModelOption = "rooms-lite",
    propagation: PropagationOption = "auto",
    out: OutOption = None,
    topic: TopicOption = None,
    split: SplitOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = 0,
    stream: StreamConfig,
    decoding: DecodingConfig,
) -> None:
    """Measure a model on labelled video, straight from its files, without ROS communication."""
    from rich.console import Console
    from rich.progress import Progress

    from mpvss_model.evaluation.source_evaluation import evaluate_clips
    from mpvss_model.runtime.threads import use_threads
    from mpvss_ros.bags.labelled_source import open_labelled_source
    from mpvss_ros.cli.common.json_output import write_json
    from mpvss_ros.cli.common.tables import evaluation_table

    use_threads(threads)
    console = Console()
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("segmenting", total=None)
        report = evaluate_clips(
            open_labelled_source(source, split=split, topic=topic, decoding=decoding),
            source=str(source),
            model=model,
            propagation=propagation,
            config=stream,
            decoding=decoding,
            device=device,
            precision=precision,
            on_frame=lambda done, total: progress.update(task, completed=done, total=total),
        )
    console.print(evaluation_table(report))
    for note in report.notes:
        console.print(f"  {note}", markup=False, highlight=False, soft_wrap=True)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(out, report.as_dict())
        console.print(f"  {out}")
