"""What came of many sources, on a terminal and for the shell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from mpvss_model.fleet.ledger import Ledger

__all__ = ["end", "print_failures", "sources_table"]

SOME_FAILED = 1


def sources_table(ledger: Ledger, columns: Mapping[str, Callable[[dict[str, Any]], str]], title: str = "") -> Table:
    """A row for each source.

    Args:
        ledger: Of all sources.
        columns: Figures of a source, by heading, from its result.
        title: Of the table.
    """
    table = Table(title=escape(title) or None, box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("source", overflow="fold")
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for entry in ledger.entries:
        figures = [figure(entry.result) if entry.result else "" for figure in columns.values()]
        table.add_row(escape(entry.name), f"{entry.state} before" if entry.is_kept else entry.state, *figures)
    return table


def print_failures(ledger: Ledger) -> None:
    """A line for each source that failed, and for each note that one has."""
    console = Console(soft_wrap=True, highlight=False)
    for entry in ledger.entries:
        for line in [f"failed: {entry.error}"] if entry.error else entry.result.get("notes", ()):
            console.print(f"  {entry.name}: {line}", markup=False)


def end(ledger: Ledger) -> None:
    """End the command with exit code 1 if a source failed."""
    if ledger.failures:
        raise typer.Exit(SOME_FAILED)
