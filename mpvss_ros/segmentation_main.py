"""Starts the segmentation node. Signals are handled before the imports, which take seconds, begin."""

from __future__ import annotations

from mpvss_ros.missing_packages import name_missing_packages
from mpvss_ros.quit_signals import QuitSignals

__all__ = ["main"]

SHUTDOWN_TIME_S = 1.5


def main(args: list[str] | None = None) -> None:
    """Run the node until it is interrupted. Exit code 2 if it cannot start."""
    signals = QuitSignals()
    with name_missing_packages("segmentation_node", later=("transformers",)):
        from mpvss_ros.segmentation_node import run

    run(args, on_ready=lambda: signals.leave_time(SHUTDOWN_TIME_S))


if __name__ == "__main__":
    main()
