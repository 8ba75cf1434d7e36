"""Clean ends on SIGINT and SIGTERM, from a process's first moment on. Imports nothing that takes time."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from threading import Timer

__all__ = ["QuitSignals"]


class QuitSignals:
    """Ends the process with exit code 0 and without a traceback when it is asked to.

    While the program starts, nothing is worth saving: it ends at once, after what `before_leaving` was told. From `leave_time`
    on, whoever serves (rclpy handles the same signals) has so many seconds to end by itself.
    """

    def __init__(self) -> None:
        self._grace_s = 0.0
        self._last_act: Callable[[], None] = lambda: None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._quit)

    def before_leaving(self, act: Callable[[], None]) -> None:
        """Do this, which takes no time, before the program ends while it starts."""
        self._last_act = act

    def leave_time(self, grace_s: float) -> None:
        """From now on let the program end by itself."""
        self._grace_s = grace_s

    def _quit(self, number: int, frame: object) -> None:
        if self._grace_s <= 0.0:
            with suppress(Exception):  # what was interrupted may be half made
                self._last_act()
            os._exit(0)
        timer = Timer(self._grace_s, os._exit, (0,))
        timer.daemon = True
        timer.start()
