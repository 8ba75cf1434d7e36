"""The ``mpvss`` command. Its commands import what they need when they run, so that ``mpvss --help`` is instant."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

from mpvss_model.propagation.registry import propagation_choices, propagations
from mpvss_ros.process.missing_packages import name_missing_packages

with name_missing_packages("mpvss"):
    import typer

__all__ = ["main"]

app = typer.Typer(
    help="Semantic labels for every frame of a video: key frames by Mask2Former, propagated in between.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

PAPER_TABLE_SIZE = 12
BENCHMARK_FRAMES = 10
SAMPLE_BAG = Path(__file__).parents[1] / "samples" / "rooms"

BagOption = Annotated[Path, typer.Option(help="rosbag2 directory or file; the shipped clip if left out.", show_default=False)]
ModelOption = Annotated[str, typer.Option(help="Shipped model's name, checkpoint directory or hub id.")]
IntervalOption = Annotated[int, typer.Option(help="A key frame every so many frames; 1 segments each frame.")]
TopicOption = Annotated[str | None, typer.Option(help="Camera topic, if the bag has several.", show_default=False)]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
ThreadsOption = Annotated[int, typer.Option(help="CPU threads of the model; 0 for half of the cores.")]
PROPAGATIONS = ", ".join(propagation_choices())
PropagationOption = Annotated[str, typer.Option(help=f"{PROPAGATIONS}; per-frame for none at all.")]
PrecisionOption = Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16; auto is fp16 on a GPU, else fp32.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
RateOption = Annotated[float, typer.Option(help="Replay speed: 1 as recorded, 0 as fast as it goes.", min=0.0)]
OutOption = Annotated[Path, typer.Option(help="Where report.json, overlay.mp4 and report.png go.")]


@app.command()
def run(
    bag: BagOption = SAMPLE_BAG,
    model: ModelOption = "rooms-lite",
    interval: IntervalOption = 5,
    out: OutOption = Path("out"),
    topic: TopicOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    rate: RateOption = 1.0,
) -> None:
    """Replay a bag through the real node over DDS, evaluate the labels and write a report."""
    from rich.console import Console

    from mpvss_model import StreamConfig
    from mpvss_ros.bags.bag import Bag
    from mpvss_ros.process.clean_end import clean_end
    from mpvss_ros.replay.output_folder import check_output_folder
    from mpvss_ros.replay.replay_session import Progress, run_session
    from mpvss_ros.replay.report import write_report

    config = StreamConfig(max_interval_frames=interval)
    console = Console()
    with clean_end(), Bag(bag) as recording:
        camera_topic = recording.image_topic(topic)
        total = recording.count(camera_topic)
        check_output_folder(out)
        with console.status("starting the segmentation node ...") as status:

            def show(progress: Progress) -> None:
                if progress.frames_in:
                    status.update(
                        f"frames in {progress.frames_in}/{total}, labels out {progress.labels_out}, "
                        f"{progress.labels_per_s:.1f} Hz, key frames {progress.key_frames}"
                    )

            result = run_session(
                bag=recording,
                topic=camera_topic,
                node_parameters={
                    "model": model,
                    "device": device,
                    "threads": threads,
                    "max_interval_frames": config.max_interval_frames,
                },
                rate=rate,
                on_progress=show,
            )
            status.update("evaluating ...")
            report = write_report(
                out,
                bag=recording,
                topic=camera_topic,
                answers=result.answers,
                class_names=result.class_names,
                settings={"model": result.model, "interval": interval, "bag": str(bag), "topic": camera_topic, "rate": rate},
                counts=result.counts,
            )
    print_report(console, report, out)


@app.command()
def evaluate(
    source: Annotated[Path, typer.Argument(help="Bag, folder of frames, or data set (VSPW, Cityscapes).", show_default=False)],
    model: ModelOption = "rooms-lite",
    propagation: PropagationOption = "auto",
    interval: IntervalOption = 5,
    history_weight: Annotated[
        float, typer.Option(help="Of earlier key frames beside a new one, such as 0.5.", min=0.0, max=10.0)
    ] = 0.0,
    out: Annotated[Path | None, typer.Option(help="JSON file to write.", show_default=False)] = None,
    topic: TopicOption = None,
    split: Annotated[str | None, typer.Option(help="Part of a data set.", show_default=False)] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = 0,
) -> None:
    """Measure a model on labelled video, straight from its files, without ROS communication."""
    import json

    from rich.console import Console
    from rich.progress import Progress

    from mpvss_model.files import write_whole
    from mpvss_model.runtime.threads import use_threads
    from mpvss_ros.cli.evaluation import evaluate_source, evaluation_table

    use_threads(threads)
    console = Console()
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("segmenting", total=None)
        report = evaluate_source(
            source,
            model=model,
            propagation=propagation,
            interval=interval,
            history_weight=history_weight,
            topic=topic,
            split=split,
            device=device,
            precision=precision,
            on_frame=lambda done, total: progress.update(task, completed=done, total=total),
        )
    console.print(evaluation_table(report))
    for note in report["notes"]:
        console.print(f"  {note}", markup=False, highlight=False, soft_wrap=True)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, lambda path: path.write_text(json.dumps(report, indent=2) + "\n"))
        console.print(f"  {out}")


@app.command()
def study(
    sources: Annotated[
        list[str],
        typer.Argument(help="Bags, folders of frames or data sets; FOLDER:SPLIT for a part of one.", show_default=False),
    ],
    names: Annotated[str, typer.Option(help="What to call the sources, separated by commas.", show_default=False)] = "",
    model: ModelOption = "rooms-lite",
    out: Annotated[Path, typer.Option(help="Folder for README.md, study.json and the pictures.")] = Path("docs/study"),
    topic: TopicOption = None,
    device: DeviceOption = "auto",
    workers: Annotated[int, typer.Option(help="Processes that share the clips.", min=1)] = 1,
    threads: Annotated[int, typer.Option(help="CPU threads of each process.", min=1)] = 1,
) -> None:
    """Compare all ways of propagation on labelled video: tables, plots and pictures. Continues where it was interrupted."""
    import shlex

    from rich.console import Console
    from rich.progress import Progress

    from mpvss_model.evaluation.study.report.command import run_study

    console = Console()
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("measuring clips", total=None)
        report = run_study(
            sources,
            out,
            model=model,
            names=[name.strip() for name in names.split(",")] if names else [],
            topic=topic,
            device=device,
            threads=threads,
            workers=workers,
            command=shlex.join(["mpvss", *sys.argv[1:]]),
            on_clip=lambda done, total: progress.update(task, completed=done, total=total),
        )
    if not report["has_motion_module"]:
        left_out = " and ".join(row.name for row in propagations() if row.needs_motion)
        console.print(f"left out {left_out}: model {report['model']!r} has no motion module")
    console.print(f"  {out / 'README.md'}")


@app.command()
def convert(
    file: Annotated[Path, typer.Argument(help="Checkpoint of the authors' code, a .pth file.", show_default=False)],
    out_dir: Annotated[Path, typer.Argument(help="New model directory.", show_default=False)],
    classes: Annotated[Path | None, typer.Option(help="Text file with a class name per line.", show_default=False)] = None,
) -> None:
    """Turn a released MPVSS checkpoint into a model directory."""
    from rich.console import Console

    from mpvss_model.checkpoints.convert import convert as convert_checkpoint
    from mpvss_model.text_files import read_text
    from mpvss_ros.cli.tables import conversion_table

    names = None if classes is None else [name.strip() for name in read_text(classes).splitlines() if name.strip()]
    Console().print(conversion_table(convert_checkpoint(file, out_dir, class_names=names)))


@app.command()
def parity(
    prefix: Annotated[Path, typer.Argument(help="PREFIX of PREFIX_weights.json and PREFIX.npz.", show_default=False)],
    json: JsonOption = False,
) -> None:
    """Compare this code with numbers that the authors' code computed. Exit code 1 if they differ."""
    from rich.console import Console

    from mpvss_model.checkpoints.parity import check_parity
    from mpvss_ros.cli.tables import parity_table

    report = check_parity(prefix)
    print_json(report.as_dict()) if json else Console().print(parity_table(report))
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def flops(
    backbone: Annotated[str, typer.Option(help="r50, r101, swin-t, swin-s, swin-b or swin-l.")] = "r50",
    size: Annotated[str, typer.Option(help="Frame size, WIDTHxHEIGHT in pixels.")] = "853x480",
    interval: IntervalOption = 5,
    classes: Annotated[int, typer.Option(help="124 for VSPW, 19 for Cityscapes.")] = 124,
    all_: Annotated[bool, typer.Option("--all", help="All backbones at both data sets' sizes.")] = False,
    json: JsonOption = False,
) -> None:
    """Count what the published networks cost, beside the paper's figures."""
    from rich.console import Console
    from rich.progress import track

    from mpvss_model.evaluation.flops import all_paper_costs, paper_cost, parse_frame_size
    from mpvss_ros.cli.tables import cost_table, costs_table

    console = Console()
    if all_:
        costs = list(track(all_paper_costs(), total=PAPER_TABLE_SIZE, console=console, transient=True, disable=json))
        print_json([cost.as_dict() for cost in costs]) if json else console.print(costs_table(costs))
        return
    cost = paper_cost(backbone, frame_size=parse_frame_size(size), interval=interval, num_classes=classes)
    print_json(cost.as_dict()) if json else console.print(cost_table(cost))


