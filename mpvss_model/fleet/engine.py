"""What does the work of a fleet: this process, other processes, or a cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mpvss_model.fleet.unit import Performed, Unit

__all__ = ["Engine", "Event", "Told"]

# Is told the number of a unit, how much of it is done, and of how much.
Told = Callable[[int, int, int], None]


@dataclass(frozen=True)
class Event:
    """A unit's worker has done it, or died.

    Attributes:
        number: Of the unit.
        performed: What it sent back; None if it died.
        death: Why it died.
    """

    number: int
    performed: Performed | None
    death: str = ""


class Engine(Protocol):
    """Does units as they are given. Belongs to one thread."""

    def has_room(self) -> bool:
        """Whether another unit can be given."""

    def give(self, number: int, unit: Unit) -> None:
        """Have a unit done; its number comes back with its event."""

    def events(self, timeout_s: float) -> list[Event]:
        """What has happened; waits so long until something has."""

    def stop(self) -> None:
        """Ask all who work to stop as soon as they safely can; `events` tells when they have."""

    def close(self) -> None:
        """Let all workers go."""
