"""Lets a program that was told to end tidy up first."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["clean_end"]

SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def clean_end() -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP end the program as Ctrl-C does: by an exception, which ends what it started.

    A signal that is ignored, as ``nohup`` does, stays so. For the main thread.
    """
    handlers = {number: signal.getsignal(number) for number in SIGNALS}

    def leave(number: int, frame: object) -> None:
        for other in SIGNALS:  # once is enough: a second one would interrupt the tidying up
            signal.signal(other, signal.SIG_IGN)
        sys.exit(128 + number)

    for number, handler in handlers.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
