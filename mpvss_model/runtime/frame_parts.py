"""Where the time of a frame goes: parts of the work by name, measured while somebody wants to know."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ContextDecorator

import torch

__all__ = ["REST", "FrameParts", "frame_part"]

# Of all that is no part.
REST = "rest"


class FrameParts:
    """Times the parts of the work that this thread does within a ``with`` block; their sum is the time of the block.

    A GPU is waited for at the begin and the end of each part, so that a part has the time of its own work. This takes longer
    than without, where processor and GPU work at the same time.

    >>> with FrameParts(torch.device("cpu")) as parts:
    ...     with frame_part("upload"):
    ...         pass
    >>> sorted(parts.seconds)
    ['rest', 'upload']

    Attributes:
        seconds: By the name of each part; `REST` for what is none.

    Args:
        device: What is waited for.
        clock: Tells seconds; ``time.thread_time`` for the processor time of this thread alone.
    """

    def __init__(self, device: torch.device, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = {}
        self._device = device
        self._clock = clock
        self._running: list[str] = []
        self._since_s = 0.0

    def __enter__(self) -> FrameParts:
        self._since_s = self._now_s()
        self._running.append(REST)
        _threads.parts = self
        return self

    def __exit__(self, *_: object) -> None:
        _threads.parts = None
        self.end()

    def begin(self, name: str) -> None:
        """A part begins; what it lies in does not count as long as it lasts."""
        self._count()
        self._running.append(name)

    def end(self) -> None:
        """The part that began last ends."""
        self._count()
        self._running.pop()

    def _count(self) -> None:
        now_s = self._now_s()
        name = self._running[-1]
        self.seconds[name] = self.seconds.get(name, 0.0) + now_s - self._since_s
        self._since_s = now_s

    def _now_s(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return self._clock()


class _Threads(threading.local):
    parts: FrameParts | None = None


_threads = _Threads()


class frame_part(ContextDecorator):
    """A part of the work on a frame, as a ``with`` block or a decorator; does nothing unless `FrameParts` measures the thread.

    Args:
        name: Of the part.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        if (parts := _threads.parts) is not None:
            parts.begin(self._name)

    def __exit__(self, *_: object) -> None:
        if (parts := _threads.parts) is not None:
            parts.end()
