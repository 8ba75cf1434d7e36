"""The floating-point type that the networks run in."""

from __future__ import annotations

import torch

from mpvss_model.config import PRECISIONS
from mpvss_model.errors import ConfigError

__all__ = ["PRECISIONS", "at_least_float32", "resolve_precision"]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """A precision's name as a torch type.

    Raises:
        ConfigError: If there is no such precision.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    return DTYPES[precision]


def at_least_float32(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor for what half precision is too coarse for: in float32, or in float64 if it already is."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()
