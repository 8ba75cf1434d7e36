"""Works through all sources of a ledger."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console

from mpvss_model.fleet.config import FleetConfig
from mpvss_model.fleet.fleet import open_fleet
from mpvss_model.fleet.ledger import DONE, FAILED, WAITING, Entry, Ledger
from mpvss_model.fleet.reporter import FleetReporter
from mpvss_model.fleet.unit import Outcome, Unit
from mpvss_model.runtime.interruption import Interrupted, StopSignals

__all__ = ["SourcesRun"]


class SourcesRun:
    """One start: does what no earlier one did, and brings the ledger up to date with each source.

    Args:
        ledger: Of all sources.
        config: Who does it.
        title: Of the progress bar.
        verb: What is done with sources, as in "3 sources are labelled".
        console: Where to tell how far it is.
    """

    def __init__(self, ledger: Ledger, config: FleetConfig, *, title: str, verb: str, console: Console) -> None:
        self._ledger = ledger
        self._config = config
        self._verb = verb
        self._entries = {entry.name: entry for entry in ledger.entries}
        self._reporter = FleetReporter(console, title=title, entries=ledger.entries)

    def run(self, first: Callable[[Entry], Unit], then: Callable[[Entry, Any], Iterable[Unit]]) -> None:
        """Do it.

        Args:
            first: Gives the first unit of a source.
            then: Is given what the work of a unit returned; returns units that are to be done after it, or calls `finish`.

        Raises:
            Interrupted: If SIGINT or SIGTERM came; what is finished is in the ledger.
            ConfigError: If the ledger's file cannot be written, or the fleet cannot work.
        """
        with self._reporter, StopSignals() as signals:
            try:
                self._work(signals, first, then)
            except Interrupted as error:
                raise self._interruption(error.signal_number) from error
        if signals.received:
            raise self._interruption(signals.received)

    def say(self, entry: Entry, line: str) -> None:
        """Write a line about a source."""
        self._reporter.say(f"{entry.name}: {line}")

    def finish(self, entry: Entry, result: dict[str, Any], found: str) -> None:
        """A source is done.

        Args:
            entry: Of it.
            result: As JSON can hold it.
            found: The same in a few words.
        """
        entry.state, entry.result = DONE, result
        self._ledger.write()
        self._reporter.source(entry, found)

    def _work(
        self, signals: StopSignals, first: Callable[[Entry], Unit], then: Callable[[Entry, Any], Iterable[Unit]]
    ) -> None:
        with open_fleet(self._config, stopped=signals.is_received, on_told=self._reporter.told) as fleet:
            self._ledger.write()
            fleet.add([first(entry) for entry in self._ledger.entries if not entry.is_kept])
            for outcome in fleet.outcomes():
                entry = self._noted(outcome)
                if entry.state == WAITING:  # no part of it has failed
                    fleet.add(then(entry, outcome.value))

    def _noted(self, outcome: Outcome) -> Entry:
        """The entry of the source; as failed if the unit is."""
        entry = self._entries[outcome.unit.source]
        entry.deaths += outcome.deaths
        if outcome.worker and outcome.worker not in entry.workers:
            entry.workers.append(outcome.worker)
        if outcome.is_failed and entry.state == WAITING:
            entry.state, entry.error, entry.details = FAILED, outcome.error, outcome.details
            self._ledger.write()
            self._reporter.source(entry, "")
        return entry

    def _interruption(self, number: int) -> Interrupted:
        done = sum(entry.state == DONE for entry in self._ledger.entries)
        return Interrupted(
            f"stopped by {signal.Signals(number).name}: {done} of {len(self._ledger.entries)} sources are {self._verb}, and "
            "the same command goes on from there",
            number,
        )
