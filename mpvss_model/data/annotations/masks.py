"""Label images of any kind beside images: grey values, palettes or colours, under the images' names or others.

::

    images/a/0001.jpg  masks/a/0001.png            folders of one shape; also labels, gt, SegmentationClass, ...
    a/0001.jpg         a/0001_mask.png             beside each other; also _label, _gt, _L, ...
    labelmap.txt, label_colors.txt or classes.txt  optional: what values or colours mean
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from mpvss_model.data.annotations.annotation_set import AnnotatedImage, AnnotationSet, NamedLabel
from mpvss_model.data.annotations.class_choice import class_entries_of_file, hex_color, of_values
from mpvss_model.data.annotations.pixels import read_values
from mpvss_model.data.annotations.source_images import SourceImages, files_below, split_named
from mpvss_model.errors import DataError

__all__ = ["has_masks", "open_masks"]

MASK_FOLDERS = {
    "masks", "mask", "labels", "label", "annotations", "annotation", "gt", "ground_truth", "groundtruth", "segmentationclass",
    "semantic", "segmentation", "seg",
}  # fmt: skip
IMAGE_FOLDERS = {"images", "image", "imgs", "img", "jpegimages", "frames", "rgb", "color", "leftimg8bit"}
# Of other kinds of ground truth, which exports put beside the classes.
OTHER_FOLDERS = {"segmentationobject", "instances", "depth", "flow"}
MASK_ENDINGS = (
    "_mask", "-mask", "_masks", "_label", "_labels", "_labelids", "_gt", "_seg", "_segmentation", "_semantic",
)  # fmt: skip
# As it stands: ``_l`` is the left image of a pair.
CAMVID_ENDING = "_L"
MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")
# JPEGs are found, too, to be refused.
MASK_LIKE_SUFFIXES = (*MASK_SUFFIXES, ".jpg", ".jpeg")
TABLES = ("labelmap.txt", "label_colors.txt", "classes.txt")
Key = tuple[str, ...]


def has_masks(source: Path) -> bool:
    """Whether a folder holds files that look like label images."""
    return source.is_dir() and any(_mask_key(path.relative_to(source)) for path in files_below(source, MASK_LIKE_SUFFIXES))


def open_masks(source: Path, images: Path | None, on_top: str) -> AnnotationSet:
    """Pair images with label images by their names.

    Args:
        source: Folder of both, or of the label images.
        images: Folder of the images, if it is another one; there, names alone tell.
        on_top: Without effect: label images do not overlap.

    Raises:
        DataError: If a label image has no image, or an image two, or there are none.
    """
    masks = _masks_by_key(source, has_images=images is None)
    if not masks:
        raise DataError(
            f"{source} holds no label images: PNGs in a folder such as masks, labels or SegmentationClass, or beside the "
            "images with an ending such as _mask, _label or _gt"
        )
    names = _names_by_value(source)
    mask_paths = set(masks.values())
    found = SourceImages(images or source)
    annotated = []
    for path in found.paths:
        place = path.relative_to(found.root)
        if path in mask_paths or _is_other(place):
            continue
        mask = masks.pop(_image_key(place), None)
        read = partial(_label, mask, names) if mask else None
        folder = found.folder_of(path)
        annotated.append(AnnotatedImage(path, folder, split_named(folder), mask or path, read))
    if masks:
        orphan = next(iter(masks.values()))
        raise DataError(
            f"{orphan} has no image of that name in {found.root} ({len(masks)} such label images); add it, or delete it"
        )
    declared = tuple(dict.fromkeys(names.values())) if names else None
    return AnnotationSet(tuple(annotated), declared, is_complete=True)


def _masks_by_key(source: Path, *, has_images: bool) -> dict[Key, Path]:
    masks: dict[Key, Path] = {}
    for path in files_below(source, MASK_LIKE_SUFFIXES):
        place = path.relative_to(source)
        key = _mask_key(place) or (None if has_images or _is_other(place) else _image_key(place))
        if key is None:
            continue
        if path.suffix.lower() not in MASK_SUFFIXES:
            raise DataError(f"label image {path} is a JPEG, which changes values; export label images as PNG")
        if key in masks:
            raise DataError(f"{masks[key]} and {path} are label images of one image; delete one of them")
        masks[key] = path
    return masks


def _mask_key(place: Path) -> Key | None:
    """By what a label image is found; None for other files."""
    folders = place.parts[:-1]
    is_inside = any(folder.lower() in MASK_FOLDERS for folder in folders)
    ending = next((ending for ending in MASK_ENDINGS if place.stem.lower().endswith(ending)), "")
    ending = ending or CAMVID_ENDING * place.stem.endswith(CAMVID_ENDING)
    if (not is_inside and not ending) or _is_other(place):
        return None
    stem = place.stem[: -len(ending)] if ending else place.stem
    return (*(folder for folder in folders if folder.lower() not in MASK_FOLDERS), stem)


def _image_key(place: Path) -> Key:
    return (*(folder for folder in place.parts[:-1] if folder.lower() not in IMAGE_FOLDERS), place.stem)


def _is_other(place: Path) -> bool:
    return any(folder.lower() in OTHER_FOLDERS for folder in place.parts[:-1])


def _names_by_value(source: Path) -> dict[str, str]:
    """Class names by value or colour, from the table that an export may have; empty without one. Unlabeled is no name."""
    path = next((source / name for name in TABLES if (source / name).is_file()), None)
    if path is None:
        return {}
    return {entry.source: entry.name or "__ignore__" for entry in of_values(class_entries_of_file(path))}


def _label(path: Path, names: dict[str, str]) -> NamedLabel:
    values = read_values(path)
    is_color = values.ndim == 3
    if is_color:
        values = values[..., 0] << 16 | values[..., 1] << 8 | values[..., 2]
    present, indices = np.unique(values, return_inverse=True)
    keys = [hex_color(value >> 16, value >> 8 & 255, value & 255) if is_color else str(value) for value in present.tolist()]
    # Values that the table does not have keep their own names, which nobody chose: the error says which.
    return NamedLabel(indices.reshape(values.shape).astype(np.int32), tuple(names.get(key, key) for key in keys))
