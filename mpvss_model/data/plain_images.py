"""A folder that holds images and nothing else that counts: photographs, or the frames of a video."""

from __future__ import annotations

from pathlib import Path

from mpvss_model.config import DecodingConfig
from mpvss_model.data.clip import Clip, ClipSet
from mpvss_model.data.folder import RATE_HZ
from mpvss_model.data.image_files import IMAGE_SUFFIXES, FileFrames, class_index_table, files_by_stem

__all__ = ["holds_images", "is_data_set", "open_images"]


# What data sets begin with, which may hold an image besides.
LAYOUT_FOLDERS = ("images", "*/images", "data", "gtFine", "leftImg8bit_sequence")


def is_data_set(folder: Path) -> bool:
    """Whether a folder has what one of the layouts of data sets begins with."""
    return any(any(folder.glob(pattern)) for pattern in LAYOUT_FOLDERS)


def holds_images(folder: Path) -> bool:
    """Whether images lie in a folder itself, and it is no data set."""
    if not folder.is_dir() or is_data_set(folder):
        return False
    return any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.iterdir())


def open_images(folder: Path, *, decoding: DecodingConfig | None = None) -> ClipSet:
    """A folder's images as one clip without labels, in natural order of their names.

    Args:
        folder: That holds them.
        decoding: Of the images; by default with the limits of `DecodingConfig`.

    Raises:
        DataError: If there are none, or two that differ in their suffix only.
    """
    images = list(files_by_stem(folder, IMAGE_SUFFIXES, "a folder of images").values())
    frames = FileFrames(
        images=images,
        labels=[None] * len(images),
        rate_hz=RATE_HZ,
        class_index_of=class_index_table({}),
        decoding=decoding,
    )
    return ClipSet(str(folder), None, (Clip(folder.resolve().name, frames),))
