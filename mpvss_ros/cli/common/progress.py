"""How far a command has come: a bar in terminals, lines everywhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

from mpvss_model.runtime.progress import new_bar, new_console

__all__ = ["shown_progress"]

LINES = 10


@contextmanager
def shown_progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A function to be told how much is done, and of how much; see `shown_stages`."""
    with shown_stages() as on_progress:
        yield lambda done, total: on_progress(title, done, total)


@contextmanager
def shown_stages() -> Iterator[Callable[[str, int, int], None]]:
    """A function to be told what is done now, how much of it is done, and of how much; 0 of 0 for what tells itself.

    It writes to the standard error stream. Without a terminal, a line comes whenever another tenth is done.
    """
    console = new_console()
    stages = _Bars(console) if console.is_terminal else _Lines(console)
    try:
        yield stages
    finally:
        stages.stop()


class _Bars:
    """A bar for one thing after the other."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._what = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        if what != self._what:
            self.stop()
            self._what = what
        if not total:
            return
        if self._bar is None:
            self._bar = new_bar(self._console, transient=True)
            self._task = self._bar.add_task(what)
            self._bar.start()
        self._bar.update(self._task, completed=done, total=total)

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class _Lines:
    """Says at each tenth how far along something is."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._what, self._said = "", 0

    def __call__(self, what: str, done: int, total: int) -> None:
        if what != self._what:
            self._what, self._said = what, 0
        part = LINES * done // max(total, 1)
        if part > self._said:
            self._said = part
            self._console.print(f"{what}: {done} of {total}", markup=False)

    def stop(self) -> None:
        """Nothing is left open."""
