"""The formats of annotations by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mpvss_model.data.annotations.annotation_set import AnnotationSet
from mpvss_model.data.annotations.coco import is_coco, open_coco
from mpvss_model.data.annotations.labelme import is_labelme, open_labelme
from mpvss_model.data.annotations.masks import has_masks, open_masks
from mpvss_model.errors import ConfigError, DataError

__all__ = ["FORMATS", "Format", "format_of"]


@dataclass(frozen=True)
class Format:
    """One format of annotations.

    Attributes:
        is_in: Whether a file or folder looks like it.
        open: Returns what a source holds, given folder or file, the folder of the images or None, and which of overlapping
            areas is seen.
        on_top: Which of overlapping areas is seen unless somebody says so, see `shapes.ON_TOP`.
    """

    is_in: Callable[[Path], bool]
    open: Callable[[Path, Path | None, str], AnnotationSet]
    on_top: str


# COCO's files have no order; LabelMe shows what was drawn later on top. Masks come last: their names could be anything.
FORMATS = {
    "coco": Format(is_coco, open_coco, "smaller"),
    "labelme": Format(is_labelme, open_labelme, "later"),
    "masks": Format(has_masks, open_masks, "later"),
}


def format_of(source: Path, name: str = "auto") -> Format:
    """The format of that name, or, for ``auto``, the first that the source looks like.

    Raises:
        ConfigError: If there is no such format.
        DataError: If there is no such source, or it looks like none of them.
    """
    if name != "auto" and name not in FORMATS:
        raise ConfigError(f"unknown format of annotations {name!r}; expected auto, {', '.join(FORMATS)}")
    if not source.exists():
        raise DataError(f"no annotations at {str(source)!r}")
    if name != "auto":
        return FORMATS[name]
    found = next((kind for kind in FORMATS.values() if kind.is_in(source)), None)
    if found is None:
        raise DataError(
            f"{source} holds neither COCO files, nor LabelMe files, nor label images that are named as such; give --format "
            f"{', '.join(FORMATS)} to see what is missing"
        )
    return found
