"""What figures were measured on."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import cv2
import numpy as np
import torch

from mpvss_model.runtime.device import processor_name

__all__ = ["machine"]

# What decides how fast matrix products are.
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16")
MB = 1024 * 1024


def machine() -> dict[str, str | int | float | list[str]]:
    """The processor, its cores and what else decides how long something takes, as JSON can hold it."""
    return {
        "processor": processor_name(),
        "cores": len(os.sched_getaffinity(0)),
        "instructions": instructions(),
        "memory_mb": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MB,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
        "system": platform.platform(),
        "ros_distribution": os.environ.get("ROS_DISTRO", ""),
        "rmw": os.environ.get("RMW_IMPLEMENTATION", ""),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "opencv": cv2.__version__,
        "numpy": np.__version__,
        "load_before": round(os.getloadavg()[0], 2),
        "command": " ".join(["python", *sys.orig_argv[1:]]),
    }


def instructions() -> list[str]:
    """Those of `INSTRUCTIONS` that the processor has, as far as Linux says."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return []
    return [name for name in INSTRUCTIONS if name in flags]
