"""LabelMe JSON: a file beside each image, with polygons, rectangles, circles and masks.

LabelMe's own package would bring its user interface along. So its few fields are read here, and areas are drawn as it draws
them: by Pillow, later ones over earlier ones.
"""

from __future__ import annotations

import base64
import io
import math
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from mpvss_model.data.annotations.annotation_set import AnnotatedImage, AnnotationSet, NamedLabel
from mpvss_model.data.annotations.pixels import oriented_size
from mpvss_model.data.annotations.shapes import Shape, drawn
from mpvss_model.data.annotations.source_images import SourceImages, files_below, natural_order, split_named
from mpvss_model.errors import DataError, first_line
from mpvss_model.text_files import read_json_object

__all__ = ["is_labelme", "open_labelme"]

Json = dict[str, Any]
# Shapes that mean no area.
WITHOUT_AREA = ("point", "points", "line", "linestrip")


def is_labelme(source: Path) -> bool:
    """Whether a folder holds LabelMe files."""
    return source.is_dir() and any(_looks_like_labelme(path) for path in files_below(source, (".json",)))


def open_labelme(source: Path, images: Path | None, on_top: str) -> AnnotationSet:
    """Read the JSON files, and find the images that have none.

    Args:
        source: Folder of the JSON files.
        images: Folder of the images, if it is another one.
        on_top: Which of overlapping areas is seen, see `shapes.ON_TOP`.

    Raises:
        DataError: If a file is broken, or an image is missing or in two files.
    """
    found = SourceImages(images or source)
    contents = ((path, read_json_object(path)) for path in files_below(source, (".json",)))
    files = [_LabelMeFile(path, content, on_top) for path, content in contents if _is_content(content)]
    if not files:
        raise DataError(f"{source} holds no LabelMe file: a .json with 'shapes' and 'imagePath'")
    names = tuple(sorted({name for file in files for name in file.names}))
    left_out: Counter[str] = Counter()
    annotated: dict[Path, AnnotatedImage] = {}
    for file in files:
        path = found.find(file.image_name, file.path)
        if path in annotated:
            raise DataError(f"{path} is in both {annotated[path].source} and {file.path}; delete one of them")
        read = partial(file.label, path, names, left_out) if file.names else None
        folder = found.folder_of(path)
        annotated[path] = AnnotatedImage(path, folder, split_named(folder), file.path, read)
    for path in found.paths:
        folder = found.folder_of(path)
        annotated.setdefault(path, AnnotatedImage(path, folder, split_named(folder), path))
    ordered = sorted(annotated.values(), key=lambda image: natural_order(image.path))
    return AnnotationSet(tuple(ordered), names, left_out=left_out)


class _LabelMeFile:
    """One JSON file, without the image that may be in it."""

    def __init__(self, path: Path, content: Json, on_top: str) -> None:
        self.path = path
        self.image_name = str(content["imagePath"])
        self._size = content.get("imageHeight"), content.get("imageWidth")
        self._on_top = on_top
        self._shapes = content["shapes"]
        if not all(isinstance(shape, dict) and isinstance(shape.get("label"), str) for shape in self._shapes):
            raise DataError(f"{path} has a shape without a label; label it, or delete it")
        self.names = {shape["label"].strip() for shape in self._shapes}

    def label(self, image: Path, names: tuple[str, ...], left_out: Counter[str]) -> NamedLabel:
        """The shapes, drawn; points and lines are counted as left out."""
        declared = [int(side) for side in self._size if side]
        height, width = declared if len(declared) == 2 else oriented_size(image)
        shapes = []
        for number, shape in enumerate(self._shapes):
            kind = shape.get("shape_type") or "polygon"
            if kind in WITHOUT_AREA:
                left_out[f"shapes of the type {kind}"] += 1
                continue
            try:
                area = _area(kind, shape, height, width)
            except Exception as error:  # numbers, base64 and images of people's own making
                raise DataError(
                    f"{self.path}: shape {number} ({kind} {shape['label']!r}) is broken: {first_line(error)}"
                ) from error
            shapes.append(Shape(area, names.index(shape["label"].strip())))
        return NamedLabel(drawn(shapes, height, width, self._on_top), names)


def _area(kind: str, shape: Json, height: int, width: int) -> np.ndarray:
    """The area of a shape, bool ``[H, W]``."""
    points = [(float(x), float(y)) for x, y in shape["points"]]
    if not all(map(math.isfinite, (value for point in points for value in point))):
        raise ValueError("a coordinate is not finite")
    if kind == "mask":
        return _pasted_mask(shape["mask"], points[0], height, width)
    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    if kind == "circle":
        (x, y), (edge_x, edge_y) = points
        radius = math.hypot(edge_x - x, edge_y - y)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=1, fill=1)
    elif kind == "rectangle" and len(points) == 2:
        (x0, x1), (y0, y1) = (sorted(values) for values in zip(*points, strict=True))
        draw.rectangle((x0, y0, x1, y1), outline=1, fill=1)
    elif kind in ("polygon", "rectangle", "oriented_rectangle"):
        if len(points) < 3:
            raise ValueError(f"{len(points)} points are no area; delete it, or give it three")
        draw.polygon(points, outline=1, fill=1)
    else:
        raise ValueError("shapes of this type are not known")
    return np.array(canvas, bool)


def _pasted_mask(encoded: str, corner: tuple[float, float], height: int, width: int) -> np.ndarray:
    """From a PNG of a box of the image, whose upper left corner is given."""
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        mask = np.array(image.convert("L"), bool)
    area = np.zeros((height, width), bool)
    left, top = (round(value) for value in corner)
    part = area[top : top + mask.shape[0], left : left + mask.shape[1]]
    part[:] = mask[: part.shape[0], : part.shape[1]]
    return area


def _looks_like_labelme(path: Path) -> bool:
    try:
        return _is_content(read_json_object(path))
    except DataError:
        return False


def _is_content(content: Json) -> bool:
    return isinstance(content.get("shapes"), list) and isinstance(content.get("imagePath"), str)
