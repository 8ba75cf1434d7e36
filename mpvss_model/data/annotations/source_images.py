"""The images of a source, found by what annotations call them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from mpvss_model.errors import DataError

__all__ = ["SOURCE_SUFFIXES", "SourceImages", "files_below", "natural_order", "split_in_words", "split_named"]

SOURCE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


class SourceImages:
    """All image files below a folder.

    Args:
        root: The folder.

    Attributes:
        paths: In natural order.

    Raises:
        DataError: If there is no such folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths = files_below(root, SOURCE_SUFFIXES)
        self._by_place = {_normal(path.relative_to(root).as_posix()): path for path in self.paths}
        self._by_name: dict[str, list[Path]] = {}
        for path in self.paths:
            self._by_name.setdefault(_normal(path.name), []).append(path)

    def find(self, name: str, source: Path) -> Path:
        """The image that an annotation file names.

        Tools write paths of the machine that they ran on, of a folder above or below, or with backslashes. So the longest
        end of the name counts that is the end of one image's path.

        Args:
            name: Of the image, in the annotation file.
            source: The annotation file; images beside it and below come first.

        Raises:
            DataError: If there is no such image, or several.
        """
        parts = PurePosixPath(_normal(unquote(name) if "%" in name else name).replace("\\", "/")).parts
        candidates = self._by_name.get(parts[-1], []) if parts else []
        for length in range(len(parts), 0, -1):
            ending = parts[-length:]
            found = [path for path in candidates if _parts(path)[-length:] == ending]
            beside = [path for path in found if path.is_relative_to(source.parent)]
            nearest = found if len(beside) != 1 else beside
            if len(nearest) == 1:
                return nearest[0]
            if nearest:
                raise DataError(
                    f"{source} names the image {name!r}, which may be {nearest[0]} or {nearest[1]}; give --images, the folder "
                    "of the right ones"
                )
        raise DataError(f"{source} names the image {name!r}, which is nowhere in {self.root}; give its folder as --images")

    def folder_of(self, path: Path) -> Path:
        """An image's folder, relative to the root."""
        return path.parent.relative_to(self.root)


def files_below(root: Path, suffixes: Iterable[str]) -> list[Path]:
    """Files of some suffixes in a folder and its folders, but for hidden ones, in natural order.

    Raises:
        DataError: If there is no such folder.
    """
    if not root.is_dir():
        raise DataError(f"no folder of images and annotations at {str(root)!r}")
    wanted = tuple(suffixes)
    found = (path for path in root.rglob("*") if path.suffix.lower() in wanted and path.is_file())
    return sorted(
        (path for path in found if not any(part.startswith(".") for part in path.relative_to(root).parts)), key=natural_order
    )


def natural_order(path: Path) -> list[tuple[int, int | str]]:
    """A key that puts ``frame_9`` before ``frame_10``, folder by folder."""
    parts = (part for name in path.parts for part in (*re.split(r"(\d+)", name), ""))
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]


def split_named(path: Path) -> str | None:
    """``train``, ``val`` or ``test``, by the nearest folder that is called so, or ``valid``, ``train2017``; else None."""
    names = (part.lower().rstrip("0123456789") for part in reversed(path.parts))
    return next((SPLIT_NAMES[name] for name in names if name in SPLIT_NAMES), None)


def split_in_words(text: str) -> str | None:
    """``train``, ``val`` or ``test``, if one word of a file's name is such, as in ``instances_val2017``; the last counts."""
    words = re.split(r"[^a-z]+", text.lower())
    return next((SPLIT_NAMES[word] for word in reversed(words) if word in SPLIT_NAMES), None)


def _parts(path: Path) -> tuple[str, ...]:
    return tuple(_normal(part) for part in path.parts)


def _normal(name: str) -> str:
    """Some systems take letters with accents apart."""
    return unicodedata.normalize("NFC", name)