@app.command()
def benchmark(
    preset: Annotated[str, typer.Option(help="r50, swin-t, default-320x240, default-640x480, or all.")] = "default-320x240",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    propagation: Annotated[str, typer.Option(help=f"{PROPAGATIONS}.")] = "auto",
    threads: ThreadsOption = 0,
    rounds: Annotated[int, typer.Option(help="How often each variant has its turn.", min=1)] = 3,
    compiled: Annotated[bool, typer.Option(help="Also transformers with torch.compile, which takes minutes.")] = True,
    json: Annotated[Path | None, typer.Option(help="JSON file to write.", show_default=False)] = None,
) -> None:
    """Compare speed, labels and memory with transformers frame by frame."""
    from json import dumps

    import cv2
    from rich.console import Console
    from rich.progress import Progress

    from mpvss_model.errors import ConfigError
    from mpvss_model.evaluation.benchmark import PRESETS, run_benchmark
    from mpvss_model.files import write_whole
    from mpvss_model.runtime.threads import use_threads
    from mpvss_ros.bags.bag import Bag
    from mpvss_ros.bags.bag_frames import bag_frames
    from mpvss_ros.cli.tables import benchmark_table

    names = list(PRESETS) if preset == "all" else [preset]
    if not set(names) <= set(PRESETS):
        raise ConfigError(f"preset must be all or one of {', '.join(PRESETS)}, got {preset!r}")
    use_threads(threads)
    console = Console()
    with Bag(SAMPLE_BAG) as bag:
        clip = [frame.read_image() for frame, _ in zip(bag_frames(bag, bag.image_topic(None)), range(BENCHMARK_FRAMES))]
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
                rounds=rounds,
                compiled=compiled,
                on_round=lambda done, total, task=task: progress.update(task, completed=done, total=total),
            )
            progress.remove_task(task)
            console.print(benchmark_table(report))
            reports.append(report.as_dict())
    if json is not None:
        write_whole(json, lambda path: path.write_text(dumps(reports, indent=2) + "\n"))
        console.print(f"  {json}")


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="YAML file, such as those in config/train.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Model directory to write; an interrupted run continues there.")],
    data: Annotated[Path | None, typer.Option(help="Data set, instead of the configuration's.", show_default=False)] = None,
    start: Annotated[str | None, typer.Option(help="Model to start from, likewise.", show_default=False)] = None,
    restart: Annotated[bool, typer.Option(help="Do not continue an interrupted run.")] = False,
) -> None:
    """Train a per-frame segmentor or its motion module."""
    from mpvss_model.training import train_from_yaml

    metrics = train_from_yaml(config, out, data_root=data, start=start, resume=not restart)
    print_json(metrics)


