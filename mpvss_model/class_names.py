"""Class names as keys of reports, where each class must have one of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

__all__ = ["distinct_names"]


def distinct_names(names: Sequence[str]) -> tuple[str, ...]:
    """Class names, those that occur several times with their class index.

    >>> distinct_names(("wall", "door", "door"))
    ('wall', 'door [1]', 'door [2]')
    """
    counts = Counter(names)
    return tuple(f"{name} [{index}]" if counts[name] > 1 else name for index, name in enumerate(names))
