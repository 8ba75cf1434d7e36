"""A segmentor that fails on command, around one that works."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import torch

from mpvss_model.segmentor.key_frame import KeyFrame, KeyFrameSegmentor

FAULTS = ("error", "out of memory", "nan")


class FaultySegmentor:
    """A `KeyFrameSegmentor` whose faults a test switches on and off, from any thread.

    Attributes:
        fault: One of `FAULTS`, or None to work.
        slow_s: Real time that each key frame takes longer.
        stamps_s: Of all key frames that were begun.
    """

    def __init__(self, working: KeyFrameSegmentor, *, fault: str | None = None, slow_s: float = 0.0) -> None:
        self._working = working
        self.fault = fault
        self.slow_s = slow_s
        self.stamps_s: list[float] = []
        self._begun = threading.Semaphore(0)
        self._allowed = threading.Event()
        self._allowed.set()

    def __getattr__(self, name: str) -> object:
        return getattr(self._working, name)

    def block(self) -> None:
        """Key frames that begin from now on do not end until `unblock`."""
        self._allowed.clear()

    def unblock(self) -> None:
        self._allowed.set()

    def wait_until_begun(self, timeout_s: float = 60.0) -> None:
        """Wait for one more key frame to begin than were waited for before."""
        assert self._begun.acquire(timeout=timeout_s), f"no key frame began within {timeout_s} s"

    def segment(self, frame: np.ndarray, stamp_s: float, **memory: torch.Tensor) -> KeyFrame:
        self.stamps_s.append(stamp_s)
        self._begun.release()
        assert self._allowed.wait(60.0), "nobody unblocked the segmentor"
        if self.slow_s:
            threading.Event().wait(self.slow_s)
        if self.fault == "error":
            raise RuntimeError("the network broke\nin two lines")
        if self.fault == "out of memory":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        key_frame = self._working.segment(frame, stamp_s, **memory)
        if self.fault == "nan":
            return replace(key_frame, mask_logits=torch.full_like(key_frame.mask_logits, torch.nan))
        return key_frame
