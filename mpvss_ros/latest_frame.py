"""The mailbox between a subscription's callback and the inference thread."""

from __future__ import annotations

from collections import deque
from threading import Condition
from typing import Any

__all__ = ["FrameMailbox"]


class FrameMailbox:
    """Hands frames from one thread to another, in order, and counts those it has to drop.

    Args:
        capacity: Frames it holds at most, at least 1.
        newest_wins: What happens to a frame that comes when the box is full: it replaces the oldest one (a robot wants the
            present), or it is refused itself (a replay wants an error rather than a gap in the past).
        changed: Guards the box and is notified of each new frame; several boxes of one thread share it.
    """

    def __init__(self, *, capacity: int, newest_wins: bool, changed: Condition) -> None:
        self.dropped = 0
        self._capacity = capacity
        self._newest_wins = newest_wins
        self._frames: deque[Any] = deque()
        self._changed = changed

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
            self._changed.notify()
            return True

    def take(self) -> Any | None:
        """The next frame, or None; does not wait."""
        with self._changed:
            return self._frames.popleft() if self._frames else None

    def clear(self) -> None:
        """Discard what is left."""
        with self._changed:
            self._frames.clear()
