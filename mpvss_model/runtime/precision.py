"""The floating-point type that the networks run in."""

from __future__ import annotations

from functools import cache

import torch

from mpvss_model.config import PRECISIONS
from mpvss_model.errors import ConfigError
from mpvss_model.runtime.device import processor_flags

__all__ = ["PRECISIONS", "at_least_float32", "has_fast_bfloat16", "precision_name", "resolve_precision"]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@cache
def has_fast_bfloat16() -> bool:
    """Whether this machine's processor multiplies matrices faster in bf16 than in fp32; told by its flags, not measured.

    ``amx_bf16`` does, and so does ``avx512_bf16`` on processors that have been made for it. Where Intel's also have
    ``avx512_fp16``, AMX is what they were made for: a virtual machine that hides it leaves an ``avx512_bf16`` that
    takes twice the time of fp32.
    """
    flags = processor_flags()
    return torch.backends.mkldnn.is_available() and (
        "amx_bf16" in flags or ("avx512_bf16" in flags and "avx512_fp16" not in flags)
    )


def precision_name(dtype: str) -> str:
    """What users call a floating-point type that torch calls ``float32``: ``fp32``; torch's own name if they have none."""
    names = {str(known).removeprefix("torch."): name for name, known in DTYPES.items()}
    return names.get(dtype, dtype)


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """A precision's name as the torch type of all networks; key frames may have another one with ``auto``.

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
