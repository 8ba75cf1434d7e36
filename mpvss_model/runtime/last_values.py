"""A few values, each made when it is first asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["LastValues"]

Value = TypeVar("Value")


class LastValues(Generic[Value]):
    """Keeps the values of the last few keys that were new, such as frame sizes. Threads may share it.

    >>> squares = LastValues(2)
    >>> squares.get(3, lambda: 3 * 3), squares.get(3, lambda: None)
    (9, 9)

    Args:
        limit: Values that are kept, at least 1.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: dict[Hashable, Value] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def __reduce__(self) -> tuple:
        # A copy makes its own values; a lock cannot be copied.
        return type(self), (self._limit,)

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key; ``make`` makes it where it is not kept, while other threads wait."""
        with self._lock:
            if key not in self._values:
                value = make()
                while len(self._values) >= self._limit:
                    self._values.pop(next(iter(self._values)))
                self._values[key] = value
            return self._values[key]
