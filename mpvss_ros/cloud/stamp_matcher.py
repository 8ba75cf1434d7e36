"""Messages of several topics that belong to one moment."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

__all__ = ["StampMatcher"]

# As many leading messages wait for an optional topic of which nothing comes any more, although there is a publisher.
PATIENCE = 10


@dataclass(frozen=True)
class _Stamped:
    stamp_ns: int
    message: Any


@dataclass
class _Queue:
    """The newest messages of a topic, in the order of their stamps."""

    messages: deque[_Stamped] = field(default_factory=deque)

    def nearest(self, stamp_ns: int) -> _Stamped | None:
        return min(self.messages, key=lambda stamped: abs(stamped.stamp_ns - stamp_ns), default=None)

    def reaches(self, stamp_ns: int) -> bool:
        """Whether no message that is still to come can be nearer."""
        return bool(self.messages) and self.messages[-1].stamp_ns >= stamp_ns


class StampMatcher:
    """Finds for each message of a leading topic those of others that are nearest in time.

    ``message_filters`` has a synchronizer that is like it, but cannot say which topic it waits for, and gives a set of
    messages only when those that follow have come. Here an answer is given as soon as none that is nearer can come. Messages
    of a topic come in the order of their stamps; if stamps go back, as in a bag that is played once more, all begins anew.

    Args:
        leader: Name of the leading topic.
        required: Names of topics without whose messages there is no match.
        optional: Names of topics of which a match may lack a message; one that falls silent is not waited for any more.
        slop_ns: How far apart in time the messages of a match may be, at most.
        size: Messages kept of each topic.

    Attributes:
        expected: Optional topics to wait for even before something has come from them.
        unmatched: Leading messages that were given up, by the name of the topic that had nothing for them.
        furthest_ns: How far the nearest message of that topic was from the last of them, by name.
    """

    def __init__(self, leader: str, *, required: Sequence[str], optional: Sequence[str] = (), slop_ns: int, size: int) -> None:
        self._leader, self._required, self._optional = leader, tuple(required), tuple(optional)
        self._slop_ns, self._size = slop_ns, size
        self._queues = {name: _Queue() for name in (leader, *required, *optional)}
        self._silent: set[str] = set()
        self.expected: set[str] = set()
        self.unmatched: Counter[str] = Counter()
        self.furthest_ns: dict[str, int] = {}

    def add(self, name: str, stamp_ns: int, message: Any) -> list[dict[str, Any]]:
        """Take a message; returns the matches that it makes possible: messages by topic, optional ones perhaps None."""
        self._silent.discard(name)
        queue = self._queues[name].messages
        if queue and stamp_ns < queue[-1].stamp_ns:
            for other in self._queues.values():
                other.messages.clear()
        if len(queue) == self._size:
            lost = queue.popleft()
            if name == self._leader:
                self._give_up(self._what_is_awaited(lost.stamp_ns), lost.stamp_ns)
        queue.append(_Stamped(stamp_ns, message))
        found = list(self._matches())
        while late := self._optional_that_is_late():
            self._silent.add(late)
            found += self._matches()
        return found

    def _matches(self) -> Iterator[dict[str, Any]]:
        leading = self._queues[self._leader].messages
        while leading and not self._what_is_awaited(leading[0].stamp_ns):
            first = leading.popleft()
            found = {name: self._within_slop(name, first.stamp_ns) for name in (*self._required, *self._optional)}
            missing = next((name for name in self._required if found[name] is None), "")
            if missing:
                self._give_up(missing, first.stamp_ns)
            else:
                yield {self._leader: first.message, **found}

    def _what_is_awaited(self, stamp_ns: int) -> str:
        """A topic that may still bring something nearer; empty if there is none."""
        awaited = (name for name in self._required if not self._queues[name].reaches(stamp_ns))
        known = (name for name in self._optional if self._queues[name].messages or name in self.expected)
        alive = (name for name in known if name not in self._silent)
        late = (name for name in alive if not self._queues[name].reaches(stamp_ns))
        return next(chain(awaited, late), "")

    def _optional_that_is_late(self) -> str:
        """An optional topic that alone keeps too many leading messages waiting; empty if there is none."""
        leading = self._queues[self._leader].messages
        awaited = [self._what_is_awaited(stamped.stamp_ns) for stamped in leading]
        waiting = [name for name in awaited if name in self._optional]
        return waiting[0] if len(waiting) >= min(PATIENCE, self._size) else ""

    def _within_slop(self, name: str, stamp_ns: int) -> Any | None:
        nearest = self._queues[name].nearest(stamp_ns)
        is_near = nearest is not None and abs(nearest.stamp_ns - stamp_ns) <= self._slop_ns
        return nearest.message if is_near else None

    def _give_up(self, name: str, stamp_ns: int) -> None:
        self.unmatched[name] += 1
        nearest = self._queues[name].nearest(stamp_ns)
        if nearest is not None:
            self.furthest_ns[name] = nearest.stamp_ns - stamp_ns
