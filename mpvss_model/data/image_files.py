"""Clips whose frames and labels are image files."""

from __future__ import annotations

import io
import itertools
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from mpvss_model.config import DecodingConfig
from mpvss_model.data.clip import Frame
from mpvss_model.errors import DataError, FrameError, first_line
from mpvss_model.images.encoded_image import check_encoded_size, decoded_image
from mpvss_model.images.sixteen_bits import SixteenBitRange
from mpvss_model.semantics import UNLABELED
from mpvss_model.stamps import nanoseconds
from mpvss_model.text_files import read_text

__all__ = ["IMAGE_SUFFIXES", "FileFrames", "class_index_table", "files_by_stem", "listed_names"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
UNKNOWN_VALUE = -1
# As Pillow calls grey images of 8 and 16 bits, and some versions all PNG files of 16 bits.
INSTANCE_MODES = ("L", "P", "I;16", "I")


class FileFrames(Sequence[Frame]):
    """The frames of one clip, one image file each; they must all be of one size, which is checked as they are read.

    Images are decoded as the node decodes messages: pixels as stored, whatever the EXIF header says, and 16-bit images by the
    range that those read so far use.

    Args:
        images: Paths of the images.
        labels: Path of each image's label image, or None.
        instances: Path of each image's image of instances, or None; by default there are none.
        rate_hz: Frames per second, from which the stamps are made.
        class_index_of: int16 ``[256]``, what `class_index_table` returns.
        decoding: Of images and label images; by default with the limits of `DecodingConfig`.
    """

    def __init__(
        self,
        *,
        images: Sequence[Path],
        labels: Sequence[Path | None],
        rate_hz: float,
        class_index_of: np.ndarray,
        decoding: DecodingConfig | None = None,
        instances: Sequence[Path | None] | None = None,
    ) -> None:
        decoding = decoding or DecodingConfig()
        self._instances = instances or [None] * len(images)
        self._images = images
        self._labels = labels
        self._rate_hz = rate_hz
        self._class_index_of = class_index_of
        self._first_read: tuple[Path, tuple[int, int]] | None = None
        self._max_image_pixels = decoding.max_image_pixels
        self._sixteen_bits = SixteenBitRange(significant_bits=decoding.significant_bits)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Frame:
        label, instances = self._labels[index], self._instances[index]
        return Frame(
            stamp_ns=nanoseconds(index / self._rate_hz),
            read_image=partial(self._read_image, self._images[index]),
            read_label=None if label is None else partial(self._read_label, label),
            image_file=self._images[index],
            read_instances=None if instances is None else partial(self._read_instances, instances),
        )

    def _read_image(self, path: Path) -> np.ndarray:
        pixels = _decoded(path, partial(decoded_image, max_image_pixels=self._max_image_pixels))
        if pixels.dtype == np.uint16:
            pixels = self._sixteen_bits.to_uint8(pixels)
        return self._of_clip_size(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB) if pixels.ndim == 2 else pixels, path)

    def _read_label(self, path: Path) -> np.ndarray:
        values = _label_values(path, self._max_image_pixels)
        class_indices = self._class_index_of[values]
        if (class_indices == UNKNOWN_VALUE).any():
            unknown = np.unique(values[class_indices == UNKNOWN_VALUE]).tolist()
            known = _ranges(np.flatnonzero(self._class_index_of != UNKNOWN_VALUE).tolist())
            raise DataError(f"label image {path} holds the values {unknown}; expected {known}")
        return self._of_clip_size(class_indices.astype(np.uint8), path)

    def _read_instances(self, path: Path) -> np.ndarray:
        mode, values = _decoded(path, partial(_pillow_decoded, max_image_pixels=self._max_image_pixels))
        if mode not in INSTANCE_MODES:
            raise DataError(f"image of instances {path} is of mode {mode}; expected 8 or 16 bits per pixel, grey")
        return self._of_clip_size(values.astype(np.uint16), path)

    def _of_clip_size(self, pixels: np.ndarray, path: Path) -> np.ndarray:
        size = pixels.shape[:2]
        first_path, first_size = self._first_read = self._first_read or (path, size)
        if size != first_size:
            raise DataError(
                f"frames of one clip must be of one size, but {path} has {size[1]} x {size[0]} pixels "
                f"and {first_path} {first_size[1]} x {first_size[0]}"
            )
        return pixels


def class_index_table(class_index_of_value: dict[int, int]) -> np.ndarray:
    """Class index for each pixel value of a label image, int16 ``[256]``; -1 for values that must not occur.

    255 stands for unlabeled, in addition to the values given.
    """
    table = np.full(256, UNKNOWN_VALUE, np.int16)
    table[UNLABELED] = UNLABELED
    table[list(class_index_of_value)] = list(class_index_of_value.values())
    return table


def files_by_stem(folder: Path, suffixes: Iterable[str], expected: str) -> dict[str, Path]:
    """The files of a folder by their names without suffix, in natural order (``frame_9`` before ``frame_10``).

    Raises:
        DataError: If there is no such folder, it holds no such file, or two that differ in their suffix only.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is missing; expected {expected}")
    paths = sorted(
        (path for path in folder.iterdir() if path.suffix.lower() in suffixes), key=lambda path: _natural(path.stem)
    )
    if not paths:
        raise DataError(f"{folder} holds no {' or '.join(suffixes)} file; expected {expected}")
    for path, following in itertools.pairwise(paths):
        if path.stem == following.stem:
            raise DataError(f"{path} and {following.name} have the same name; expected one file for each frame")
    return {path.stem: path for path in paths}


def listed_names(path: Path, expected: str) -> list[str]:
    """The lines of a text file without blanks.

    Raises:
        DataError: If it is missing or empty, where the message ends with ``expected``, or not UTF-8.
    """
    if not path.is_file():
        raise DataError(f"{path} is missing; expected {expected}")
    names = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if not names:
        raise DataError(f"{path} is empty; expected {expected}")
    return names


def _label_values(path: Path, max_image_pixels: int) -> np.ndarray:
    mode, values = _decoded(path, partial(_pillow_decoded, max_image_pixels=max_image_pixels))
    # A palette only colours label images for viewing: the class is the index into it.
    if mode not in ("L", "P"):
        raise DataError(f"label image {path} is of mode {mode}; expected 8 bits per pixel, grey or with a palette")
    return values


def _pillow_decoded(data: bytes, max_image_pixels: int) -> tuple[str, np.ndarray]:
    check_encoded_size(data, max_image_pixels)
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.mode, np.array(image)
    except (OSError, SyntaxError, struct.error) as error:  # what Pillow raises for broken files of various formats
        raise FrameError("broken image", first_line(error)) from error


def _decoded(path: Path, decode: Callable[[bytes], Any]) -> Any:
    try:
        return decode(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {first_line(error)}") from error
    except FrameError as error:
        cause = " cannot be read as an image, it may be truncated" if error.reason == "broken image" else ""
        raise DataError(f"{path}{cause}: {error}") from error


def _natural(stem: str) -> list[tuple[int, int | str]]:
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", stem) if part]


def _ranges(values: list[int]) -> str:
    """Sorted integers as ``0..18, 255``."""
    starts = [value for value in values if value - 1 not in values]
    ends = [value for value in values if value + 1 not in values]
    return ", ".join(str(start) if start == end else f"{start}..{end}" for start, end in zip(starts, ends, strict=True))
