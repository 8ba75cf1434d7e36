"""COCO JSON: polygons and run lengths, read by ``pycocotools``, and panoptic label images (Lin et al., ECCV 2014).

As CVAT, Label Studio, Roboflow, labelme2coco and others export it: one file, or one for each split.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from mpvss_model.data.annotations.annotation_set import IGNORED, AnnotatedImage, AnnotationSet, NamedLabel
from mpvss_model.data.annotations.pixels import read_values
from mpvss_model.data.annotations.shapes import Shape, drawn
from mpvss_model.data.annotations.source_images import SourceImages, files_below, natural_order, split_in_words, split_named
from mpvss_model.errors import ConfigError, DataError, first_line
from mpvss_model.text_files import read_json_object

__all__ = ["is_coco", "open_coco"]

KEYS = {"images", "annotations", "categories"}
# Beginning and end of a file are enough to tell, and some of these files have hundreds of megabytes.
TOLD_BY_BYTES = 1 << 16
Json = dict[str, Any]


def is_coco(source: Path) -> bool:
    """Whether a file, or one in a folder, is COCO JSON."""
    files = files_below(source, (".json",)) if source.is_dir() else [source] * (source.suffix.lower() == ".json")
    return any(_could_be_coco(path) for path in files)


def open_coco(source: Path, images: Path | None, on_top: str) -> AnnotationSet:
    """Read the JSON files, not yet their shapes.

    Args:
        source: A JSON file, or a folder with one or several.
        images: Folder of the images, if it is not that of ``source``; those that no file names are frames without labels.
        on_top: Which of overlapping areas is seen, see `shapes.ON_TOP`.

    Raises:
        ConfigError: If ``pycocotools`` is not installed.
        DataError: If a file is broken, an image is missing or in two files, or there are no categories.
    """
    if find_spec("pycocotools") is None:
        raise ConfigError("COCO files are read by pycocotools, which is not installed: pip install -r requirements-train.txt")
    files = _coco_files(source) if source.is_dir() else [source]
    if not files:
        raise DataError(f"{source} holds no COCO file: a .json with {', '.join(sorted(KEYS))}")
    found = SourceImages(images or (source if source.is_dir() else _images_root(source)))
    readers = [_CocoFile(path, read_json_object(path), on_top) for path in files]
    names = tuple(dict.fromkeys(name for reader in readers for name in reader.declared_names()))
    left_out: Counter[str] = Counter()
    annotated: dict[Path, AnnotatedImage] = {}
    for reader in readers:
        for image in reader.images(found, names, left_out):
            if image.path in annotated:
                raise DataError(f"{image.path} is in both {annotated[image.path].source} and {reader.path}; give one of them")
            annotated[image.path] = image
    for path in found.paths if images else ():
        folder = found.folder_of(path)
        annotated.setdefault(path, AnnotatedImage(path, folder, split_named(folder), path))
    is_panoptic = all(reader.is_panoptic for reader in readers)
    ordered = sorted(annotated.values(), key=lambda image: natural_order(image.path))
    return AnnotationSet(tuple(ordered), names, is_panoptic, left_out)


class _CocoFile:
    """One JSON file."""

    def __init__(self, path: Path, content: Json, on_top: str) -> None:
        self.path = path
        self._content = content
        self._on_top = on_top
        missing = sorted(KEYS - content.keys())
        if missing or not all(isinstance(content[key], list) and content[key] for key in ("images", "categories")):
            raise DataError(f"{path} has no {', '.join(missing) or 'images or categories'}; expected a COCO file")
        self._name_of = {
            self._get(category, "id", "category"): str(self._get(category, "name", "category")).strip()
            for category in content["categories"]
        }
        self._of_image: dict[Any, list[Json]] = {}
        for annotation in content["annotations"]:
            self._of_image.setdefault(self._get(annotation, "image_id", "annotation"), []).append(annotation)

    @property
    def is_panoptic(self) -> bool:
        """Whether the annotations are label images of segments."""
        return any("segments_info" in annotation for annotation in self._content["annotations"])

    def declared_names(self) -> list[str]:
        """Of all categories by id, but the group that Roboflow puts above them, which nothing belongs to."""
        categories = sorted(self._content["categories"], key=lambda category: category["id"])
        groups = {
            category.get("supercategory") for category in categories if category.get("supercategory") != category["name"]
        }
        segments = (
            part for annotation in self._content["annotations"] for part in annotation.get("segments_info", [annotation])
        )
        used = {segment.get("category_id") for segment in segments}
        return [self._name_of[c["id"]] for c in categories if c["id"] in used or c["name"] not in groups]

    def images(self, found: SourceImages, names: tuple[str, ...], left_out: Counter[str]) -> list[AnnotatedImage]:
        """All images of the file; those without annotations have no label."""
        split = split_in_words(self.path.stem)
        images = []
        for entry in self._content["images"]:
            path = found.find(str(self._get(entry, "file_name", "image")), self.path)
            annotations = self._of_image.get(self._get(entry, "id", "image"))
            folder = found.folder_of(path)
            read = None
            if annotations and "segments_info" in annotations[0]:
                read = partial(self._panoptic, annotations[0], names)
            elif annotations:
                read = partial(self._shapes, entry, annotations, names, left_out)
            images.append(AnnotatedImage(path, folder, split or split_named(folder), self.path, read))
        return images

    def _shapes(self, image: Json, annotations: list[Json], names: tuple[str, ...], left_out: Counter[str]) -> NamedLabel:
        height, width = (int(self._get(image, key, "image")) for key in ("height", "width"))
        shapes = []
        for annotation in annotations:
            index = names.index(self._category(annotation))
            area = self._area(annotation, height, width)
            if area is None:
                left_out["annotations without a segmentation (their boxes are unlabeled)"] += 1
                index, area = IGNORED, _box(annotation.get("bbox") or (0, 0, 0, 0), height, width)
            shapes.append(Shape(area, index))
        return NamedLabel(drawn(shapes, height, width, self._on_top), names)

    def _area(self, annotation: Json, height: int, width: int) -> np.ndarray | None:
        """The area, bool ``[H, W]``; None if there is no segmentation."""
        from pycocotools import mask

        segmentation = annotation.get("segmentation")
        if not segmentation:
            return None
        where = f"{self.path}: annotation {annotation.get('id')}"
        try:
            if isinstance(segmentation, Mapping):
                if list(segmentation["size"]) != [height, width]:
                    raise DataError(f"{where} is of {segmentation['size']} (height, width), its image of {[height, width]}")
                runs = segmentation if isinstance(segmentation["counts"], (str, bytes)) else None
                return mask.decode(runs or mask.frPyObjects(segmentation, height, width)).astype(bool)
            polygons = [[float(number) for number in polygon] for polygon in segmentation]
            if any(len(polygon) % 2 for polygon in polygons):
                raise DataError(f"{where} has a polygon of an odd number of coordinates; expected x, y, x, y, ...")
            # Two points are no area, and four numbers would be taken for a box.
            polygons = [polygon for polygon in polygons if len(polygon) >= 6]
            if not polygons:
                return None
            return mask.decode(mask.merge(mask.frPyObjects(polygons, height, width))).astype(bool)
        except DataError:
            raise
        except Exception as error:  # pycocotools raises what C and numpy do
            raise DataError(f"{where} has a segmentation that is neither polygons nor RLE: {first_line(error)}") from error

    def _panoptic(self, annotation: Json, names: tuple[str, ...]) -> NamedLabel:
        """From the PNG whose colours are the segments' ids, in a folder that is called like the JSON file."""
        name = str(self._get(annotation, "file_name", "annotation"))
        folders = (self.path.with_suffix(""), self.path.parent, self.path.parent / "panoptic")
        path = next((folder / name for folder in folders if (folder / name).is_file()), None)
        if path is None:
            raise DataError(f"{self.path} names the panoptic image {name!r}, which is not in {folders[0]}")
        values = read_values(path)
        if values.ndim == 3:
            values = values[..., 0] + values[..., 1] * 256 + values[..., 2] * 65536
        index_of = {self._get(s, "id", "segment"): names.index(self._category(s)) for s in annotation["segments_info"]}
        ids, places = np.unique(values, return_inverse=True)
        unknown = [int(i) for i in ids if i and int(i) not in index_of]
        if unknown:
            raise DataError(f"{path} holds the segments {unknown[:5]}, which {self.path} does not have")
        indices = np.array([index_of.get(int(i), IGNORED) for i in ids], np.int32)  # 0 is what nobody annotated
        return NamedLabel(indices[places.reshape(values.shape)], names)

    def _category(self, annotation: Json) -> str:
        category = self._get(annotation, "category_id", "annotation")
        if category not in self._name_of:
            raise DataError(f"{self.path}: annotation {annotation.get('id')} is of category {category}, which is not declared")
        return self._name_of[category]

    def _get(self, entry: Any, key: str, what: str) -> Any:
        if not isinstance(entry, Mapping) or key not in entry:
            raise DataError(f"{self.path}: an entry of kind {what} has no {key!r}: {str(entry)[:80]}")
        return entry[key]


