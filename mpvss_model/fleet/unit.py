"""A piece of work that one worker does, and what came of it."""

from __future__ import annotations

import os
import socket
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from mpvss_model.errors import MPVSSError, one_line
from mpvss_model.runtime.interruption import Interrupted

__all__ = ["Link", "Outcome", "Performed", "Unit", "performed"]


class Link(Protocol):
    """What a worker tells, while it works, to whom it works for, and hears from there."""

    def tell(self, done: int, total: int) -> None:
        """Say how much is done; cheap, so that it may be called for each frame.

        Raises:
            Interrupted: If the work is to stop.
        """

    def is_stopped(self) -> bool:
        """Whether the work is to stop."""


@dataclass(frozen=True, eq=False)
class Unit:
    """A piece of work that can be done anywhere, begun again elsewhere, and done twice without harm.

    Attributes:
        source: Name of the source that it is, or is a part of.
        work: Does it; can be sent to another process, as can what it returns.
        share: How much of the source's work it is, 0..1.
    """

    source: str
    work: Callable[[Link], Any]
    share: float = 1.0


@dataclass(frozen=True)
class Performed:
    """What a worker sends back. Exceptions are sent as text, since not every one survives the way.

    Attributes:
        value: That the work returned.
        worker: Machine and process.
        error: Why there is no value, in one line.
        details: Where in the program that was, if it is none of the errors that users cause.
        signal_number: Of the signal that stopped it; 0 if none did.
    """

    value: Any
    worker: str
    error: str = ""
    details: str = ""
    signal_number: int = 0


@dataclass(frozen=True)
class Outcome:
    """What came of a unit in the end.

    Attributes:
        unit: That was done.
        value: That its work returned.
        error: Why there is no value, in one line; empty if there is one.
        details: Where in the program that was, if it is none of the errors that users cause.
        worker: Machine and process of the last attempt.
        deaths: Why earlier attempts, and the last one if it is the error, came to no end.
    """

    unit: Unit
    value: Any
    error: str = ""
    details: str = ""
    worker: str = ""
    deaths: tuple[str, ...] = ()

    @property
    def is_failed(self) -> bool:
        """Whether there is no value."""
        return bool(self.error)


def performed(work: Callable[[Link], Any], link: Link) -> Performed:
    """Do some work in this process; whatever goes wrong is part of the result."""
    worker = f"{socket.gethostname()}:{os.getpid()}"
    try:
        return Performed(work(link), worker)
    except Interrupted as error:
        return Performed(None, worker, error=str(error), signal_number=error.signal_number)
    except MPVSSError as error:
        return Performed(None, worker, error=str(error))
    except Exception as error:  # one recording that no code foresaw must not end the work on all others
        return Performed(None, worker, error=f"{type(error).__name__}: {one_line(error)}", details=traceback.format_exc())
