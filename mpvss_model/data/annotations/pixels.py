"""Sizes and values of image files of any origin: with EXIF orientation, palettes, colours or 16 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from mpvss_model.errors import DataError, first_line

__all__ = ["MOST_PIXELS", "SIDEWAYS", "opened", "orientation", "oriented_size", "read_values", "upright"]

# The EXIF tag, and its values that swap height and width.
ORIENTATION = 0x0112
SIDEWAYS = (5, 6, 7, 8)
# More is no photograph.
MOST_PIXELS = 150_000_000


def orientation(path: Path) -> int:
    """How an image is to be turned before it is shown, 1 to 8, by its EXIF header; 1 for not at all.

    Raises:
        DataError: If it is no image, or a huge one.
    """
    with opened(path) as image:
        turn: int = image.getexif().get(ORIENTATION) or 1
    return turn if turn in range(1, 9) else 1


def oriented_size(path: Path) -> tuple[int, int]:
    """Height and width of an image as it is shown.

    Raises:
        DataError: If it is no image, or a huge one.
    """
    with opened(path) as image:
        width, height = image.size
    return (width, height) if orientation(path) in SIDEWAYS else (height, width)


def read_values(path: Path) -> np.ndarray:
    """Values of a label image: indices into its palette, grey values or colours, int32 ``[H, W]`` or RGB ``[H, W, 3]``.

    Raises:
        DataError: If it is no image that can be read.
    """
    with opened(path) as image:
        try:
            if image.mode in ("1", "L", "P", "I", "I;16", "I;16B"):
                return np.array(image).astype(np.int32)
            if image.mode == "LA":
                return np.array(image)[..., 0].astype(np.int32)
            return np.array(image.convert("RGB")).astype(np.int32)
        except Exception as error:
            raise DataError(f"{path} cannot be read as an image: {first_line(error)}") from error


def upright(values: np.ndarray, turn: int) -> np.ndarray:
    """Pixels ``[H, W]`` or ``[H, W, 3]`` as stored, turned as an EXIF orientation of 1 to 8 says."""
    turned = values.swapaxes(0, 1) if turn in SIDEWAYS else values
    if turn in (3, 4, 7, 8):
        turned = turned[::-1]
    if turn in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)


def opened(path: Path) -> Image.Image:
    """An image file, only its header read."""
    try:
        image = Image.open(path)
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} cannot be read as an image: {first_line(error)}") from error
    if image.width * image.height > MOST_PIXELS:
        image.close()
        raise DataError(f"{path} has {image.width} x {image.height} pixels, at most {MOST_PIXELS} are taken")
    return image
