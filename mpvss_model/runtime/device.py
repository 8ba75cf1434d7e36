"""Where a model runs."""

from __future__ import annotations

import torch

from mpvss_model.errors import ConfigError

__all__ = ["resolve_device"]


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
