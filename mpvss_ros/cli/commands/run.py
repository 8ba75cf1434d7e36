"""``mpvss run``: replays a bag through the real node over DDS, and evaluates the labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mpvss_model.config import DEFAULT_MODEL, DecodingConfig, ExecutionConfig, StreamConfig
from mpvss_ros.cli.common.options import SAMPLE_BAG, DeviceOption, ModelOption, ThreadsOption, TopicOption, with_settings

__all__ = ["run"]

BagOption = Annotated[Path, typer.Option(help="rosbag2 directory or file; the shipped clip if left out.", show_default=False)]
OutOption = Annotated[Path, typer.Option(help="Where report.json, overlay.mp4 and report.png go.")]
RateOption = Annotated[float, typer.Option(help="Replay speed: 1 as recorded, 0 as fast as it goes.", min=0.0)]


@with_settings
def run(
    *,
    bag: BagOption = SAMPLE_BAG,
    model: ModelOption = DEFAULT_MODEL,
    out: OutOption = Path("out"),
    topic: TopicOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    rate: RateOption = 1.0,
    stream: StreamConfig,
    decoding: DecodingConfig,
    execution: ExecutionConfig,
) -> None:
    """Replay a bag through the real node over DDS, evaluate the labels and write a report."""
    from rich.console import Console

    from mpvss_model.settings import changed_settings
    from mpvss_ros.bags.bag import Bag
    from mpvss_ros.cli.common.tables import run_table
    from mpvss_ros.process.clean_end import clean_end
    from mpvss_ros.replay.output_folder import check_output_folder
    from mpvss_ros.replay.replay_session import Progress, run_session
    from mpvss_ros.replay.report import write_report
    from mpvss_ros.replay.run_result import RunSettings

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

            session = run_session(
                bag=recording,
                topic=camera_topic,
                node_parameters={
                    "model": model,
                    "device": device,
                    "threads": threads,
                    **vars(stream),
                    **vars(decoding),
                    **vars(execution),
                },
                rate=rate,
                on_progress=show,
            )
            status.update("evaluating ...")
            result = write_report(
                out,
                bag=recording,
                topic=camera_topic,
                answers=session.answers,
                class_names=session.class_names,
                settings=RunSettings(
                    model=session.model,
                    interval=stream.max_interval_frames,
                    bag=str(bag),
                    topic=camera_topic,
                    rate=rate,
                    settings={**changed_settings(stream), **changed_settings(decoding), **changed_settings(execution)},
                ),
                counts=session.counts,
                decoding=decoding,
            )
    console.print(run_table(result))
    for note in result.notes:
        console.print(f"  {note}", markup=False, highlight=False)
    if result.last_refusal:
        console.print(f"  the last frame without labels: {result.last_refusal}", markup=False, highlight=False)
    for name in ("report.json", "overlay.mp4", "report.png"):
        console.print(f"  {out / name}", markup=False, highlight=False)
