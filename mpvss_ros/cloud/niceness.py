"""How much a process gives way to others where processors are short."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["give_way"]

THREADS = Path("/proc/self/task")


def give_way(niceness: int) -> None:
    """Have all threads of this process give way, also those that DDS has started, which no later ``os.nice`` would reach.

    One that gives way more already stays as it is: to take that back is for root.

    Args:
        niceness: 0, as most programs have it, to 19.
    """
    for thread in map(int, os.listdir(THREADS)) if THREADS.is_dir() else (0,):
        try:
            os.setpriority(os.PRIO_PROCESS, thread, max(niceness, os.getpriority(os.PRIO_PROCESS, thread)))
        except ProcessLookupError:  # it has ended since
            continue
