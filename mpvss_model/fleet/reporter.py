"""How far all sources of a fleet are."""

from __future__ import annotations

from collections.abc import Collection

from rich.console import Console

from mpvss_model.fleet.ledger import FAILED, Entry
from mpvss_model.fleet.unit import Unit
from mpvss_model.runtime.progress import ProgressReporter

__all__ = ["FleetReporter"]


class FleetReporter(ProgressReporter):
    """One bar over all sources, and a line for each that is finished; a context manager.

    Args:
        console: Where to.
        title: Of the progress bar.
        entries: Of all sources, also those that are done.
    """

    def __init__(self, console: Console, *, title: str, entries: Collection[Entry]) -> None:
        self._finished = sum(entry.is_kept for entry in entries)
        super().__init__(console, title=title, total=len(entries), done=self._finished)
        # How much of a unit is done, as a share of its source, by unit.
        self._shares: dict[Unit, float] = {}
        if self._finished:
            self.say(f"{self._finished} of {len(entries)} sources are done already")

    def told(self, unit: Unit, done: int, total: int) -> None:
        """A worker said how much of a unit it has done."""
        self._shares[unit] = unit.share * done / max(total, 1)
        self.advance(self._finished + min(sum(self._shares.values()), self._total - self._finished))

    def source(self, entry: Entry, found: str) -> None:
        """Say what came of a source, and how many are left.

        Args:
            entry: Of the source.
            found: In it, in a few words.
        """
        self._finished += 1
        self._shares = {unit: share for unit, share in self._shares.items() if unit.source != entry.name}
        self.say(
            f"{self._finished} of {self._total}, {entry.name}: {f'failed: {entry.error}' if entry.state == FAILED else found}"
        )
        self.advance(self._finished + sum(self._shares.values()))