def _box(bbox: Any, height: int, width: int) -> np.ndarray:
    x, y, box_width, box_height = (float(value) for value in bbox)
    area = np.zeros((height, width), bool)
    area[max(0, int(y)) : int(np.ceil(y + box_height)), max(0, int(x)) : int(np.ceil(x + box_width))] = True
    return area


def _coco_files(folder: Path) -> list[Path]:
    return [path for path in files_below(folder, (".json",)) if _is_coco_file(path)]


def _could_be_coco(path: Path) -> bool:
    try:
        return _is_coco_file(path)
    except DataError:
        return False


def _is_coco_file(path: Path) -> bool:
    """Parsed if it is small; else whether its beginning or end has one of the keys, and not those of LabelMe."""
    if path.stat().st_size <= TOLD_BY_BYTES:
        return read_json_object(path).keys() >= KEYS
    with path.open("rb") as file:
        ends = file.read(TOLD_BY_BYTES)
        file.seek(-TOLD_BY_BYTES, os.SEEK_END)
        ends += file.read()
    return b'"imagePath"' not in ends and any(f'"{key}"'.encode() in ends for key in ("images", "categories"))


def _images_root(file: Path) -> Path:
    """Beside a JSON file, or, if it lies in a folder of annotations, above."""
    return file.parent.parent if file.parent.name.lower() in ("annotations", "labels", "json") else file.parent
