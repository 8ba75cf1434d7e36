"""The mailbox between two threads: a subscription's callback and inference, or inference and the drawing of pictures."""

from __future__ import annotations

from collections import deque
from threading import Condition
from typing import Any

__all__ = ["FrameMailbox"]


class FrameMailbox:
    """Hands frames from one thread to another, in order, and counts those it has to drop.

    Attributes:
        dropped: Frames that found the box full, or were pushed out of it.
        revoked: Why the frame that was taken last is not to be answered any more; empty if it is.

    Args:
        capacity: Frames it holds at most, at least 1.
        newest_wins: What happens to a frame that comes when the box is full: it replaces the oldest one (a robot wants the
            present), or it is refused itself (a replay wants an error rather than a gap in the past).
        changed: Guards the box and is notified of each new frame; several boxes of one thread share it.
    """

    def __init__(self, *, capacity: int, newest_wins: bool, changed: Condition) -> None:
        self.dropped = 0
        self.revoked = ""
        self._capacity = capacity
        self._newest_wins = newest_wins
        self._frames: deque[Any] = deque()
        self._changed = changed
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: Any) -> bool:
        """Add a frame without waiting. Returns False if it was refused."""
        with self._changed:
            if len(self._frames) >= self._capacity:
                self.dropped += 1
                if not self._newest_wins:
                    return False
                self._frames.popleft()
            self._frames.append(frame)
            self._changed.notify_all()
            return True

    def put_when_free(self, frame: Any) -> bool:
        """Add a frame, and wait for a place if there is none. Returns False if the box was closed meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or len(self._frames) < self._capacity)
            return not self._is_closed and self.put(frame)

    def close(self) -> None:
        """Whoever waits for a place waits no longer, and none will."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def take(self) -> Any | None:
        """The next frame, or None; does not wait."""
        with self._changed:
            self.revoked = ""
            self._changed.notify_all()
            return self._frames.popleft() if self._frames else None

    def revoke(self, reason: str) -> None:
        """Do not have the frame that was taken last answered, if it is still at work; says nothing of later ones."""
        with self._changed:
            self.revoked = reason

    def clear(self) -> int:
        """Discard what waits; returns how many frames those were."""
        with self._changed:
            waiting = len(self._frames)
            self._frames.clear()
            self._changed.notify_all()
            return waiting
