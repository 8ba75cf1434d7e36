"""How the process gets memory for large tensors."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_freed_memory"]

# Of glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
KEPT_BYTES = 2**30


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next frame, instead of giving it back to the system after every operation.

    A large tensor's memory otherwise comes from the system each time, page by page and set to zero: up to half of the time
    of a propagated frame. Elsewhere than on Linux with glibc, this does nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
