"""``mpvss export``: a model's key-frame network as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["export"]

CHECKED_FRAMES = 3


def export(
    model: Annotated[str, typer.Argument(help="Shipped model's name, checkpoint directory or hub id.", show_default=False)],
    out: Annotated[
        Path, typer.Argument(help="New .onnx file; or a folder, the onnx_folder of runtime onnx.", show_default=False)
    ],
    size: Annotated[str, typer.Option(help="Of the frames that the network sees, WIDTHxHEIGHT in pixels.")] = "640x480",
    opset: Annotated[int, typer.Option(help="Version of ONNX's operators, 17 to 20.")] = 17,
) -> None:
    """Export a model's key-frame network to ONNX, and check it against PyTorch on frames of the shipped clip."""
    import torch
    from rich.console import Console

    from mpvss_model.evaluation.flops import parse_frame_size
    from mpvss_model.image import resized
    from mpvss_model.segmentor.exported.export import export_network
    from mpvss_model.segmentor.registry import load_model
    from mpvss_model.segmentor.shipped_models import model_location
    from mpvss_ros.bags.bag import Bag
    from mpvss_ros.bags.bag_frames import bag_frames
    from mpvss_ros.cli.common.options import SAMPLE_BAG

    frame_size = parse_frame_size(size)
    console = Console()
    # Stdout is silenced while torch traces the network.
    with Console(stderr=True).status("exporting, and checking in ONNX Runtime ..."):
        segmentor = load_model(model_location(model), device=torch.device("cpu")).segmentor
        with Bag(SAMPLE_BAG) as bag:
            clip = list(bag_frames(bag, bag.image_topic(None)))
            some = clip[:: len(clip) // CHECKED_FRAMES][:CHECKED_FRAMES]
            frames = [resized(frame.read_image(), frame_size) for frame in some]
        done = export_network(segmentor, out, frames=frames, opset=opset)
    console.print(f"  {100 * done.equal_share:.3f} % of the labels of {done.num_frames} frames are those of PyTorch")
    console.print(f"  {done.file}", markup=False, highlight=False, soft_wrap=True)
