"""Areas of classes, drawn over each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mpvss_model.data.annotations.annotation_set import IGNORED, UNANNOTATED

__all__ = ["ON_TOP", "Shape", "drawn"]

# Where areas overlap: the one that was drawn later, or the smaller one.
ON_TOP = ("later", "smaller")


@dataclass(frozen=True)
class Shape:
    """One annotated area.

    Attributes:
        area: bool ``[H, W]``.
        index: Of its class; `IGNORED` if the area is only known to hold something.
    """

    area: np.ndarray
    index: int


def drawn(shapes: Iterable[Shape], height: int, width: int, on_top: str) -> np.ndarray:
    """int32 ``[H, W]``: class indices, `IGNORED` areas below all others, `UNANNOTATED` where no area is.

    Args:
        shapes: In the order in which they were annotated.
        height: Of the image.
        width: Of the image.
        on_top: One of `ON_TOP`.
    """

    def layer(shape: Shape) -> tuple[bool, int]:
        return shape.index != IGNORED, -int(shape.area.sum()) if on_top == "smaller" else 0

    label = np.full((height, width), UNANNOTATED, np.int32)
    for shape in sorted(shapes, key=layer):
        label[shape.area] = shape.index
    return label
