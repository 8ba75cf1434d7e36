"""The files of one frame: its image as training and node will read it, and its label image."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from mpvss_model.config import MAX_IMAGE_PIXELS
from mpvss_model.data.annotations.annotation_set import AnnotatedImage
from mpvss_model.data.annotations.pixels import MOST_PIXELS, SIDEWAYS, orientation, upright
from mpvss_model.data.image_files import IMAGE_SUFFIXES
from mpvss_model.errors import DataError, FrameError, first_line
from mpvss_model.images.encoded_image import decoded_image

__all__ = ["FrameFiles"]

JPEG_SUFFIXES = (".jpg", ".jpeg")
JPEG_QUALITY = 95


class FrameFiles:
    """Writes frames in the folder layout.

    Images whose EXIF header turns them are written upright, since nothing reads that header later; those of other formats
    become PNGs. All others are linked or copied, but decoded once, so that broken ones are found now.

    Args:
        max_side_px: Images whose longer side is longer are made smaller; 0 for none.
        copy: Whether images are copied where they could be linked.

    Attributes:
        images: How many were ``linked``, ``copied`` and ``rewritten``.
    """

    def __init__(self, *, max_side_px: int, copy: bool) -> None:
        self._max_side_px = max_side_px
        self._copy = copy
        self.images: Counter[str] = Counter()

    def write(self, image: AnnotatedImage, label: np.ndarray | None, clip: Path) -> None:
        """Write ``<clip>/images/...`` and ``<clip>/labels/....png``.

        Args:
            image: Where it comes from.
            label: uint8 ``[H, W]``, as the image is stored or as it is shown; None if there is none.
            clip: Its folder, with those two in it.

        Raises:
            DataError: If the image cannot be read or is too large, or the label is of another size.
        """
        turn, stored = orientation(image.path), self._pixels(image.path)
        pixels = upright(stored, turn)
        height, width = pixels.shape[:2]
        scale = min(1.0, self._max_side_px / max(height, width)) if self._max_side_px else 1.0
        size = max(1, round(width * scale)), max(1, round(height * scale))
        if label is not None:
            label = _as_shown(label, stored.shape[:2], turn, image)
            label = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST_EXACT)
            _write(clip / "labels" / f"{image.path.stem}.png", label)
        if turn != 1 or scale < 1.0 or image.path.suffix.lower() not in IMAGE_SUFFIXES:
            self._rewrite(image.path, cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), clip / "images")
        else:
            self._place(image.path, clip / "images" / image.path.name)

    def _pixels(self, path: Path) -> np.ndarray:
        try:
            return decoded_image(path.read_bytes(), MOST_PIXELS if self._max_side_px else MAX_IMAGE_PIXELS)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {first_line(error)}") from error
        except FrameError as error:
            way_out = "; make images smaller with --max-side-px" if error.reason == "too large" else ""
            raise DataError(f"{path} cannot be used: {error}{way_out}") from error

    def _rewrite(self, path: Path, pixels: np.ndarray, folder: Path) -> None:
        is_jpeg = path.suffix.lower() in JPEG_SUFFIXES
        bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
        _write(folder / (path.name if is_jpeg else f"{path.stem}.png"), bgr)
        self.images["rewritten"] += 1

    def _place(self, path: Path, target: Path) -> None:
        if not self._copy:
            try:
                os.link(path.resolve(), target)
            except OSError:  # another file system, or one without links
                pass
            else:
                self.images["linked"] += 1
                return
        shutil.copyfile(path, target)
        self.images["copied"] += 1


def _as_shown(label: np.ndarray, stored_size: tuple[int, ...], turn: int, image: AnnotatedImage) -> np.ndarray:
    """The label, upright. Tools show photographs upright; where they did not, the label's height and width tell."""
    shown_size = stored_size[::-1] if turn in SIDEWAYS else stored_size
    if label.shape == shown_size:
        return label
    if label.shape == stored_size:
        return upright(label, turn)
    raise DataError(
        f"{image.source} annotates {label.shape[1]} x {label.shape[0]} pixels, but {image.path} has {shown_size[1]} x "
        f"{shown_size[0]}; export images and annotations in one size"
    )


def _write(path: Path, pixels: np.ndarray) -> None:
    settings = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix.lower() in JPEG_SUFFIXES else []
    path.write_bytes(cv2.imencode(path.suffix, pixels, settings)[1].tobytes())
