"""A thread that takes frames from the cameras' mailboxes and works on them, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition, Thread
from typing import Any

from mpvss_ros.node.mailbox import FrameMailbox

__all__ = ["FrameThread"]


class FrameThread:
    """Works on the frames of several mailboxes in turn, until it is stopped.

    Every mailbox with a frame gets its turn before any other gets a second one, so that no camera starves another.

    Args:
        changed: The condition that the mailboxes share.
        work: Pairs of a mailbox and what to call with its frames; the callables must handle their own errors.
        name: Of the thread, for debuggers and profilers.
        on_start: Is called by the thread as its first act.
        on_end: Is called by the thread as its last act, to free what only it may touch.
    """

    def __init__(
        self,
        *,
        changed: Condition,
        work: list[tuple[FrameMailbox, Callable[[Any], None]]],
        name: str = "inference",
        on_start: Callable[[], None] = lambda: None,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._changed = changed
        self._work = list(work)
        self._on_start = on_start
        self._on_end = on_end
        self._is_idle = True
        self._stopped = False
        # A daemon, so that a segmentor that hangs cannot keep the program alive.
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Wait until no frame is at work or waits for it. Returns False if that takes longer than the timeout."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._is_idle and not any(len(mailbox) for mailbox, _ in self._work), timeout_s
            )

    def stop(self, timeout_s: float) -> bool:
        """Discard waiting frames and wait for the current one. Returns False if that takes longer than the timeout."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        self._on_start()
        while (job := self._next()) is not None:
            process, frame = job
            process(frame)
        self._on_end()

    def _next(self) -> tuple[Callable[[Any], None], Any] | None:
        """Wait for a frame; None once the thread is to stop."""
        with self._changed:
            while not self._stopped:
                for index, (mailbox, process) in enumerate(self._work):
                    if len(mailbox):
                        # Whoever was served waits behind all others.
                        self._work.append(self._work.pop(index))
                        self._is_idle = False
                        return process, mailbox.take()
                self._is_idle = True
                self._changed.notify_all()
                self._changed.wait()
        return None
