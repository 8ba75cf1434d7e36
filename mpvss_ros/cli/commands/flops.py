"""``mpvss flops``: what the published networks cost."""

from __future__ import annotations

from typing import Annotated

import typer

from mpvss_model.config import FRAME_SIZE, StreamConfig
from mpvss_ros.cli.common.options import InferenceSizeOption, IntervalOption, JsonOption

__all__ = ["flops"]

PAPER_TABLE_SIZE = 12


def flops(
    backbone: Annotated[str, typer.Option(help="r50, r101, swin-t, swin-s, swin-b or swin-l.")] = "r50",
    size: Annotated[str, typer.Option(help="Frame size, WIDTHxHEIGHT in pixels.")] = "853x480",
    inference_size: InferenceSizeOption = FRAME_SIZE,
    interval: IntervalOption = 5,
    classes: Annotated[int, typer.Option(help="124 for VSPW, 19 for Cityscapes.")] = 124,
    all_: Annotated[bool, typer.Option("--all", help="All backbones at both data sets' sizes.")] = False,
    json: JsonOption = False,
) -> None:
    """Count what the published networks cost, beside the paper's figures."""
    from rich.console import Console
    from rich.progress import track

    from mpvss_model.evaluation.flops import parse_frame_size
    from mpvss_model.evaluation.paper_costs import all_paper_costs, paper_cost
    from mpvss_ros.cli.common.json_output import print_json
    from mpvss_ros.cli.common.tables import cost_table, costs_table

    console = Console()
    if all_:
        costs = list(track(all_paper_costs(), total=PAPER_TABLE_SIZE, console=console, transient=True, disable=json))
        print_json([cost.as_dict() for cost in costs]) if json else console.print(costs_table(costs))
        return
    frame_size = StreamConfig(inference_size=inference_size).inference_frame_size(parse_frame_size(size))
    cost = paper_cost(backbone, frame_size=frame_size, interval=interval, num_classes=classes)
    print_json(cost.as_dict()) if json else console.print(cost_table(cost))
