"""Starts the segmentation node. Signals are handled before the imports, which take seconds, begin."""

from __future__ import annotations

import sys

from mpvss_ros.quit_signals import QuitSignals

__all__ = ["main"]

SHUTDOWN_TIME_S = 1.5
HELP_FLAGS = {"-h", "--help"}


def main(args: list[str] | None = None) -> None:
    """Run the node until it is interrupted, or print its usage. Exit code 2 if it cannot start."""
    signals = QuitSignals()
    if not HELP_FLAGS.isdisjoint(sys.argv[1:] if args is None else args):
        from mpvss_ros.usage import usage

        print(usage())
        return
    from mpvss_ros.segmentation_node import run

    run(args, on_created=signals.before_leaving, on_ready=lambda: signals.leave_time(SHUTDOWN_TIME_S))


if __name__ == "__main__":
    main()
