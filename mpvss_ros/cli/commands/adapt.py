"""``mpvss adapt``: a small model made right for one's own cameras."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mpvss_model.config import DEFAULT_MODEL, DecodingConfig
from mpvss_ros.cli.common.options import (
    DeviceOption,
    NamesOption,
    PrecisionOption,
    ThreadsOption,
    TopicOption,
    separate_names,
    with_settings,
)

__all__ = ["adapt"]

SourcesArgument = Annotated[
    list[str],
    typer.Argument(help="Bags, folders of images or data sets, without labels; FOLDER:SPLIT for a part.", show_default=False),
]
OutOption = Annotated[Path, typer.Option(help="Folder for model and report; an interrupted run continues there.")]
TeacherOption = Annotated[str, typer.Option(help="Model that labels: shipped, checkpoint directory or hub id.")]
StudentOption = Annotated[str, typer.Option(help="Model that is adapted; any Mask2Former.")]
ClassesOption = Annotated[
    str | None,
    typer.Option(
        help="From the teacher's classes to the student's: a YAML file, ade20k-rooms or coco-rooms.",
        show_default=False,
        metavar="MAP",
    ),
]
MixOption = Annotated[
    Path | None,
    typer.Option(help="Labelled folder of the student's classes, so that it forgets nothing.", show_default=False),
]
EveryOption = Annotated[int, typer.Option(help="Use each n-th frame only.", metavar="N")]
ConfidenceOption = Annotated[float, typer.Option(help="Pixels of which the teacher is so sure teach, 0 to 1.")]
FlipsOption = Annotated[bool, typer.Option("--flips", help="The teacher looks at mirrored copies, too.")]
ScalesOption = Annotated[str, typer.Option(help="The teacher looks at copies of these sizes: 0.75,1,1.25.")]
StepsOption = Annotated[int, typer.Option(help="Of training; more lengthen a run.")]
MinutesOption = Annotated[float | None, typer.Option(help="Train about so long, instead.", show_default=False)]


@with_settings
def adapt(
    sources: SourcesArgument,
    *,
    teacher: TeacherOption,
    out: OutOption,
    student: StudentOption = DEFAULT_MODEL,
    classes: ClassesOption = None,
    mix: MixOption = None,
    every: EveryOption = 1,
    min_confidence: ConfidenceOption = 0.8,
    flips: FlipsOption = False,
    scales: ScalesOption = "1",
    steps: StepsOption = 400,
    minutes: MinutesOption = None,
    names: NamesOption = "",
    topic: TopicOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = 0,
    decoding: DecodingConfig,
) -> None:
    """Adapt a model to recordings without labels, by a teacher. Exit code 130 or 143 if SIGINT or SIGTERM stopped it."""
    from mpvss_model.adaptation import AdaptationConfig
    from mpvss_model.adaptation import adapt as adapted
    from mpvss_model.adaptation.report import NO_MIX_RISK
    from mpvss_model.labelling import ClassMapping, LabellingConfig
    from mpvss_model.labelling.config import parse_views
    from mpvss_model.runtime.threads import use_threads
    from mpvss_ros.bags.labelled_source import open_sources
    from mpvss_ros.cli.common.progress import shown_stages

    use_threads(threads)
    config = AdaptationConfig(
        teacher=teacher,
        student=student,
        mapping=None if classes is None else ClassMapping.open(classes),
        mix=mix,
        labelling=LabellingConfig(views=parse_views(scales, flips=flips)),
        every=every,
        min_confidence=min_confidence,
        steps=steps,
        minutes=minutes,
    )
    opened = open_sources(sources, names=separate_names(names), whole=True, topic=topic, decoding=decoding)
    if mix is None:
        print(f"mpvss: {NO_MIX_RISK}", file=sys.stderr)
    with shown_stages() as on_progress:
        report = adapted(opened, out, config, device=device, precision=precision, on_progress=on_progress)
    print(report.verdict.reason)
    print(f"  {out / 'report.md'}")
