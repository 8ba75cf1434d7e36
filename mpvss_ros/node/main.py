"""Starts the segmentation node. Signals are handled before the imports, which take seconds, begin."""

from __future__ import annotations

import sys

from mpvss_ros.process.missing_packages import name_missing_packages
from mpvss_ros.process.quit_signals import QuitSignals

__all__ = ["main"]

SHUTDOWN_TIME_S = 1.5
HELP_FLAGS = {"-h", "--help"}


def main(args: list[str] | None = None) -> None:
    """Run the node until it is interrupted, or print its usage. Exit code 2 if it cannot start.

    Args:
        args: Of the command line, without the program; those of this process by default.
    """
    signals = QuitSignals()
    arguments = sys.argv[1:] if args is None else args
    with name_missing_packages("segmentation_node", later=("transformers",)):
        if not HELP_FLAGS.isdisjoint(arguments):
            from mpvss_ros.node.usage import usage

            print(usage())
            return
        from mpvss_ros.process.ros_arguments import parameter_files, start_ros_or_leave

        # Arguments are looked at first: nobody wants to wait for the model's libraries to read that one is wrong.
        start_ros_or_leave("segmentation_node", arguments)
        from mpvss_ros.node.segmentation_node import run

    run(
        parameter_files=parameter_files(arguments),
        on_created=signals.before_leaving,
        on_ready=lambda: signals.leave_time(SHUTDOWN_TIME_S),
    )


if __name__ == "__main__":
    main()
