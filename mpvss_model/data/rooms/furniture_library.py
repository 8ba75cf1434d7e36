"""A folder of meshes that are ready to be drawn, and its catalogue."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath

from mpvss_model.data.rooms.catalogue import Furniture, read_archives
from mpvss_model.data.rooms.mesh import Mesh, load_mesh, mesh_from_obj, save_mesh
from mpvss_model.errors import DataError

__all__ = ["FurnitureLibrary", "prepare_library"]

CATALOGUE = "catalogue.json"
# A few trees of many megabytes would cost more time than all the rest.
MAX_OBJ_BYTES = 3_000_000
MAX_SIZE_M = 2.7
OUTDOOR_CATEGORIES = ("Vehicles", "Exterior")
MESHES_IN_MEMORY = 300


class FurnitureLibrary:
    """Furniture and its meshes.

    Args:
        folder: As `prepare_library` made it.

    Raises:
        DataError: If it is not such a folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            rows = json.loads((folder / CATALOGUE).read_text(encoding="utf-8"))
            self.furniture = tuple(Furniture(**{name: _tuple(value) for name, value in row.items()}) for row in rows)
        except (OSError, ValueError, TypeError) as error:
            raise DataError(f"{folder} holds no prepared furniture ({error}): remove it, and it is made anew") from error
        self.mesh = lru_cache(maxsize=MESHES_IN_MEMORY)(self._mesh)

    def _mesh(self, furniture: Furniture) -> Mesh:
        return load_mesh(self._folder / _file_name(furniture))


def prepare_library(archives: Path, folder: Path, on_progress: Callable[[int, int], None] | None = None) -> FurnitureLibrary:
    """Make the meshes of all furniture that fits into a room, unless they are there already.

    The catalogue is written last, so that an interrupted call goes on where it was.

    Args:
        archives: Where the Sweet Home 3D libraries are.
        folder: Where the meshes go.
        on_progress: Called with the number of models done and of all.

    Raises:
        DataError: If there are no libraries, or one is broken.
    """
    if (folder / CATALOGUE).is_file():
        return FurnitureLibrary(folder)
    candidates = [item for item in read_archives(archives) if _fits_indoors(item)]
    folder.mkdir(parents=True, exist_ok=True)
    prepared = []
    for done, item in enumerate(candidates, start=1):
        path = folder / _file_name(item)
        if path.is_file() or _prepare(item, archives, path):
            # What is said of files holds no longer.
            prepared.append(asdict(replace(item, archive="", path="")))
        if on_progress is not None:
            on_progress(done, len(candidates))
    partial = folder / (CATALOGUE + ".partial")
    partial.write_text(json.dumps(prepared, indent=1) + "\n", encoding="utf-8")
    partial.rename(folder / CATALOGUE)
    return FurnitureLibrary(folder)


def _prepare(item: Furniture, archives: Path, path: Path) -> bool:
    """Write one mesh. False if the model is too heavy or empty."""
    with zipfile.ZipFile(archives / item.archive) as archive:
        if archive.getinfo(item.path).file_size > MAX_OBJ_BYTES:
            return False
        folder = PurePosixPath(item.path).parent
        try:
            obj = archive.read(item.path)
            mesh = mesh_from_obj(obj, read=lambda name: archive.read(str(folder / name)), rotation=item.rotation)
        except ValueError:
            return False
    partial = path.with_suffix(".partial")
    save_mesh(mesh, partial)
    partial.rename(path)
    return True


def _fits_indoors(item: Furniture) -> bool:
    is_outdoors = item.class_name == "other" and item.category in OUTDOOR_CATEGORIES
    return max(item.size_m) < MAX_SIZE_M and not is_outdoors


def _file_name(item: Furniture) -> str:
    return "".join(c if c.isalnum() else "_" for c in item.id) + ".npz"


def _tuple(value):
    return tuple(value) if isinstance(value, list) else value
