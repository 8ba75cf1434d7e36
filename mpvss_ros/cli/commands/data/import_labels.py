"""``mpvss import-labels``: annotated images as a data set to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["import_labels"]


def import_labels(
    source: Annotated[
        Path, typer.Argument(help="Folder (or COCO file) of annotations: COCO, LabelMe or label images.", show_default=False)
    ],
    out: Annotated[Path, typer.Argument(help="New folder of clips, for mpvss train and evaluate.", show_default=False)],
    file_format: Annotated[str, typer.Option("--format", help="auto, coco, labelme or masks.")] = "auto",
    images: Annotated[
        Path | None, typer.Option(help="Folder of all frames, if they are not with the annotations.", show_default=False)
    ] = None,
    classes: Annotated[
        str, typer.Option(help="floor,chair=seat,*= or a text file of such lines; for label images 0=floor, #804080=road.")
    ] = "",
    background: Annotated[str, typer.Option(help="Class of pixels that no shape covers; '' for unlabeled.")] = "background",
    empty: Annotated[bool, typer.Option("--empty", help="Images without annotations are background, not unlabelled.")] = False,
    on_top: Annotated[str, typer.Option(help="Where shapes overlap: later, smaller, or auto for the format's way.")] = "auto",
    clips_by: Annotated[str, typer.Option(help="names: a clip ends where names change before their last number; folders.")] = (
        "names"
    ),
    split_by: Annotated[str, typer.Option(help="Validate on whole clips, on runs at their ends, or auto.")] = "auto",
    validation_share: Annotated[float, typer.Option(help="Of the labelled frames; where the source has no splits.")] = 0.2,
    max_side_px: Annotated[int, typer.Option(help="Make larger images smaller; 0 for no limit.")] = 0,
    copy: Annotated[bool, typer.Option("--copy", help="Copy images instead of linking them.")] = False,
) -> None:
    """Make a data set of annotated images: clips, label images, class names, splits."""
    from rich.console import Console
    from rich.progress import Progress

    from mpvss_model.data.annotations import ImportConfig
    from mpvss_model.data.annotations import import_labels as import_annotations

    config = ImportConfig(
        format=file_format,
        images=images,
        classes=classes,
        background=background,
        empty=empty,
        on_top=on_top,
        clips_by=clips_by,
        split_by=split_by,
        validation_share=validation_share,
        max_side_px=max_side_px,
        copy=copy,
    )
    console = Console()
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("importing", total=None)
        report = import_annotations(
            source, out, config, on_frame=lambda done, total: progress.update(task, completed=done, total=total)
        )
    for line in report.lines():
        console.print(line, markup=False, highlight=False, soft_wrap=True)
