"""Plain folders of frames, for data of one's own.

::

    <root>/classes.txt                   optional: one class name per line, in the order of the class indices; UTF-8. A model
                                         with the same classes in another order is matched by name
    <root>/train.txt, val.txt, ...       optional: the clips of a split, one name per line
    <root>/<clip>/images/*.jpg or *.png  the frames, in natural order of their names
    <root>/<clip>/labels/*.png           optional: 8-bit label images named like their frames; class indices, 255 for unlabeled
    <root>/<clip>/instances/*.png        optional: 8- or 16-bit images of the same names: the number that a single thing has in
                                         all frames of the clip, 0 for none. Of stuff, such as walls, numbers mean nothing

A root that holds ``images`` itself is a single clip.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mpvss_model.config import DecodingConfig
from mpvss_model.data.clip import Clip, ClipSet
from mpvss_model.data.image_files import IMAGE_SUFFIXES, FileFrames, class_index_table, files_by_stem, listed_names
from mpvss_model.data.splits import ALL_CLIPS
from mpvss_model.errors import DataError
from mpvss_model.semantics import UNLABELED

__all__ = ["open_folder"]

LAYOUT = (
    "the folder layout: <clip>/images/*.jpg or *.png, and optionally <clip>/labels/*.png of the same names and classes.txt"
)
RATE_HZ = 15.0


def open_folder(root: str | Path, split: str | None = None, *, decoding: DecodingConfig | None = None) -> ClipSet:
    """The clips that ``<root>/<split>.txt`` lists, or all where no split is named.

    Args:
        root: Of the data set.
        split: Name of the list, without suffix; ``all`` for every clip, unless there is a list of that name.
        decoding: Of images and label images; by default with the limits of `DecodingConfig`.

    Raises:
        DataError: If a file is missing; it names the first.
    """
    root = Path(root)
    class_names = tuple(listed_names(root / "classes.txt", LAYOUT)) if (root / "classes.txt").exists() else None
    if class_names is not None and len(class_names) > UNLABELED:
        raise DataError(f"{root / 'classes.txt'} lists {len(class_names)} classes; a label image holds at most {UNLABELED}")
    class_index_of = class_index_table({i: i for i in range(UNLABELED if class_names is None else len(class_names))})
    clips = tuple(Clip(folder.name, _frames(folder, class_index_of, decoding)) for folder in _clip_folders(root, split))
    return ClipSet(f"{root} {split}" if split else str(root), class_names, clips, split)


def _clip_folders(root: Path, split: str | None) -> list[Path]:
    if split and (split != ALL_CLIPS or (root / f"{split}.txt").exists()):
        return [root / name for name in listed_names(root / f"{split}.txt", LAYOUT)]
    if (root / "images").is_dir():
        return [root]
    folders = sorted(path.parent for path in root.glob("*/images"))
    if not folders:
        raise DataError(f"{root} holds no <clip>/images; expected {LAYOUT}")
    return folders


def _frames(clip: Path, class_index_of: np.ndarray, decoding: DecodingConfig | None) -> FileFrames:
    images = files_by_stem(clip / "images", IMAGE_SUFFIXES, LAYOUT)
    labels, instances = (
        files_by_stem(clip / kind, (".png",), LAYOUT) if (clip / kind).is_dir() else {} for kind in ("labels", "instances")
    )
    orphan = next((path for path in (*labels.values(), *instances.values()) if path.stem not in images), None)
    if orphan:
        raise DataError(f"{orphan} has no frame of that name in {clip / 'images'}; expected {LAYOUT}")
    return FileFrames(
        images=list(images.values()),
        labels=[labels.get(stem) for stem in images],
        instances=[instances.get(stem) for stem in images],
        rate_hz=RATE_HZ,
        class_index_of=class_index_of,
        decoding=decoding,
    )
