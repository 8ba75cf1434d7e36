"""Starts ROS with the arguments of the command line, or says in one line which of them cannot be used."""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from pathlib import Path

import rclpy
from rclpy.utilities import remove_ros_args

from mpvss_model import ConfigError

__all__ = ["parameter_files", "start_ros", "start_ros_or_leave"]

# What rcl adds to its messages: who failed, where in its sources, and that it has no more to say.
RCL_NOISE = re.compile(r"^failed to initialize rcl: |,? at /\S+:\d+|\. Error: error not set")


def start_ros(arguments: list[str]) -> None:
    """Initialize rclpy.

    Args:
        arguments: Of the command line, without the program.

    Raises:
        ConfigError: If rcl cannot use an argument, or nobody does.
    """
    try:
        rclpy.init(args=arguments)
        unused = remove_ros_args(arguments)
    except Exception as error:  # rclpy has one exception type for each kind of argument
        raise ConfigError(_encoding_error(arguments) or f"{_one_line(error)}; see --help") from error
    if unused:
        raise ConfigError(f"unknown argument {unused[0]!r}: parameters are given as --ros-args -p name:=value; see --help")


def start_ros_or_leave(program: str, arguments: list[str]) -> None:
    """Initialize rclpy, or end the process with exit code 2 and one line; see `start_ros`.

    Args:
        program: As users call it.
        arguments: Of the command line, without the program.
    """
    try:
        start_ros(arguments)
    except ConfigError as error:
        print(f"{program}: {error}", file=sys.stderr)
        sys.exit(2)


def parameter_files(arguments: list[str]) -> list[str]:
    """The paths of the parameter files that arguments of the command line name."""
    return [value for flag, value in pairwise(arguments) if flag == "--params-file"]


def _encoding_error(arguments: list[str]) -> str:
    """Which parameter file is not UTF-8, of which rcl only says that it cannot be parsed; empty if all are."""
    for path in parameter_files(arguments):
        try:
            Path(path).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            return f"params file {path!r} is not UTF-8: byte 0x{error.object[error.start]:02x} in line {line}"
        except OSError:
            continue
    return ""


def _one_line(error: Exception) -> str:
    """What rcl says of an argument, without its own source lines."""
    text = " ".join(RCL_NOISE.sub("", " ".join(str(error).split())).split())
    # Of a flag that it does not know rclpy names nothing but the flag, as a list.
    return f"unknown ROS argument {text.strip('[]')}" if text.startswith("[") else text
