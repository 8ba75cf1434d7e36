"""Which sources a user means by folders and patterns."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mpvss_model.data import path_and_split
from mpvss_model.data.plain_images import holds_images, is_data_set
from mpvss_model.errors import DataError
from mpvss_ros.bags.bag_files import BAG_SUFFIXES, METADATA, is_bag_file, is_bag_folder

__all__ = ["GivenSources", "fingerprint", "found_sources", "plain_name"]


@dataclass(frozen=True)
class GivenSources:
    """What a command line names.

    Attributes:
        locations: Of all sources, each once, absolute where there are several; ``FOLDER:SPLIT`` for a part of a data set.
        are_several: Whether there may be several: also where a folder of bags holds one so far.
    """

    locations: tuple[str, ...]
    are_several: bool


def found_sources(given: Sequence[str], *, leave_out: Path | None = None) -> GivenSources:
    """Bags, folders of images and data sets; for a folder of bags, at any depth, its bags; for a pattern, what fits it.

    Args:
        given: At least one.
        leave_out: Folder that results go to, in which no sources are looked for.

    Raises:
        DataError: If nothing fits a pattern.
    """
    are_several = len(given) > 1
    locations: dict[str, str] = {}
    for text in given:
        fitting = _fitting(text)
        are_several |= fitting != [text]
        for location in fitting:
            bags = _bags_in(Path(location), leave_out)
            are_several |= bool(bags)
            for source in bags or [location]:
                locations.setdefault(_place(source), source)
    if are_several:  # what was done with each is kept for other starts, perhaps from elsewhere
        locations = {place: _absolute(source) for place, source in locations.items()}
    return GivenSources(tuple(locations.values()), are_several)


def plain_name(location: str) -> str:
    """What a source is called if no other is called the same: its folder or file, and the part of it."""
    path, split = path_and_split(location)
    name = path.resolve().name
    if path.is_file():
        name = next((name.removesuffix(suffix) for suffix in (*BAG_SUFFIXES, ".bag") if name.endswith(suffix)), name)
    return f"{name}-{split}" if split else name


def fingerprint(location: str) -> str:
    """Changes with a bag's files; of other sources, with the folder's own entries only."""
    path, _ = path_and_split(location)
    files = sorted(path.iterdir()) if is_bag_folder(path) else [path]
    stats = [(file.name, file.stat(), file.is_file()) for file in files if file.exists()]
    return repr([(name, stat.st_size if is_file else 0, stat.st_mtime_ns) for name, stat, is_file in stats])


def _fitting(text: str) -> list[str]:
    """The location itself, if there is something or it is no pattern."""
    if not glob.has_magic(text) or path_and_split(text)[0].exists():
        return [text]
    fitting = sorted(glob.glob(text, recursive=True))
    if not fitting:
        raise DataError(f"nothing fits {text!r}: give bags, folders of images or data sets, or a pattern such as 'drives/*'")
    return fitting


def _absolute(location: str) -> str:
    path, split = path_and_split(location)
    return f"{path.absolute()}:{split}" if split else str(path.absolute())


def _place(location: str) -> str:
    path, split = path_and_split(location)
    return f"{path.resolve()}:{split or ''}"


def _bags_in(folder: Path, leave_out: Path | None) -> list[str]:
    """The bags of a folder of bags, sorted; none if it is a source itself, or has none."""
    if not folder.is_dir() or _is_one_bag(folder) or holds_images(folder) or is_data_set(folder):
        return []
    bags = []
    for place, folders, files in os.walk(folder, followlinks=True):
        here = Path(place)
        if leave_out is not None and here.resolve() == leave_out.resolve():
            folders.clear()
        elif here != folder and _is_one_bag(here):
            bags.append(place)
            folders.clear()
        else:
            bags += [str(here / name) for name in files if is_bag_file(Path(name)) and not name.startswith(".")]
            folders[:] = [name for name in folders if not name.startswith(".")]
    return sorted(bags)


def _is_one_bag(folder: Path) -> bool:
    """Whether a folder is one recording, perhaps without ``metadata.yaml``: its files then are called like it."""
    if not is_bag_folder(folder):
        return False
    files = [path.name for path in folder.iterdir() if path.name.endswith(BAG_SUFFIXES)]
    return (folder / METADATA).is_file() or all(name.startswith((f"{folder.name}_", f"{folder.name}.")) for name in files)
