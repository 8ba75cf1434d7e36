"""What ``segmentation_node --help`` prints."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from mpvss_ros.node.parameters import PARAMETERS, Parameter

__all__ = ["usage"]

WIDTH = 100
INDENT = " " * 8
HEAD = """\
usage: ros2 run mpvss_ros segmentation_node --ros-args [-r image:=TOPIC] [-r camera_info_in:=TOPIC]
           [-p NAME:=VALUE ...] [--params-file FILE] [--log-level LEVEL]

A lifecycle node that answers every image of a camera with labels. It reads 'image' (or, with
image_transport:=compressed, 'image/compressed') and 'camera_info_in', and publishes labels,
confidence, overlay, key_frame, camera_info and label_info in its namespace, mpvss.

Parameters, with their defaults; those marked with * may change while the node works:
"""


def usage(head: str = HEAD, parameters: Sequence[Parameter] = PARAMETERS) -> str:
    """The text, with all parameters of a node's table below its head."""
    return head + "\n".join(_entry(parameter) for parameter in parameters)


def _entry(parameter: Parameter) -> str:
    mark = "*" if parameter.live else " "
    text = parameter.description + (f" ({', '.join(parameter.choices)})" if parameter.choices else "")
    described = textwrap.fill(text, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT)
    return f"  {mark} {parameter.name}:={_shown(parameter.ros_default)}\n{described}"


def _shown(value: object) -> str:
    """As it is written on a command line."""
    return str(value).lower() if isinstance(value, bool) else str(value).replace("''", "").replace(" ", "")
