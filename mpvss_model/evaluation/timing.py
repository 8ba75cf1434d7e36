"""How long code takes: all figures of speed are measured with these."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

__all__ = ["Stopwatch", "Timings", "timed_method"]

P = ParamSpec("P")
T = TypeVar("T")


class Stopwatch:
    """Measures blocks of code, one after the other; one that raises does not count.

    >>> watch = Stopwatch()
    >>> for _ in range(3):
    ...     with watch:
    ...         pass
    >>> len(watch.laps_s), watch.total_s == sum(watch.laps_s)
    (3, True)

    Attributes:
        laps_s: Seconds of each block.

    Args:
        clock: Tells seconds; ``time.thread_time`` for the processor time of this thread alone.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.laps_s: list[float] = []
        self._clock = clock
        self._started_s = 0.0

    def __enter__(self) -> Stopwatch:
        self._started_s = self._clock()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.laps_s.append(self._clock() - self._started_s)

    @property
    def total_s(self) -> float:
        """Seconds of all blocks together."""
        return sum(self.laps_s)


class Timings:
    """Durations of several things that are measured in turn, so that a busy machine slows all alike.

    Attributes:
        seconds: Of each measurement, by the name of what was measured; names in the order in which they first came.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    def call(self, name: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a function returns; the time that it takes counts under a name."""
        with Stopwatch() as watch:
            result = function(*args, **kwargs)
        self.add(name, watch.total_s)
        return result

    def add(self, name: str, duration_s: float) -> None:
        """Count a duration that was measured elsewhere."""
        self.seconds.setdefault(name, []).append(duration_s)

    def medians_ms(self) -> dict[str, float]:
        """Median milliseconds by name."""
        return {name: 1000 * statistics.median(values) for name, values in self.seconds.items()}

    def deviations_ms(self) -> dict[str, float]:
        """Standard deviation in milliseconds by name; 0 of a single measurement."""
        return {name: 1000 * statistics.stdev(values) if len(values) > 1 else 0.0 for name, values in self.seconds.items()}


@contextmanager
def timed_method(owner: type, name: str, clock: Callable[[], float] = time.perf_counter) -> Iterator[list[float]]:
    """The seconds that each call of a method takes within a ``with`` block, whether or not it raises, as a list that grows.

    Args:
        owner: The class of the method, for all instances.
        name: Of the method.
        clock: Tells seconds; ``time.thread_time`` for the processor time of the calling thread alone.
    """
    seconds: list[float] = []
    method = getattr(owner, name)

    @functools.wraps(method)
    def wrapper(*args: object, **kwargs: object) -> object:
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
