"""Starts the replay node, or says which package it needs."""

from __future__ import annotations

from mpvss_ros.process.missing_packages import name_missing_packages

__all__ = ["main"]


def main(args: list[str] | None = None) -> None:
    """Replay a bag and leave. Exit code 2 if it cannot be replayed."""
    with name_missing_packages("replay_node"):
        from mpvss_ros.replay.replay_node import main as replay

    replay(args)


if __name__ == "__main__":
    main()
