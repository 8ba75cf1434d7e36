"""Where a model runs."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from mpvss_model.errors import ConfigError

__all__ = ["processor_flags", "processor_name", "resolve_device"]


def resolve_device(device: str) -> torch.device:
    """``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N`` as a torch device.

    Raises:
        ConfigError: If there is no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    available = ["cpu"] + ["cuda"] * torch.cuda.is_available() + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if device not in available:
        raise ConfigError(f"device {device!r} does not exist; this machine has {', '.join(available)} (or give 'auto')")
    return torch.device(device)


def processor_name() -> str:
    """Of the machine's processor, as Linux calls it."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def processor_flags() -> frozenset[str]:
    """Instruction sets of the machine's processor, as Linux calls them, such as ``avx512_bf16``; none elsewhere."""
    return frozenset(_cpuinfo("flags").split())


def _cpuinfo(entry: str) -> str:
    """What Linux says of the first processor; empty if it says nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.partition(":")[0].strip() == entry), "")
