"""SIGINT and SIGTERM as a wish that long work can fulfil when it is safe to."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from mpvss_model.errors import MPVSSError

__all__ = ["SIGNALS", "Interrupted", "StopSignals"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(MPVSSError):
    """Work was stopped by a signal and kept what it had; the message says how to go on.

    Attributes:
        signal_number: 2 for SIGINT, 15 for SIGTERM.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


class StopSignals:
    """Remembers the first SIGINT or SIGTERM; a second one does what it always did.

    A context manager. Outside the main thread, where Python handles no signals, it never hears of one.

    Attributes:
        received: The signal's number, or None so far.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, Any] = {}  # handlers are functions or numbers

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._remember) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._restore()

    def is_received(self) -> bool:
        """Whether there was one."""
        return self.received is not None

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
