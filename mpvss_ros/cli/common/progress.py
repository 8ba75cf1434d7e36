"""How far a command has come: a bar in terminals, lines everywhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["shown_progress"]

LINES = 10


@contextmanager
def shown_progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A function to be told how much is done, and of how much.

    It writes to the standard error stream. Without a terminal, a line comes whenever another tenth is done.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        yield _Lines(console, title)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _Lines:
    """Says at each tenth how far along something is."""

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._said = 0

    def __call__(self, done: int, total: int) -> None:
        part = LINES * done // max(total, 1)
        if part > self._said:
            self._said = part
            self._console.print(f"{self._title}: {done} of {total}", markup=False)
