"""How long work tells how it goes: a progress bar in terminals, and lines everywhere."""

from __future__ import annotations

from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["ProgressReporter", "duration", "new_bar", "new_console"]

Reporter = TypeVar("Reporter", bound="ProgressReporter")


def new_console(*, visible: bool = True) -> Console:
    """On the standard error stream, so that results alone go to standard output."""
    return Console(stderr=True, quiet=not visible, highlight=False, soft_wrap=True)


def new_bar(console: Console, *, transient: bool = False) -> Progress:
    """A bar with what is done, how much of it and the time left; nothing is to be seen without a terminal.

    Args:
        console: Where to.
        transient: Whether it vanishes when it stops.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=transient, disable=not console.is_terminal)


class ProgressReporter:
    """Writes the progress of some work; a context manager.

    Args:
        console: Where to.
        title: Of the progress bar.
        total: How many pieces the work has, such as steps.
        done: Those that earlier runs did.
    """

    def __init__(self, console: Console, *, title: str, total: int, done: int = 0) -> None:
        self._console = console
        self._total = total
        self._bar = new_bar(console)
        self._task = self._bar.add_task(title, total=total, completed=done)

    def __enter__(self: Reporter) -> Reporter:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, line: str) -> None:
        """Write a line."""
        self._console.print(line, markup=False)

    def advance(self, done: float) -> None:
        """Move the progress bar."""
        self._bar.update(self._task, completed=done)


def duration(seconds: float) -> str:
    """``"45 s"``, ``"12 min"`` or ``"3 h 05 min"``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
