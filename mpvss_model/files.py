"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` make a file beside ``path``, then put it in place."""
    unfinished = path.with_name(f".unfinished-{path.name}")
    write(unfinished)
    os.replace(unfinished, path)
