"""``mpvss import-video``: a video file as a bag."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["import_video"]


def import_video(
    video: Annotated[Path, typer.Argument(help="Any video file that OpenCV can decode.", show_default=False)],
    bag: Annotated[Path, typer.Argument(help="New rosbag2 directory.", show_default=False)],
) -> None:
    """Make a bag from a video file, to try the node on."""
    from mpvss_ros.bags.video import bag_from_video

    print(f"{bag_from_video(video, bag)} frames in {bag}")
