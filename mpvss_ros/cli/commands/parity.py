"""``mpvss parity``: this code beside the authors'."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mpvss_ros.cli.common.options import JsonOption

__all__ = ["parity"]


def parity(
    prefix: Annotated[Path, typer.Argument(help="PREFIX of PREFIX_weights.json and PREFIX.npz.", show_default=False)],
    json: JsonOption = False,
) -> None:
    """Compare this code with numbers that the authors' code computed. Exit code 1 if they differ."""
    from rich.console import Console

    from mpvss_model.checkpoints.parity import check_parity
    from mpvss_ros.cli.common.json_output import print_json
    from mpvss_ros.cli.common.tables import parity_table

    report = check_parity(prefix)
    print_json(report.as_dict()) if json else Console().print(parity_table(report))
    if not report.ok:
        raise typer.Exit(1)
