"""The layouts of data sets by name."""

from __future__ import annotations

from pathlib import Path

from mpvss_model.config import DecodingConfig
from mpvss_model.data.cityscapes import open_cityscapes
from mpvss_model.data.clip import ClipSet
from mpvss_model.data.folder import open_folder
from mpvss_model.data.vspw import open_vspw
from mpvss_model.errors import ConfigError, DataError

__all__ = ["LAYOUTS", "open_clips"]

LAYOUTS = {"vspw": open_vspw, "cityscapes": open_cityscapes, "folder": open_folder}


def open_clips(
    root: str | Path, *, layout: str = "auto", split: str | None = None, decoding: DecodingConfig | None = None
) -> ClipSet:
    """The clips of a data set; their frames are read when asked for.

    Args:
        root: Its folder.
        layout: One of `LAYOUTS`, or ``auto`` to tell by what the folder holds.
        split: Which part, by default the validation set of a benchmark and all of a plain folder.
        decoding: Of images and label images; by default with the limits of `DecodingConfig`.

    Raises:
        DataError: If a file is missing; it names the first and the layout that was expected.
        ConfigError: If there is no such layout.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"no data set at {root}: give a folder in one of the layouts {', '.join(LAYOUTS)}")
    if layout == "auto":
        layout = _layout_of(root)
    if layout not in LAYOUTS:
        raise ConfigError(f"unknown data layout {layout!r}; expected auto, {', '.join(LAYOUTS)}")
    return LAYOUTS[layout](root, *([split] if split else []), decoding=decoding)


def _layout_of(root: Path) -> str:
    if (root / "gtFine").is_dir() or (root / "leftImg8bit_sequence").is_dir():
        return "cityscapes"
    if (root / "data").is_dir() and not (root / "data" / "images").is_dir():
        return "vspw"
    return "folder"
