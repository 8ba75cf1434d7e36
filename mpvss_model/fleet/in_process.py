"""Units done one after the other in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mpvss_model.fleet.engine import Event, Told
from mpvss_model.fleet.unit import Unit, performed
from mpvss_model.runtime.interruption import Interrupted

__all__ = ["InProcessEngine", "stopped_work"]


def stopped_work(done: int, total: int, signal_number: int = 2) -> Interrupted:
    """The error that ends a unit whose worker was asked to stop."""
    return Interrupted(f"stopped after {done} of {total}", signal_number)


@dataclass(frozen=True)
class _OwnLink:
    number: int
    told: Told
    stopped: Callable[[], bool]

    def tell(self, done: int, total: int) -> None:
        self.told(self.number, done, total)
        if self.stopped():
            raise stopped_work(done, total)

    def is_stopped(self) -> bool:
        return self.stopped()


class InProcessEngine:
    """Does a unit while it is asked for events.

    Args:
        told: Is told how far units are.
        stopped: Whether all is to stop; work asks it itself.
    """

    def __init__(self, told: Told, stopped: Callable[[], bool]) -> None:
        self._told = told
        self._stopped = stopped
        self._given: tuple[int, Unit] | None = None

    def has_room(self) -> bool:
        """Whether no unit waits to be done."""
        return self._given is None

    def give(self, number: int, unit: Unit) -> None:
        """Keep a unit until events are asked for."""
        self._given = number, unit

    def events(self, timeout_s: float) -> list[Event]:
        """Do the unit, however long that takes."""
        if self._given is None:
            return []
        (number, unit), self._given = self._given, None
        return [Event(number, performed(unit.work, _OwnLink(number, self._told, self._stopped)))]

    def stop(self) -> None:
        """What was given but not begun is dropped."""
        self._given = None

    def close(self) -> None:
        """Nothing is left open."""
