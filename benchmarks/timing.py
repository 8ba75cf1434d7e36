"""How long a method takes while a program runs."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["timed"]


@contextmanager
def timed(owner: type, name: str, clock: Callable[[], float] = time.monotonic) -> Iterator[list[float]]:
    """The seconds that each call of a method takes within the block, as a list that grows."""
    seconds: list[float] = []
    method = getattr(owner, name)

    @functools.wraps(method)
    def wrapper(*args, **kwargs):
        started_s = clock()
        try:
            return method(*args, **kwargs)
        finally:
            seconds.append(clock() - started_s)

    setattr(owner, name, wrapper)
    try:
        yield seconds
    finally:
        setattr(owner, name, method)
