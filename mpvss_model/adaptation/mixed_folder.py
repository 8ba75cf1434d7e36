"""The labelled data set that comes into every batch, with a part held back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from mpvss_model.adaptation.split import HELD_BACK, TAUGHT, split_names
from mpvss_model.data import ClipSet, in_classes_of, open_clips
from mpvss_model.errors import DataError
from mpvss_model.text_files import read_text

__all__ = ["check_mixed", "write_mixed_folder"]


def check_mixed(folder: Path, class_names: tuple[str, ...], student: str) -> ClipSet:
    """The clips of a labelled folder of the student's classes that have labels.

    Args:
        folder: In the folder layout of `mpvss_model.data`.
        class_names: Of the student.
        student: Its name.

    Raises:
        DataError: If it has other classes, or no frame with a label.
    """
    clips = in_classes_of(open_clips(folder, layout="folder"), class_names, student)
    labelled = tuple(clip for clip in clips.clips if any(frame.is_labelled for frame in clip.frames))
    if not labelled:
        raise DataError(f"{str(folder)!r} has images without labels: mix in a labelled folder, such as 'mpvss rooms' writes")
    split_names([clip.name for clip in labelled])
    return ClipSet(clips.name, class_names, labelled)


def write_mixed_folder(source: Path, clips: ClipSet, folder: Path) -> None:
    """A folder with links to the clips of another one, divided into clips to teach with and clips that are held back.

    Where the other folder has lists ``train.txt`` and ``val.txt`` itself, the parts are those.

    Args:
        source: The labelled folder.
        clips: What `check_mixed` made of it.
        folder: Made anew.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if (source / "classes.txt").is_file():
        shutil.copyfile(source / "classes.txt", folder / "classes.txt")
    for part, names in zip((TAUGHT, HELD_BACK), _parts(source, clips), strict=True):
        (folder / f"{part}.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        for name in names:
            os.symlink((source / name).resolve(), folder / name)


def _parts(source: Path, clips: ClipSet) -> tuple[Sequence[str], Sequence[str]]:
    known = [clip.name for clip in clips.clips]
    lists = [source / f"{part}.txt" for part in (TAUGHT, HELD_BACK)]
    if all(path.is_file() for path in lists):
        taught, held_back = (
            [name for name in map(str.strip, read_text(path).splitlines()) if name in known] for path in lists
        )
        if taught and held_back:
            return taught, held_back
    return split_names(known)
