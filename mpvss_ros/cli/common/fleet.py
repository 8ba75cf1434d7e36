"""What came of many sources, on a terminal and for the shell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from mpvss_model.fleet.ledger import Entry, Ledger

__all__ = ["end", "evaluated_sources_table", "labelled_sources_table", "print_failures"]

SOME_FAILED = 1
# Of an evaluation, as far as there is room.
FIGURES = {"miou": "mIoU", "weighted_iou": "wIoU", "mvc8": "mVC8", "boundary_miou": "bIoU"}


def labelled_sources_table(ledger: Ledger) -> Table:
    """A row for each source, with its frames."""
    table = _new_table("frames")
    for entry in ledger.entries:
        table.add_row(escape(entry.name), _state(entry), str(entry.result.get("frames", "")))
    return table


def evaluated_sources_table(ledger: Ledger) -> Table:
    """A row for each source and way of propagation; then, for each way, all sources' pixels together."""
    table = _new_table("frames", *FIGURES.values())
    done = [entry for entry in ledger.entries if entry.result]
    for entry in ledger.entries:
        if not entry.result:
            table.add_row(escape(entry.name), _state(entry))
        for run in entry.result.get("runs", ()):
            figures = ("-" if run[name] is None else f"{run[name]:.3f}" for name in FIGURES)
            table.add_row(escape(entry.name), _way(run, _state(entry)), str(run["frames"]), *figures)
    table.add_section()
    for runs in zip(*(entry.result["runs"] for entry in done), strict=True):
        table.add_row("all", _way(runs[0], ""), str(sum(run["frames"] for run in runs)), *_pooled(runs))
    return table


def _new_table(*figures: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("source", overflow="fold")
    table.add_column("")
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _state(entry: Entry) -> str:
    return f"{entry.state} before" if entry.is_kept else entry.state


def _way(run: Mapping[str, Any], state: str) -> str:
    return ", ".join(filter(None, [state, f"{run['propagation']} {run['interval']}"]))


def _pooled(runs: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Mean and weighted IoU of all pixels; what is measured over time belongs to each source."""
    import numpy as np

    from mpvss_model.evaluation.metrics import ConfusionMatrix

    counts = sum(np.array(run["confusion_matrix"]) for run in runs)
    confusion = ConfusionMatrix(len(counts))
    confusion.counts += counts
    if not counts.any():
        return "-", "-"
    return f"{confusion.miou:.3f}", f"{confusion.weighted_iou:.3f}"


def print_failures(ledger: Ledger) -> None:
    """A line for each source that failed, and for each note that one has."""
    console = Console(soft_wrap=True, highlight=False)
    for entry in ledger.entries:
        for line in [f"failed: {entry.error}"] if entry.error else entry.result.get("notes", ()):
            console.print(f"  {entry.name}: {line}", markup=False)


def end(failures: Sequence[object]) -> None:
    """End the command with exit code 1 if some of its sources, or of their clips, failed."""
    if failures:
        raise typer.Exit(SOME_FAILED)
