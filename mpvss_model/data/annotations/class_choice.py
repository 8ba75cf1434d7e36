"""Which classes are made of those that the annotations have."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpvss_model.data.annotations.annotation_set import IGNORED, UNANNOTATED, NamedLabel
from mpvss_model.errors import ConfigError, DataError
from mpvss_model.semantics import UNLABELED
from mpvss_model.text_files import read_text

__all__ = ["ClassChoice", "ClassEntry", "class_entries", "class_entries_of_file", "hex_color", "of_values"]

OTHERS = "*"
# What tools call regions that are not to count; and LabelMe's name of the background.
IGNORED_NAMES = {"__ignore__", "ignore", "void", "unlabeled", "unlabelled"}
BACKGROUND_ALIAS = "_background_"
COLOR = re.compile(r"#[0-9a-f]{6}")
# A line of CVAT's labelmap.txt, ``road:128,64,128::``, and one of CamVid's label_colors.txt, ``128 64 128 Road``.
CVAT_LINE = re.compile(r"(?P<name>[^:]+):(?P<red>\d+),(?P<green>\d+),(?P<blue>\d+)(:.*)?")
CAMVID_LINE = re.compile(r"(?P<red>\d+)\s+(?P<green>\d+)\s+(?P<blue>\d+)\s+(?P<name>.+)")
UNLISTED_VALUE = str(UNLABELED)


@dataclass(frozen=True)
class ClassEntry:
    """One class of the source and what it becomes.

    Attributes:
        source: Its name there; of label images without names a value such as ``7``, or a colour such as ``#804080``; ``*`` for
            all that are not named.
        name: Of the class that it becomes; several may become one. Empty for unlabeled.
        is_plain: Whether only one name was given, for both.
    """

    source: str
    name: str
    is_plain: bool = False


class ClassChoice:
    """Turns labels with the names of their source into label images.

    Args:
        entries: In the order of the new classes.
        background: Class of pixels that nobody annotated, the first unless an entry has it; empty for unlabeled.

    Attributes:
        names: Of the new classes, by class index.

    Raises:
        ConfigError: If there are no classes, or more than a label image holds.
    """

    def __init__(self, entries: Sequence[ClassEntry], background: str = "") -> None:
        special = {*IGNORED_NAMES, *([BACKGROUND_ALIAS] if background else [])}
        kept = [entry for entry in entries if not (entry.is_plain and entry.source in special)]
        listed = dict.fromkeys(entry.name for entry in kept if entry.name)
        self.names = tuple(listed if background in listed or not background else [background, *listed])
        if not listed or len(self.names) > UNLABELED:
            raise ConfigError(f"a label image holds 1 to {UNLABELED} classes, got {len(self.names)}")
        index_of_name = {name: i for i, name in enumerate(self.names)} | {"": UNLABELED}
        self._background = index_of_name[background]
        self._index_of = {BACKGROUND_ALIAS: self._background, **dict.fromkeys(IGNORED_NAMES, UNLABELED)}
        self._index_of |= {UNLISTED_VALUE: UNLABELED}
        self._index_of |= {_normal(entry.source): index_of_name[entry.name] for entry in kept}

    def label_image(self, label: NamedLabel, source: Path) -> np.ndarray:
        """uint8 ``[H, W]``, class indices and 255 for unlabeled.

        Args:
            label: What was annotated.
            source: Where, for messages.

        Raises:
            DataError: If it has classes that were not chosen; names them.
        """
        present = np.unique(label.indices)
        table = {int(i): self._index(label.names[i]) for i in present if i >= 0}
        unknown = [label.names[i] for i, index in table.items() if index is None]
        if unknown:
            raise DataError(
                f"{source} has the classes {', '.join(map(repr, unknown))}, which are not among those chosen; add them to the "
                f"classes, '{unknown[0]}=NAME' to merge one into another, or '*=' to leave all others unlabeled"
            )
        table |= {UNANNOTATED: self._background, IGNORED: UNLABELED}
        values = np.array([table[int(i)] for i in present], np.uint8)
        return values[np.searchsorted(present, label.indices)]

    def _index(self, source_name: str) -> int | None:
        return self._index_of.get(_normal(source_name), self._index_of.get(OTHERS))


def class_entries(text: str) -> list[ClassEntry]:
    """Entries of a list such as ``floor,chair=seat,*=``, or of the file that it names.

    Raises:
        ConfigError: If the list is empty.
        DataError: If there is such a file, but it cannot be read.
    """
    if _is_file(text):
        return class_entries_of_file(Path(text))
    return _entries([_entry(item) for item in text.split(",") if item.strip()], repr(text))


def class_entries_of_file(path: Path) -> list[ClassEntry]:
    """Entries of a text file, one a line: a name, ``SOURCE=NAME``, or a colour and a name as CVAT and CamVid write them.

    Raises:
        ConfigError: If it holds none.
        DataError: If it cannot be read.
    """
    lines = (line.strip() for line in read_text(path).splitlines())
    return _entries([_entry(line) for line in lines if line and not _is_comment(line)], str(path))


def of_values(entries: Sequence[ClassEntry]) -> list[ClassEntry]:
    """Entries for label images: a plain name at position ``i`` stands for the value ``i``."""
    return [ClassEntry(str(i), entry.name) if entry.is_plain else entry for i, entry in enumerate(entries)]


def hex_color(red: int, green: int, blue: int) -> str:
    """A colour as entries have it, such as ``#804080``."""
    return f"#{red:02x}{green:02x}{blue:02x}"


def _entries(entries: list[ClassEntry], given: str) -> list[ClassEntry]:
    if not entries:
        raise ConfigError(f"classes {given} are none; expected a list such as 'floor,wall,chair=seat', or a text file of them")
    return entries


def _entry(text: str) -> ClassEntry:
    colored = CVAT_LINE.fullmatch(text) or CAMVID_LINE.fullmatch(text)
    if colored:
        color = hex_color(*(int(colored[channel]) for channel in ("red", "green", "blue")))
        name = colored["name"].strip()
        return ClassEntry(color, "" if name in IGNORED_NAMES else name)
    source, equals, name = text.partition("=")
    if not equals:
        return ClassEntry(text.strip(), text.strip(), is_plain=True)
    source = source.strip()
    return ClassEntry(source.lower() if COLOR.fullmatch(source.lower()) else source, name.strip())


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # a list may be longer than any name
        return False


def _is_comment(line: str) -> bool:
    return line.startswith("#") and not COLOR.match(line.lower())


def _normal(name: str) -> str:
    """Files from other systems write the same letters in other ways."""
    return unicodedata.normalize("NFC", name).strip()
