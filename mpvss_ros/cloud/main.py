"""Starts the cloud node. Signals are handled before the imports, which take a second, begin."""

from __future__ import annotations

import sys

from mpvss_ros.process.missing_packages import name_missing_packages
from mpvss_ros.process.quit_signals import QuitSignals

__all__ = ["main"]

SHUTDOWN_TIME_S = 1.5
HELP_FLAGS = {"-h", "--help"}
HEAD = """\
usage: ros2 run mpvss_ros cloud_node --ros-args [-r depth:=TOPIC] [-r image:=TOPIC]
           [-r camera_info_in:=TOPIC] [-r cloud_in:=TOPIC] [-p NAME:=VALUE ...] [--params-file FILE]

Publishes the cloud 'points' with a label for each point in its namespace, mpvss, while somebody
subscribes to it. It reads 'labels' and 'confidence' of the segmentation node, 'camera_info_in', and
either 'depth', registered to the labelled camera, and the camera's 'image', or the cloud 'cloud_in'.

Parameters, with their defaults:
"""


def main(args: list[str] | None = None) -> None:
    """Run the node until it is interrupted, or print its usage. Exit code 2 if it cannot start.

    Args:
        args: Of the command line, without the program; those of this process by default.
    """
    signals = QuitSignals()
    arguments = sys.argv[1:] if args is None else args
    with name_missing_packages("cloud_node"):
        if not HELP_FLAGS.isdisjoint(arguments):
            from mpvss_ros.cloud.parameters import PARAMETERS
            from mpvss_ros.node.usage import usage

            print(usage(HEAD, PARAMETERS))
            return
        from mpvss_ros.process.ros_arguments import parameter_files, start_ros_or_leave

        start_ros_or_leave("cloud_node", arguments)
        from mpvss_ros.cloud.cloud_node import run

    run(
        parameter_files=parameter_files(arguments),
        on_created=signals.before_leaving,
        on_ready=lambda: signals.leave_time(SHUTDOWN_TIME_S),
    )


if __name__ == "__main__":
    main()
