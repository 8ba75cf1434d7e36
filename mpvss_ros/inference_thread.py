"""The thread that takes frames from the mailbox and works on them, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any

from mpvss_ros.latest_frame import FrameMailbox

__all__ = ["InferenceThread"]


class InferenceThread:
    """Calls ``process`` with each frame of a mailbox until it is stopped.

    Args:
        mailbox: Where frames come from; closed by `stop`.
        process: Must handle its own errors.
    """

    def __init__(self, *, mailbox: FrameMailbox, process: Callable[[Any], None]) -> None:
        self.mailbox = mailbox
        self._process = process
        # A daemon, so that a segmentor that hangs cannot keep the program alive.
        self._thread = Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Discard waiting frames and wait for the current one. Returns False if that takes longer than the timeout."""
        self.mailbox.close()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (frame := self.mailbox.take()) is not None:
            self._process(frame)
