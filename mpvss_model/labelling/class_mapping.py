"""From the classes that a model has to those that are wanted, several of the model's to one of them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from mpvss_model.config import UNLABELED
from mpvss_model.data.class_order import comparable_name
from mpvss_model.errors import ConfigError
from mpvss_model.text_files import read_text

__all__ = ["REST", "ClassMapping", "shipped_mappings"]

SHIPPED_DIR = Path(__file__).with_name("class_maps")
# Stands for all classes of a model that a mapping does not name.
REST = "*"
SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class ClassMapping:
    """A list of classes, and which classes of a model become each of them.

    Attributes:
        name: How to call it in messages.
        classes: The list, by class index.
        sources: By the model's class, the class of the list that it becomes, or None where its pixels become unlabeled. A key
            with commas gives several names of one class; `REST` stands for all that are not named. Upper and lower case,
            spaces, ``_`` and ``-`` make no difference.

    Raises:
        ConfigError: If it names a class that the list does not have, or the list is of no use.
    """

    name: str
    classes: tuple[str, ...]
    sources: Mapping[str, str | None]

    def __post_init__(self) -> None:
        if not 1 <= len(self.classes) <= UNLABELED or len(set(self.classes)) < len(self.classes):
            raise ConfigError(f"class map {self.name!r}: classes must be a list of 1 to {UNLABELED} different names")
        for source, target in self.sources.items():
            if target is not None and target not in self.classes:
                raise ConfigError(
                    f"class map {self.name!r}: {source!r} becomes {target!r}, which is none of its classes "
                    f"({_shown(self.classes)}): use one of them, or null"
                )

    @classmethod
    def open(cls, name_or_path: str | Path) -> ClassMapping:
        """One of `shipped_mappings` by its name, or a YAML file with ``classes``, a list, and ``from``, a mapping.

        Raises:
            ConfigError: If there is no such mapping, or the file does not hold one.
        """
        shipped = SHIPPED_DIR / f"{name_or_path}.yaml"
        path = shipped if str(name_or_path) in shipped_mappings() else Path(name_or_path)
        if not path.is_file():
            raise ConfigError(
                f"no class map {str(name_or_path)!r}: give a YAML file, or one of {', '.join(shipped_mappings())}"
            )
        text = read_text(path, ConfigError)
        try:
            values = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that does not exist
            raise ConfigError(f"class map {str(path)!r} is no valid YAML file: {' '.join(str(error).split())}") from None
        return cls(str(name_or_path), *_parsed(values, str(name_or_path)))

    def indices(self, model_class_names: Sequence[str], model_name: str) -> list[int | None]:
        """For each class of a model, the index of that of the list which it becomes, or None.

        A model's class is known by its name, or, where that has commas, by the part before the first.

        Raises:
            ConfigError: If the mapping names a class that the model does not have, or does not name one that it has.
        """
        key_of = self._keys()
        targets, used = [], {REST}
        missing = []
        for name in model_class_names:
            key = key_of.get(comparable_name(name)) or key_of.get(comparable_name(name.split(",")[0]))
            if key is None and REST not in self.sources:
                missing.append(name)
                continue
            used.add(key or REST)
            target = self.sources[key or REST]
            targets.append(None if target is None else self.classes.index(target))
        unknown = [key for key in self.sources if key not in used]
        if unknown:
            raise ConfigError(
                f"class map {self.name!r} names {_shown(unknown)}, which model {model_name!r} does not have; its classes are "
                f"{_shown(model_class_names)}"
            )
        if missing:
            raise ConfigError(
                f"class map {self.name!r} does not say what becomes of {_shown(missing)} of model {model_name!r}: add "
                f"each with one of its classes or null, or '{REST}' for the rest"
            )
        return targets

    def matrix(self, model_class_names: Sequence[str], model_name: str) -> torch.Tensor:
        """Float32 ``[C, K + 1]``: 1 where a class of a model becomes one of the list's, the last column for those left out.

        Raises:
            ConfigError: As `indices`.
        """
        places = [len(self.classes) if i is None else i for i in self.indices(model_class_names, model_name)]
        return torch.eye(len(self.classes) + 1)[places]

    def _keys(self) -> dict[str, str]:
        """By each name that a key gives, in comparable form, the key."""
        key_of: dict[str, str] = {}
        for key in self.sources:
            for name in {key, *key.split(",")}:
                if key_of.setdefault(comparable_name(name), key) != key:
                    other = key_of[comparable_name(name)]
                    raise ConfigError(f"class map {self.name!r} names {name.strip()!r} twice, in {other!r} and {key!r}")
        return key_of


def shipped_mappings() -> tuple[str, ...]:
    """Names of the mappings that come with the package."""
    return tuple(sorted(path.stem for path in SHIPPED_DIR.glob("*.yaml")))


def _parsed(values: Any, name: str) -> tuple[tuple[str, ...], dict[str, str | None]]:
    """``classes`` and ``from`` of what a YAML file holds."""
    if not isinstance(values, Mapping) or set(values) != {"classes", "from"}:
        raise ConfigError(f"class map {name!r} must have the two entries classes, a list, and from, a mapping")
    classes, sources = values["classes"], values["from"]
    if not isinstance(classes, list) or not all(isinstance(item, str) for item in classes):
        raise ConfigError(f"class map {name!r}: classes must be a list of names, got {classes!r}; quote numbers, yes and no")
    if not isinstance(sources, Mapping):
        raise ConfigError(f"class map {name!r}: from must be a mapping such as 'sofa: seat', got {sources!r}")
    for source, target in sources.items():
        if not isinstance(source, str) or not (target is None or isinstance(target, str)):
            raise ConfigError(
                f"class map {name!r}: from must lead from names to names or null, got {source!r}: {target!r}; quote numbers, "
                "yes and no"
            )
    return tuple(classes), dict(sources)


def _shown(names: Sequence[str]) -> str:
    return textwrap.shorten(", ".join(names), SHOWN_CHARACTERS, placeholder=" ...")