@app.command()
def import_video(
    video: Annotated[Path, typer.Argument(help="Any video file that OpenCV can decode.", show_default=False)],
    bag: Annotated[Path, typer.Argument(help="New rosbag2 directory.", show_default=False)],
) -> None:
    """Make a bag from a video file, to try the node on."""
    from mpvss_ros.bags.video import bag_from_video

    print(f"{bag_from_video(video, bag)} frames in {bag}")


@app.command()
def rooms(
    out: Annotated[Path, typer.Argument(help="Folder for the clips; an interrupted run continues there.", show_default=False)],
    split: Annotated[str, typer.Option(help="train, val, test-a (new rooms) or test-b (held-out objects too).")] = "train",
    apartments: Annotated[int, typer.Option(help="How many, of one to four rooms each.")] = 100,
    views: Annotated[int, typer.Option(help="Clips in each apartment.")] = 6,
    frames: Annotated[int, typer.Option(help="Frames in each clip.")] = 4,
    max_stride: Annotated[int, typer.Option(help="Clips show each n-th camera frame, n drawn from 1 to this.")] = 4,
    rate_hz: Annotated[float, typer.Option(help="Frames per second of the camera; a slow one sees fast turns.")] = 15.0,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT in pixels.")] = "320x240",
    seed: Annotated[int, typer.Option(help="The same seed renders the same clips.")] = 0,
    bags: Annotated[bool, typer.Option("--bags", help="Write rosbag2 recordings instead of the folder layout.")] = False,
    ground_truth: Annotated[bool, typer.Option("--ground-truth", help="Write instances, depth and flow too.")] = False,
    archives: Annotated[
        Path, typer.Option(help="Sweet Home 3D libraries, as Debian's sweethome3d-furniture installs them.")
    ] = Path("/usr/share/sweethome3d/furniture"),
    furniture: Annotated[Path, typer.Option(help="Where meshes made from them are kept.")] = Path("data/furniture"),
    workers: Annotated[int, typer.Option(help="Processes; 0 for one per core.")] = 0,
) -> None:
    """Render furnished rooms as a robot's camera sees them, with exact labels."""
    from rich.progress import Progress

    from mpvss_model.data.rooms import RoomsConfig
    from mpvss_model.evaluation.flops import parse_frame_size

    height, width = parse_frame_size(size)
    config = RoomsConfig(
        split=split,
        apartments=apartments,
        views=views,
        frames=frames,
        max_stride=max_stride,
        rate_hz=rate_hz,
        width=width,
        height=height,
        seed=seed,
        ground_truth=ground_truth,
    )
    require_rooms_extra()
    from mpvss_model.data.rooms.furniture_library import prepare_library
    from mpvss_model.data.rooms.generate import generate, write_folder_clip

    write_clip = write_folder_clip
    if bags:
        from mpvss_ros.bags.rooms_bag import write_bag_clip as write_clip

    with Progress() as progress:
        task = progress.add_task("preparing furniture, once", total=None)
        prepare_library(archives, furniture, lambda done, total: progress.update(task, completed=done, total=total))
        progress.update(task, description="rendering", total=apartments, completed=0)
        generate(
            config,
            furniture=furniture,
            out=out,
            write_clip=write_clip,
            workers=workers or len(os.sched_getaffinity(0)),
            on_progress=lambda done: progress.update(task, completed=done),
        )
    print(f"{apartments * views} clips of {frames} frames in {out}")


