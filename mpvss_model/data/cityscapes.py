"""Cityscapes video sequences: 30-frame snippets, the 20th frame of each finely labelled (Cordts et al., CVPR 2016)."""

from __future__ import annotations

from pathlib import Path

from mpvss_model.config import DecodingConfig
from mpvss_model.data.clip import Clip, ClipSet
from mpvss_model.data.image_files import FileFrames, class_index_table, files_by_stem
from mpvss_model.errors import DataError
from mpvss_model.semantics import UNLABELED

__all__ = ["CITYSCAPES_CLASSES", "open_cityscapes"]

LAYOUT = (
    "the Cityscapes layout: leftImg8bit_sequence/<split>/<city>/<city>_<sequence>_<frame>_leftImg8bit.png and "
    "gtFine/<split>/<city>/<city>_<sequence>_<frame>_gtFine_labelIds.png"
)
RATE_HZ = 17.0
SNIPPET_FRAMES = 30
LABELLED_FRAME = 19
LABEL_SUFFIX = "_gtFine_labelIds"
IMAGE_SUFFIX = "_leftImg8bit.png"
# The classes that are evaluated, in the order of their train ids, with the values they have in the label images.
CLASS_VALUES = {
    "road": 7,
    "sidewalk": 8,
    "building": 11,
    "wall": 12,
    "fence": 13,
    "pole": 17,
    "traffic light": 19,
    "traffic sign": 20,
    "vegetation": 21,
    "terrain": 22,
    "sky": 23,
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
CITYSCAPES_CLASSES = tuple(CLASS_VALUES)
CLASS_INDEX_OF = class_index_table(
    {value: UNLABELED for value in range(34)} | {value: i for i, value in enumerate(CLASS_VALUES.values())}
)


def open_cityscapes(root: str | Path, split: str = "val", *, decoding: DecodingConfig | None = None) -> ClipSet:
    """One clip around each labelled frame of ``<root>/gtFine/<split>``.

    Args:
        root: Of the data set.
        split: ``train``, ``val`` or ``test``.
        decoding: Of images and label images; by default with the limits of `DecodingConfig`.

    Raises:
        DataError: If a file is missing; it names the first.
    """
    root = Path(root)
    labels_root = root / "gtFine" / split
    if not labels_root.is_dir():
        raise DataError(f"{labels_root} is missing; expected {LAYOUT}")
    cities = sorted(path for path in labels_root.iterdir() if path.is_dir())
    images_root = root / "leftImg8bit_sequence" / split
    clips = tuple(clip for city in cities for clip in _city_clips(city, images_root / city.name, decoding))
    if not clips:
        raise DataError(f"{labels_root} holds no *{LABEL_SUFFIX}.png; expected {LAYOUT}")
    return ClipSet(f"Cityscapes {split} ({root})", CITYSCAPES_CLASSES, clips, split)


def _city_clips(labels_folder: Path, images_folder: Path, decoding: DecodingConfig | None) -> list[Clip]:
    labels = files_by_stem(labels_folder, (".png",), LAYOUT)
    present = {path.name for path in files_by_stem(images_folder, (".png",), LAYOUT).values()}
    clips = []
    for stem, label in labels.items():
        if not stem.endswith(LABEL_SUFFIX):
            continue
        name = stem.removesuffix(LABEL_SUFFIX)
        sequence, _, frame = name.rpartition("_")
        if not frame.isdigit():
            raise DataError(f"{label} names no frame; expected {LAYOUT}")
        first = int(frame) - LABELLED_FRAME
        images = [f"{sequence}_{first + i:06d}{IMAGE_SUFFIX}" for i in range(SNIPPET_FRAMES)]
        missing = next((image for image in images if image not in present), None)
        if missing:
            raise DataError(f"{images_folder / missing} is missing; expected {LAYOUT}")
        frames = FileFrames(
            images=[images_folder / image for image in images],
            labels=[label if i == LABELLED_FRAME else None for i in range(SNIPPET_FRAMES)],
            rate_hz=RATE_HZ,
            class_index_of=CLASS_INDEX_OF,
            decoding=decoding,
        )
        clips.append(Clip(name, frames))
    return clips
