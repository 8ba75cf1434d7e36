"""``mpvss convert``: a checkpoint of the authors' code as a model directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["convert"]


def convert(
    file: Annotated[Path, typer.Argument(help="Checkpoint of the authors' code, a .pth file.", show_default=False)],
    out_dir: Annotated[Path, typer.Argument(help="New model directory.", show_default=False)],
    classes: Annotated[Path | None, typer.Option(help="Text file with a class name per line.", show_default=False)] = None,
) -> None:
    """Turn a released MPVSS checkpoint into a model directory."""
    from rich.console import Console

    from mpvss_model.checkpoints.convert import convert as convert_checkpoint
    from mpvss_model.text_files import read_text
    from mpvss_ros.cli.common.tables import conversion_table

    names = None if classes is None else [name.strip() for name in read_text(classes).splitlines() if name.strip()]
    Console().print(conversion_table(convert_checkpoint(file, out_dir, class_names=names)))
