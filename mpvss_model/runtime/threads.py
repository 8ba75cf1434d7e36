"""CPU threads of the model and of optical flow."""

from __future__ import annotations

import os

import cv2
import torch

__all__ = ["use_threads"]


def use_threads(threads: int) -> None:
    """Let torch and OpenCV use so many threads each; 0 for half of the cores.

    Key frames in the background take as many again. Threads of one operation wait for each other, so that more of them than
    free cores make it slower: by a third on two cores, one of them taken by a camera.
    """
    threads = threads or max(1, len(os.sched_getaffinity(0)) // 2)
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
