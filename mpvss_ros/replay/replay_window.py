"""How many camera frames of a replay may be under way."""

from __future__ import annotations

from collections import deque

__all__ = ["ReplayWindow"]

GROWTH = 8


class ReplayWindow:
    """The frames that were sent and not settled yet, in order: neither answered with labels nor refused.

    Labels settle a frame at once. Refusals are only known from the node's diagnostics, once a second; while nothing else
    comes the window grows, so that a recording of frames that are all refused does not take a second for each few.

    Args:
        size: Frames that may be under way while they are answered.
    """

    def __init__(self, size: int) -> None:
        self._size = self._allowed = size
        self._waiting: deque[int] = deque()
        self._settled = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def has_room(self) -> bool:
        """Whether another frame may be sent."""
        return len(self._waiting) < self._allowed

    def send(self, stamp_ns: int) -> None:
        """A frame goes out."""
        self._waiting.append(stamp_ns)

    def answer(self, stamp_ns: int) -> None:
        """Labels came. Answers come in order, so that they also settle the frames before, which could not be used."""
        if stamp_ns in self._waiting:
            self._allowed = self._size
            while self._settle() != stamp_ns:
                pass

    def handle(self, frames: int) -> None:
        """The node reports that it has done with so many frames since the first was sent."""
        if frames > self._settled and self._waiting:
            self._allowed = min(2 * self._allowed, GROWTH * self._size)
        while self._settled < frames and self._waiting:
            self._settle()

    def give_up(self) -> None:
        """Nothing will come of the frames that are under way."""
        while self._waiting:
            self._settle()

    def _settle(self) -> int:
        self._settled += 1
        return self._waiting.popleft()
