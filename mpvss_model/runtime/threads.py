"""CPU threads of the model and of optical flow."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress

import cv2
import torch

__all__ = ["step_back", "use_threads"]

# Of a background thread: where it wants the same core as the thread that answers frames, it gets a third of its time.
# More would starve key frames on a busy machine.
NICENESS = 5


def use_threads(threads: int) -> None:
    """Let torch and OpenCV use so many threads each; 0 for half of the cores.

    Key frames in the background take as many again. Threads of one operation wait for each other, so that more of them than
    free cores make it slower: by a third on two cores, one of them taken by a camera.
    """
    threads = threads or max(1, len(os.sched_getaffinity(0)) // 2)
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def step_back() -> None:
    """Let other threads of the process go first; on Linux niceness belongs to the thread, and to those it starts."""
    if sys.platform != "linux":
        return
    thread = threading.get_native_id()
    with suppress(OSError):  # some sandboxes forbid it
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS)
