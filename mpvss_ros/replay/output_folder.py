"""A folder of results that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from mpvss_model import DataError

__all__ = ["check_output_folder", "output_folder"]


def check_output_folder(path: Path) -> None:
    """Find out early, before hours of work, whether results can go to a folder. Leaves nothing.

    Raises:
        DataError: If there is something else at ``path``, or nothing can be written there.
    """
    with _errors_named(path):
        _make_unfinished(path).rmdir()


@contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """A folder to write files to, which go to ``path`` when the block ends; if it ends with an error, nothing does.

    Args:
        path: May exist; other files in it stay, those of the same names are replaced.

    Raises:
        DataError: If nothing can be written there.
    """
    with _errors_named(path):
        unfinished = _make_unfinished(path)
        try:
            # The temporary folder itself is for nobody else's eyes; this one has the user's usual permissions.
            folder = unfinished / "results"
            folder.mkdir()
            yield folder
            _put_in_place(folder, path)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _make_unfinished(path: Path) -> Path:
    """A new folder on the file system of ``path``, so that its contents can be moved there at once."""
    place = path.absolute()
    while True:
        try:
            place.lstat()
        except FileNotFoundError:
            place = place.parent
        else:
            return Path(mkdtemp(prefix=".unfinished-", dir=place))


def _put_in_place(folder: Path, path: Path) -> None:
    if not path.exists():
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        folder.rename(path)
        return
    for file in folder.iterdir():
        os.replace(file, path / file.name)


@contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = "there is a file" if isinstance(error, NotADirectoryError) else error.strerror
        raise DataError(f"cannot write results to {str(path)!r}: {reason}; choose another folder with --out") from error
