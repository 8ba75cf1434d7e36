"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mpvss_model.errors import DataError, MPVSSError

__all__ = ["full_disk_named", "write_whole"]

FULL = (errno.ENOSPC, errno.EDQUOT)
LEAST_FREE_BYTES = 2**20


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` make a file beside ``path``, then put it in place; if that fails, nothing is left of it."""
    unfinished = path.with_name(f".unfinished-{path.name}")
    try:
        write(unfinished)
        os.replace(unfinished, path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise


@contextmanager
def full_disk_named(folder: Path, way_out: str) -> Iterator[None]:
    """Turn the error of a full disk into one line.

    Args:
        folder: That is written to.
        way_out: Ends the line.

    Raises:
        DataError: If writing failed since there is no space left.
    """
    try:
        yield
    except Exception as error:  # libraries that write files wrap the system's error in their own
        if not (_is_of_full_disk(error) or _is_full(folder, error)):
            raise
        raise DataError(f"no space is left on the disk of {str(folder)!r}: {way_out}") from error


def _is_full(folder: Path, error: Exception) -> bool:
    """Whether a foreign error came while there was no space: some libraries do not say why writing failed."""
    return not isinstance(error, MPVSSError) and folder.is_dir() and shutil.disk_usage(folder).free < LEAST_FREE_BYTES


def _is_of_full_disk(error: BaseException | None) -> bool:
    while error is not None:
        if getattr(error, "errno", None) in FULL or os.strerror(errno.ENOSPC) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
