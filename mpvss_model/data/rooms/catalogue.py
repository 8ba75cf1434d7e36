"""The furniture that rooms are filled with: which models there are, of which class, and which are held out."""

from __future__ import annotations

import csv
import zipfile
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mpvss_model.errors import DataError

__all__ = ["CLASS_NAMES", "Furniture", "model_classes", "read_archives"]

CLASS_NAMES = (
    "wall", "floor", "ceiling", "door", "window", "seat", "table", "bed", "storage", "plant", "person", "other"
)  # fmt: skip
PROPERTIES = "PluginFurnitureCatalog.properties"
CLASS_TABLE = Path(__file__).parent / "classes.csv"
# Every fifth model of a class is held out of training, to test on objects that were never seen.
HELD_OUT_PERIOD = 5
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Furniture:
    """One model of the catalogue.

    Attributes:
        id: Unique, such as ``Scopia#clear_sofa``.
        name: For people, not unique.
        category: As the catalogue sorts it.
        class_name: One of `CLASS_NAMES`.
        held_out: Whether only test split B shows it.
        size_m: Width, depth and height.
        elevation_m: Of its lowest point above the floor.
        archive: Name of the library's file.
        path: Of the OBJ file within.
        rotation: Row-major 3x3 matrix that turns the model upright, in the model's y-up coordinates.
    """

    id: str
    name: str
    category: str
    class_name: str
    held_out: bool
    size_m: tuple[float, float, float]
    elevation_m: float
    archive: str
    path: str
    rotation: tuple[float, ...]


@cache
def model_classes() -> dict[str, str]:
    """Class of each model by its id, from the table that was made by hand."""
    with CLASS_TABLE.open(encoding="utf-8", newline="") as file:
        return {row["id"]: row["class"] for row in csv.DictReader(file)}


def read_archives(folder: Path) -> list[Furniture]:
    """All furniture of the Sweet Home 3D libraries (``*.sh3f``) of a folder, in a fixed order.

    Raises:
        DataError: If there are none, or one holds a model that the class table lacks.
    """
    archives = sorted(folder.glob("*.sh3f"))
    if not archives:
        raise DataError(
            f"no furniture libraries (*.sh3f) in {folder}: install Debian's package sweethome3d-furniture "
            "(apt install sweethome3d-furniture), or name the folder that holds them"
        )
    classes, seen, furniture = model_classes(), Counter(), []
    for archive in archives:
        for entry in _entries(archive):
            if entry["id"] not in classes:
                raise DataError(f"{archive} holds the model {entry['id']!r}, which {CLASS_TABLE.name} gives no class")
            class_name = classes[entry["id"]]
            held_out = seen[class_name] % HELD_OUT_PERIOD == HELD_OUT_PERIOD - 1
            seen[class_name] += 1
            furniture.append(
                Furniture(
                    id=entry["id"],
                    name=entry["name"],
                    category=entry["category"],
                    class_name=class_name,
                    held_out=held_out,
                    size_m=tuple(float(entry[side]) / 100 for side in ("width", "depth", "height")),
                    elevation_m=float(entry.get("elevation", 0)) / 100,
                    archive=archive.name,
                    path=entry["model"].lstrip("/"),
                    rotation=tuple(float(value) for value in entry.get("modelRotation", "").split()) or IDENTITY,
                )
            )
    return furniture


def _entries(archive: Path) -> list[dict[str, str]]:
    """The catalogue of one library, whose lines read ``key#number=value``."""
    try:
        with zipfile.ZipFile(archive) as file:
            lines = file.read(PROPERTIES).decode("latin-1").splitlines()
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{archive} is no furniture library: {error}") from error
    entries: dict[int, dict[str, str]] = {}
    for line in lines:
        key, separator, value = line.partition("=")
        name, _, number = key.strip().partition("#")
        if separator and number.isdigit():
            entries.setdefault(int(number), {})[name] = value.strip()
    return [entries[number] for number in sorted(entries)]
