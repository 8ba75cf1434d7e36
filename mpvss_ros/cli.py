"""The ``mpvss`` command. Its commands import what they need when they run, so that ``mpvss --help`` is instant."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["main"]

app = typer.Typer(
    help="Semantic labels for every frame of a video: key frames by Mask2Former, propagated in between.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

SAMPLE_BAG = Path(__file__).parent / "samples" / "rooms"

BagOption = Annotated[Path, typer.Option(help="rosbag2 directory or file; the shipped clip if left out.", show_default=False)]
ModelOption = Annotated[str, typer.Option(help="Shipped model's name, checkpoint directory or hub id.")]
IntervalOption = Annotated[int, typer.Option(help="A key frame every so many frames; 1 segments each frame.")]
TopicOption = Annotated[str | None, typer.Option(help="Camera topic, if the bag has several.", show_default=False)]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
ThreadsOption = Annotated[int, typer.Option(help="CPU threads of the model; 0 leaves one core to the rest.")]
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
    from mpvss_ros.bag import Bag
    from mpvss_ros.report import write_report
    from mpvss_ros.replay_session import Progress, run_session

    config = StreamConfig(interval_frames=interval)
    console = Console()
    with Bag(bag) as recording:
        camera_topic = recording.image_topic(topic)
        total = recording.count(camera_topic)
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
                    "threads": threads or default_threads(),
                    "interval_frames": config.interval_frames,
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
            )
    print_report(console, report, out)


@app.command()
def evaluate(
    bag: Annotated[Path, typer.Argument(help="rosbag2 directory or file.", show_default=False)],
    model: ModelOption = "rooms-lite",
    interval: IntervalOption = 5,
    out: Annotated[Path | None, typer.Option(help="Also write the report there.", show_default=False)] = None,
    topic: TopicOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
) -> None:
    """Evaluate the segmentor on a bag, straight from the file, without ROS communication."""
    import tempfile

    from rich.console import Console
    from rich.progress import track

    from mpvss_model import StreamConfig, VideoSegmentor
    from mpvss_ros.bag import Bag
    from mpvss_ros.evaluation import segmented_frames
    from mpvss_ros.report import write_report

    config = StreamConfig(interval_frames=interval)
    console = Console()
    with Bag(bag) as recording:
        camera_topic = recording.image_topic(topic)
        set_threads(threads or default_threads())
        segmentor = VideoSegmentor.from_pretrained(model, device=device, config=config)
        frames = track(
            segmented_frames(recording, camera_topic, segmentor),
            description="segmenting",
            total=recording.count(camera_topic),
            console=console,
            transient=True,
        )
        answers = {frame.stamp_ns: frame for frame in frames}
        with tempfile.TemporaryDirectory() as scratch:
            report = write_report(
                out or Path(scratch),
                bag=recording,
                topic=camera_topic,
                answers=answers,
                class_names=segmentor.class_names,
                settings={"model": segmentor.segmentor.name, "interval": interval, "bag": str(bag), "topic": camera_topic},
            )
    print_report(console, report, out)


def default_threads() -> int:
    """One core is left to cameras, DDS and everything else."""
    return max(1, len(os.sched_getaffinity(0)) - 1)


def set_threads(threads: int) -> None:
    """Let torch and OpenCV use so many threads each, as the node does."""
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def print_report(console, report: dict, out: Path | None) -> None:
    """Print a report's main figures and where its files are."""
    from rich.table import Table

    latency = report["latency_ms"]
    rows = {
        "frames in": report["frames_in"],
        "labels out": report["labels_out"],
        "dropped": report["dropped"],
        "key frames": report["key_frames"],
        "mIoU": _shown(report["miou"], "{:.3f}"),
        "weighted IoU": _shown(report["weighted_iou"], "{:.3f}"),
        "latency p50": _shown(latency["p50"], "{:.1f} ms"),
        "latency p99": _shown(latency["p99"], "{:.1f} ms"),
    }
    table = Table(title=f"{report['model']}, interval {report['interval']}", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in rows.items():
        table.add_row(name, str(value))
    console.print(table)
    if out is not None:
        for name in ("report.json", "overlay.mp4", "report.png"):
            console.print(f"  {out / name}")


def _shown(value: float | None, pattern: str) -> str:
    return "-" if value is None else pattern.format(value)


def main() -> None:
    """Entry point: one line and exit code 2 for input that cannot be used."""
    try:
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
