"""Published classes, their ids, and what part they play for those who map them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mpvss_model import ConfigError

__all__ = ["ROLES", "LabelSpace", "roles_of"]

# What classes of common data sets are, by the first of their names; what is none of these is an object.
WORDS = {
    "dynamic": "person people human pedestrian rider cyclist animal cat dog bird horse robot",
    "surfaces": "floor flooring ground rug carpet mat road street sidewalk pavement path runway stairs stairway step grass "
    "earth sand terrain field",
    "structure": "background other unknown unlabeled wall ceiling sky building house column fence bridge tunnel water sea "
    "river mountain vegetation tree",
}
ROLES = ("objects", "surfaces", "dynamic", "invalid")


@dataclass(frozen=True, kw_only=True)
class LabelSpace:
    """What a label image's ids mean.

    Attributes:
        names: Of the classes by id.
        unlabeled_id: Of pixels without a class.
        colors: Red, green and blue, 0..255 each, of the classes by id, as the overlay has them.
        roles: Ids by each of `ROLES`: objects, surfaces to walk on, what moves, and what is to be left out of maps.
    """

    names: dict[int, str]
    unlabeled_id: int
    colors: dict[int, tuple[int, int, int]]
    roles: dict[str, tuple[int, ...]]

    @property
    def total(self) -> int:
        """One more than the largest id there is."""
        return max(*self.names, self.unlabeled_id) + 1 if self.names else max(self.unlabeled_id, -1) + 1

    def names_of(self, role: str) -> list[str]:
        """Of the classes that play a part."""
        return [self.names[i] for i in self.roles[role]]


def roles_of(names: Mapping[int, str], given: Mapping[str, tuple[str, ...] | None]) -> dict[str, tuple[int, ...]]:
    """Ids of classes by what part they play.

    >>> roles_of({0: "floor", 1: "person", 2: "wall", 3: "chair"}, {"invalid": ("wall",)})
    {'objects': (3,), 'surfaces': (0,), 'dynamic': (1,), 'invalid': (2,)}

    Args:
        names: Of the classes by id.
        given: Names by role, where the user says it, as they are between commas; those of classes may have commas and blanks
            at their ends. The others' are taken from the words of common data sets.

    Raises:
        ConfigError: If there is no class of a given name.
    """
    given = {role: None if parts is None else tuple(_whole_names(parts, names.values())) for role, parts in given.items()}
    for role, wanted in given.items():
        for name in wanted or ():
            if name not in names.values():
                raise ConfigError(
                    f"--{role} names the class {name!r}, which is not published; published classes are "
                    f"{', '.join(names.values())}"
                )
    return {
        role: tuple(i for i, name in names.items() if (_is_said_to_be(name, role) if wanted is None else name in wanted))
        for role, wanted in ((role, given.get(role)) for role in ROLES)
    }


def _whole_names(parts: Sequence[str], known: Iterable[str]) -> Iterator[str]:
    """``("door", "double door", "wall")`` -> "door, double door" and "wall", if there are such; unknown ones as they are."""
    by_parts = {tuple(part.strip() for part in name.split(",")): name for name in known}
    wanted = tuple(part.strip() for part in parts)
    while wanted:
        count = next((n for n in range(len(wanted), 0, -1) if wanted[:n] in by_parts), 1)
        yield by_parts.get(wanted[:count], wanted[0])
        wanted = wanted[count:]


def _is_said_to_be(name: str, role: str) -> bool:
    first = name.partition(",")[0].strip().lower()
    if role == "objects":
        return not any(first in words.split() for words in WORDS.values())
    return first in WORDS.get(role, "").split()
