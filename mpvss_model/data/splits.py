"""The parts of a data set, and how a user names one."""

from __future__ import annotations

from pathlib import Path

from mpvss_model.errors import ConfigError

__all__ = ["ALL_CLIPS", "evaluated_split", "path_and_split"]

# Names every clip of a plain folder, whatever its lists say.
ALL_CLIPS = "all"
# Never what a model was trained on; the first that there is.
EVALUATED = ("val", "test")


def path_and_split(location: str, split: str | None = None) -> tuple[Path, str | None]:
    """What a user calls a source -> its path and the split that is named, if any.

    >>> path_and_split("data/camvid:val")
    (PosixPath('data/camvid'), 'val')

    Args:
        location: A path, or ``FOLDER:SPLIT``. A file or folder may have a colon in its name.
        split: Named apart from the location.

    Raises:
        ConfigError: If two splits are named.
    """
    if Path(location).exists() or ":" not in location:
        return Path(location), split or None
    folder, named = location.rsplit(":", 1)
    if split and split != named:
        raise ConfigError(f"{location!r} names the split {named!r}, and the split {split!r} is given, too: give one")
    return Path(folder), named or None


def evaluated_split(root: Path) -> str | None:
    """The part of a data set that a model is measured on where none is named; None if it has no such parts."""
    if (root / "images").is_dir():  # a single clip, whatever lists lie beside it
        return None
    return next((name for name in EVALUATED if _has(root, name)), None)


def _has(root: Path, split: str) -> bool:
    return (root / "gtFine" / split).is_dir() or _lists_clips(root / f"{split}.txt")


def _lists_clips(path: Path) -> bool:
    """Whether a file is a list of clips: text, or at least something that names a clip which is there."""
    if not path.is_file():
        return False
    content = path.read_bytes()
    try:
        content.decode()
    except UnicodeDecodeError:
        found = {entry.name.encode() for entry in path.parent.iterdir() if entry.is_dir()}
        return any(line.strip() in found for line in content.splitlines())
    return True
