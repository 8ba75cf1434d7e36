"""``mpvss flops``: what a model costs, or the published networks."""

from __future__ import annotations

from typing import Annotated

import typer

from mpvss_model.config import FRAME_SIZE, StreamConfig
from mpvss_model.propagation.registry import propagation_choices
from mpvss_ros.cli.common.options import InferenceSizeOption, IntervalOption, JsonOption

__all__ = ["flops"]

PAPER_TABLE_SIZE = 12


def flops(
    model: Annotated[
        str | None, typer.Option(help="Count this one: shipped model's name, model directory or hub id.", show_default=False)
    ] = None,
    propagation: Annotated[str, typer.Option(help=f"Of that model: {', '.join(propagation_choices())}.")] = "auto",
    backbone: Annotated[
        str | None, typer.Option(help="Published network: r50, r101, swin-t, swin-s, swin-b or swin-l.", show_default="r50")
    ] = None,
    size: Annotated[str, typer.Option(help="Frame size, WIDTHxHEIGHT in pixels.")] = "853x480",
    inference_size: InferenceSizeOption = FRAME_SIZE,
    interval: IntervalOption = 5,
    classes: Annotated[
        int | None, typer.Option(help="Of the published network: 124 for VSPW, 19 for Cityscapes.", show_default="124")
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="All published networks at both data sets' sizes, and MRCFA, their rival.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Count what a model costs, or the published networks beside the paper's figures."""
    from rich.console import Console
    from rich.progress import track

    from mpvss_model.errors import ConfigError
    from mpvss_model.evaluation.flops import loaded_cost, parse_frame_size
    from mpvss_model.evaluation.paper_costs import VSPW, all_paper_costs, mrcfa_cost, paper_cost
    from mpvss_ros.cli.common.json_output import print_json
    from mpvss_ros.cli.common.tables import cost_table, costs_table, rival_line

    if model is not None and (all_ or backbone is not None or classes is not None):
        raise ConfigError(f"--model {model} is counted as it is: leave --all, --backbone and --classes out")
    console = Console()
    if all_:
        costs = list(track(all_paper_costs(), total=PAPER_TABLE_SIZE, console=console, transient=True, disable=json))
        rival = mrcfa_cost()
        if json:
            print_json([cost.as_dict() for cost in (*costs, rival)])
        else:
            console.print(costs_table(costs), rival_line(rival))
        return
    frame_size = StreamConfig(inference_size=inference_size).inference_frame_size(parse_frame_size(size))
    if model is not None:
        cost = loaded_cost(model, propagation=propagation, frame_size=frame_size, interval=interval)
    else:
        num_classes = VSPW.num_classes if classes is None else classes
        cost = paper_cost(backbone or "r50", frame_size=frame_size, interval=interval, num_classes=num_classes)
    print_json(cost.as_dict()) if json else console.print(cost_table(cost))
