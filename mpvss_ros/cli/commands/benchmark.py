"""``mpvss benchmark``: speed, labels and memory beside ``transformers`` frame by frame."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

import typer

from mpvss_model.config import FRAME_SIZE
from mpvss_model.propagation.registry import propagation_choices
from mpvss_ros.cli.common.options import SAMPLE_BAG, DeviceOption, InferenceSizeOption, PrecisionOption, ThreadsOption

__all__ = ["benchmark"]

BENCHMARK_FRAMES = 10


def benchmark(
    preset: Annotated[
        str, typer.Option(help="r50, swin-t, default-320x240, default-640x480, default-1920x1080, or all.")
    ] = "default-320x240",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    propagation: Annotated[str, typer.Option(help=f"{', '.join(propagation_choices())}.")] = "auto",
    inference_size: InferenceSizeOption = FRAME_SIZE,
    threads: ThreadsOption = 0,
    rounds: Annotated[int, typer.Option(help="How often each variant has its turn.", min=1)] = 3,
    compiled: Annotated[bool, typer.Option(help="Also transformers with torch.compile, which takes minutes.")] = True,
    json: Annotated[Path | None, typer.Option(help="JSON file to write.", show_default=False)] = None,
) -> None:
    """Compare speed, labels and memory with transformers frame by frame."""
    import cv2
    from rich.console import Console
    from rich.progress import Progress

    from mpvss_model.errors import ConfigError
    from mpvss_model.evaluation.benchmark import PRESETS, run_benchmark
    from mpvss_model.runtime.threads import use_threads
    from mpvss_ros.bags.bag import Bag
    from mpvss_ros.bags.bag_frames import bag_frames
    from mpvss_ros.cli.common.json_output import write_json
    from mpvss_ros.cli.common.tables import benchmark_table

    names = list(PRESETS) if preset == "all" else [preset]
    if not set(names) <= set(PRESETS):
        raise ConfigError(f"preset must be all or one of {', '.join(PRESETS)}, got {preset!r}")
    use_threads(threads)
    console = Console()
    with Bag(SAMPLE_BAG) as bag:
        clip = [frame.read_image() for frame in itertools.islice(bag_frames(bag, bag.image_topic(None)), BENCHMARK_FRAMES)]
    reports = []
    with Progress(console=console, transient=True) as progress:
        for name in names:
            task = progress.add_task(name, total=None)
            size = PRESETS[name].frame_size[::-1]
            report = run_benchmark(
                name,
                [cv2.resize(image, size) for image in clip],
                device=device,
                precision=precision,
                propagation=propagation,
                inference_size=inference_size,
                rounds=rounds,
                compiled=compiled,
                on_round=lambda done, total, task=task: progress.update(task, completed=done, total=total),
            )
            progress.remove_task(task)
            console.print(benchmark_table(report))
            reports.append(report.as_dict())
    if json is not None:
        write_json(json, reports)
        console.print(f"  {json}")
