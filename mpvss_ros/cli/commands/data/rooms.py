"""``mpvss rooms``: labelled video of rendered rooms."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["rooms"]


def rooms(
    out: Annotated[Path, typer.Argument(help="Folder for the clips; an interrupted run continues there.", show_default=False)],
    split: Annotated[str, typer.Option(help="train, val, test-a (new rooms) or test-b (held-out objects too).")] = "train",
    apartments: Annotated[int, typer.Option(help="How many, of one to four rooms each.")] = 100,
    views: Annotated[int, typer.Option(help="Clips in each apartment.")] = 6,
    frames: Annotated[int, typer.Option(help="Frames in each clip.")] = 4,
    max_stride: Annotated[int, typer.Option(help="Clips show each n-th camera frame, n drawn from 1 to this.")] = 4,
    rate_hz: Annotated[float, typer.Option(help="Frames per second of the camera; a slow one sees fast turns.")] = 15.0,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT in pixels.")] = "320x240",
    seed: Annotated[int, typer.Option(help="The same seed renders the same clips.")] = 0,
    bags: Annotated[bool, typer.Option("--bags", help="Write rosbag2 recordings instead of the folder layout.")] = False,
    ground_truth: Annotated[bool, typer.Option("--ground-truth", help="Write instances, depth and flow too.")] = False,
    archives: Annotated[
        Path, typer.Option(help="Sweet Home 3D libraries, as Debian's sweethome3d-furniture installs them.")
    ] = Path("/usr/share/sweethome3d/furniture"),
    furniture: Annotated[Path, typer.Option(help="Where meshes made from them are kept.")] = Path("data/furniture"),
    workers: Annotated[int, typer.Option(help="Processes; 0 for one per core.")] = 0,
) -> None:
    """Render furnished rooms as a robot's camera sees them, with exact labels."""
    from rich.progress import Progress

    from mpvss_model.data.rooms import RoomsConfig
    from mpvss_model.evaluation.flops import parse_frame_size

    height, width = parse_frame_size(size)
    config = RoomsConfig(
        split=split,
        apartments=apartments,
        views=views,
        frames=frames,
        max_stride=max_stride,
        rate_hz=rate_hz,
        width=width,
        height=height,
        seed=seed,
        ground_truth=ground_truth,
    )
    _require_rooms_extra()
    from mpvss_model.data.rooms.furniture_library import prepare_library
    from mpvss_model.data.rooms.generate import generate, write_folder_clip

    write_clip = write_folder_clip
    if bags:
        from mpvss_ros.bags.rooms_bag import write_bag_clip as write_clip

    with Progress() as progress:
        task = progress.add_task("preparing furniture, once", total=None)
        prepare_library(archives, furniture, lambda done, total: progress.update(task, completed=done, total=total))
        progress.update(task, description="rendering", total=apartments, completed=0)
        generate(
            config,
            furniture=furniture,
            out=out,
            write_clip=write_clip,
            workers=workers or len(os.sched_getaffinity(0)),
            on_progress=lambda done: progress.update(task, completed=done),
        )
    print(f"{apartments * views} clips of {frames} frames in {out}")


def _require_rooms_extra() -> None:
    """Raise a `ConfigError` if a package is missing that only rendering needs."""
    from importlib.util import find_spec

    from mpvss_model.errors import ConfigError

    missing = [name for name in ("moderngl", "trimesh") if find_spec(name) is None]
    if missing:
        raise ConfigError(f"rendering needs {' and '.join(missing)}: pip install -r requirements-rooms.txt")
