"""``mpvss train``: both stages of training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["train"]


def train(
    config: Annotated[Path, typer.Argument(help="YAML file, such as those in config/train.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Model directory to write; an interrupted run continues there.")],
    data: Annotated[Path | None, typer.Option(help="Data set, instead of the configuration's.", show_default=False)] = None,
    start: Annotated[str | None, typer.Option(help="Model to start from, likewise.", show_default=False)] = None,
    restart: Annotated[bool, typer.Option(help="Do not continue an interrupted run.")] = False,
) -> None:
    """Train a per-frame segmentor or its motion module. Exit code 130 or 143 if SIGINT or SIGTERM stopped it."""
    from accelerate import PartialState

    from mpvss_model.training import train_from_yaml
    from mpvss_ros.cli.common.json_output import print_json

    metrics = train_from_yaml(config, out, data_root=data, start=start, resume=not restart)
    if PartialState().is_main_process:
        print_json(metrics)
