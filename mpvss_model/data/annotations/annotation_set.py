"""The interface that every format of annotations has: images, and labels whose classes have the names of their source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

__all__ = ["IGNORED", "UNANNOTATED", "AnnotatedImage", "AnnotationSet", "NamedLabel"]

UNANNOTATED = -1
IGNORED = -2


@dataclass(frozen=True)
class NamedLabel:
    """What was annotated in one image.

    Attributes:
        indices: int32 ``[H, W]``, into ``names``; `UNANNOTATED` where nobody drew anything, `IGNORED` where something is that
            is known too coarsely, such as a box around it.
        names: Of classes, as the source calls them.
    """

    indices: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True)
class AnnotatedImage:
    """One image, and how to read what was annotated in it.

    Attributes:
        path: Of the image file.
        folder: Of the image, relative to where images were looked for, as a clip's name begins.
        split: ``train``, ``val`` or ``test`` if the source says so.
        source: The file that the annotations are from, for messages; the image itself if it has none.
        read_label: Returns the label, or raises `DataError`; None if nothing was annotated.
    """

    path: Path
    folder: Path
    split: str | None
    source: Path
    read_label: Callable[[], NamedLabel] | None = None


@dataclass(frozen=True)
class AnnotationSet:
    """All images of a source.

    Attributes:
        images: In natural order of their paths.
        class_names: All that the source declares, in its order; None where classes are the values of label images, without
            names.
        is_complete: Whether every pixel was annotated, so that none is background.
        left_out: Shapes that mean no area, by reason; complete when all labels have been read.
    """

    images: tuple[AnnotatedImage, ...]
    class_names: tuple[str, ...] | None
    is_complete: bool = False
    left_out: Counter[str] = field(default_factory=Counter)