def require_rooms_extra() -> None:
    """Raise a `ConfigError` if a package is missing that only rendering needs."""
    from importlib.util import find_spec

    from mpvss_model.errors import ConfigError

    missing = [name for name in ("moderngl", "trimesh") if find_spec(name) is None]
    if missing:
        raise ConfigError(f"rendering needs {' and '.join(missing)}: pip install -r requirements-rooms.txt")


def print_report(console, report: dict, out: Path) -> None:
    """Print a report's main figures and where its files are."""
    from rich.table import Table
    from rich.text import Text

    latency = report["latency_ms"]
    rows = {
        "frames in": report["frames_in"],
        "labels out": report["labels_out"],
        "dropped": report["dropped"],
        **{f"  {reason}": count for reason, count in report["dropped_by_reason"].items()},
        "key frames": report["key_frames"],
        "mIoU": _shown(report["miou"], "{:.3f}"),
        "weighted IoU": _shown(report["weighted_iou"], "{:.3f}"),
        "latency p50": _shown(latency["p50"], "{:.1f} ms"),
        "latency p99": _shown(latency["p99"], "{:.1f} ms"),
    }
    bag = Path(report["bag"]).resolve().name
    console.print(Text(f"{report['model']} on {bag}, interval {report['interval']}"))
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in rows.items():
        table.add_row(Text(name), str(value))
    console.print(table)
    if report["last_refusal"]:
        console.print(Text(f"  the last frame without labels: {report['last_refusal']}"))
    for name in ("report.json", "overlay.mp4", "report.png"):
        console.print(Text(f"  {out / name}"))


def print_json(value: object) -> None:
    """Print a report for another program."""
    import json

    print(json.dumps(value, indent=2))


def _shown(value: float | None, pattern: str) -> str:
    return "-" if value is None else pattern.format(value)


def main() -> None:
    """Entry point: one line and exit code 2 for input that cannot be used."""
    try:
        with name_missing_packages("mpvss"):
            app()
    except KeyboardInterrupt:
        sys.exit(130)
    except ValueError as error:
        from mpvss_model.errors import MPVSSError

        if not isinstance(error, MPVSSError):
            raise
        print(f"mpvss: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
