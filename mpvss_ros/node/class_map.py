"""Merges and renames a model's classes into those that the robot's other nodes want."""

from __future__ import annotations

import numpy as np

from mpvss_model import ConfigError
from mpvss_model.config import UNLABELED

__all__ = ["REST", "ClassMap", "parse_entries"]

REST = "*"
# Begins an entry for models that have the class, where those that have not are fine, too.
IF_KNOWN = "?"


def parse_entries(entries: tuple[str, ...], class_names: tuple[str, ...] = ()) -> dict[str, str]:
    """``("wall=obstacle", "*=other")`` as a dictionary from the model's class to the published one.

    Args:
        entries: ``class=name`` each; those that begin with ``?`` are left out if the model has no such class.
        class_names: Of the model, as far as known. They tell which ``=`` of an entry ends the name of its class, and whether
            blanks beside it belong to the name.

    Raises:
        ConfigError: If an entry is not of the form ``class=name``, or a class occurs twice.
    """
    exact = {name: name for name in class_names}
    loose = {name.strip(): name for name in class_names} | exact | {REST: REST}
    names: dict[str, str] = {}

    def known(splits: list[tuple[str, str]]) -> list[tuple[str, str]]:
        found = [(exact[name], target) for name, target in splits if name in exact]
        return found + [(loose[name.strip()], target) for name, target in splits if name.strip() in loose]

    for entry in entries:
        splits = _splits(entry)
        found = known(splits)
        if not found and entry.startswith(IF_KNOWN):
            splits = _splits(entry.removeprefix(IF_KNOWN))
            found = known(splits)
            if not found and class_names:
                continue
        source, target = (found or splits)[0]
        if source in names:
            raise ConfigError(f"parameter 'class_map' must name each class once, got {entry!r} after {source}={names[source]}")
        names[source] = target
    return names


def _splits(entry: str) -> list[tuple[str, str]]:
    """Class and published name for each ``=`` that may be the separator, the longest class first."""
    parts = entry.split("=")
    splits = [("=".join(parts[:i]), "=".join(parts[i:]).strip()) for i in range(len(parts) - 1, 0, -1)]
    splits = [(source, target) for source, target in splits if source.strip()]
    if not splits:
        raise ConfigError(f"parameter 'class_map' must be a list of 'class=name', got {entry!r}")
    return splits


class ClassMap:
    """From the model's class indices to the published ones.

    Classes that get the same name become one class. Those that no entry names keep theirs, unless there is an entry for
    ``*``, the rest; where the model has several of one name, they stay as many classes. A class that gets an empty name
    becomes unlabeled. Published indices count the classes in the order of the model's. An entry ``?class=name`` is one for
    models that have the class.

    >>> class_map = ClassMap(("wall", "floor", "chair", "table"), ("floor=ground", "chair=obstacle", "table=obstacle"))
    >>> class_map.names
    ('wall', 'ground', 'obstacle')
    >>> class_map(np.array([[0, 1, 2, 3, 255]], np.uint8)).tolist()
    [[0, 1, 2, 2, 255]]

    Args:
        class_names: Of the model.
        entries: ``class=name`` each; none changes nothing. The model's names may hold ``=`` and blanks at their ends.

    Raises:
        ConfigError: If the model has no such class.
    """

    def __init__(self, class_names: tuple[str, ...], entries: tuple[str, ...] = ()) -> None:
        self.names = class_names
        self._class_count = len(class_names)
        self._table: np.ndarray | None = None
        if not entries:
            return
        renamed = parse_entries(entries, class_names)
        unknown = [name for name in renamed if name != REST and name not in class_names]
        if unknown:
            raise ConfigError(
                f"parameter 'class_map' names the class {unknown[0]!r}, which the model does not have; "
                f"its classes are {', '.join(class_names)}"
            )
        names: list[str] = []
        indices = [self._index(name, renamed, names) for name in class_names]
        self.names = tuple(names)
        self._table = np.full(256, UNLABELED, np.uint8)
        self._table[: len(indices)] = indices

    @staticmethod
    def _index(name: str, renamed: dict[str, str], names: list[str]) -> int:
        """The published index of a class of the model; appends to the published names if it is a new one."""
        new_name = renamed.get(name, renamed.get(REST, name))
        if not new_name:
            return UNLABELED
        is_merged = name in renamed or REST in renamed or new_name in renamed.values()
        if not is_merged or new_name not in names:
            names.append(new_name)
            return len(names) - 1
        return names.index(new_name)

    def groups(self, names: tuple[str, ...] = ()) -> np.ndarray:
        """Which classes of the model make up some published ones.

        Args:
            names: Of published classes, in the order that is wanted; all by default. One that several classes have is theirs
                together.

        Returns:
            float32 ``[C, K]``, 1 where a class of the model belongs to the published one.

        Raises:
            ConfigError: If no such class is published.
        """
        published = self(np.arange(self._class_count, dtype=np.uint8))
        if not names:
            return np.float32(published[:, None] == np.arange(len(self.names)))
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise ConfigError(
                f"parameter 'score_classes' names the class {unknown[0]!r}, which is not published; "
                f"published classes are {', '.join(self.names) or 'none'}"
            )
        name_of = np.array([*self.names, None], object)[np.where(published == UNLABELED, len(self.names), published)]
        return np.float32(name_of[:, None] == np.array(names, object))

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        """uint8 ``[H, W]`` class indices of the model -> the published ones."""
        return labels if self._table is None else self._table[labels]
