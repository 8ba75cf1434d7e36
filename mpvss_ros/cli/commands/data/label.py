"""``mpvss label``: the best labels that a model can give."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mpvss_model.config import AUTO_INFERENCE_SIZE, DEFAULT_MODEL, DecodingConfig, StreamConfig
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

__all__ = ["label"]

SourceArgument = Annotated[Path, typer.Argument(help="Bag, folder of images, or data set.", show_default=False)]
OutOption = Annotated[
    Path, typer.Option(help="Folder to write, or, ending with .mcap, a bag; an interrupted run continues there.")
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
    source: SourceArgument,
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
    decoding: DecodingConfig,
) -> None:
    """Label a recording or data set without hurry. Exit code 130 or 143 if SIGINT or SIGTERM stopped it."""
    from mpvss_model.labelling import ClassMapping, LabellingConfig
    from mpvss_model.labelling.config import parse_views
    from mpvss_model.runtime.threads import use_threads
    from mpvss_ros.bags.labelled_bag import is_single_file, label_source
    from mpvss_ros.cli.common.progress import shown_progress

    use_threads(threads)
    config = LabellingConfig(
        interval=interval,
        propagation=propagation,
        views=parse_views(scales, flips=flips),
        min_confidence=min_confidence,
    )
    with shown_progress("labelling") as on_frame:
        labelling = label_source(
            source,
            out,
            as_bag=bag or is_single_file(out),
            model=model,
            config=config,
            mapping=None if classes is None else ClassMapping.open(classes),
            stream=StreamConfig(inference_size=inference_size),
            topic=topic,
            split=split,
            decoding=decoding,
            device=device,
            precision=precision,
            on_frame=on_frame,
        )
    for line in labelling.counts.lines():
        print(f"  {line}")
    print(f"{labelling.frames} frames of {len(labelling.class_names)} classes in {out}")
