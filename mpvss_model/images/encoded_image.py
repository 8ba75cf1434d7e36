"""Images as files and compressed messages hold them."""

from __future__ import annotations

import io
import warnings

import cv2
import numpy as np
from PIL import Image

from mpvss_model.config import MAX_IMAGE_PIXELS
from mpvss_model.errors import FrameError
from mpvss_model.images.jpeg import JPEG_START, decoded_jpeg

__all__ = ["check_encoded_size", "check_image_size", "decoded_image"]

# Alpha is left out, 16 bits stay 16, and no orientation of the EXIF header turns the image away from its camera_info.
PIXELS_AS_STORED = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
# Pillow's own warning of large images says what `check_image_size` decides here.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def check_image_size(width: int, height: int, max_image_pixels: int = MAX_IMAGE_PIXELS) -> None:
    """Raise `FrameError` if an image has more than ``max_image_pixels``."""
    if width * height > max_image_pixels:
        raise FrameError("too large", f"image of {width} x {height} pixels; max_image_pixels is {max_image_pixels}")


def check_encoded_size(data: bytes, max_image_pixels: int = MAX_IMAGE_PIXELS) -> None:
    """Check the size that an image's header states, in a fraction of a millisecond, before anything is decoded.

    A megabyte of PNG can hold gigabytes of pixels.

    Args:
        data: The whole file, of any format that Pillow knows.
        max_image_pixels: Width x height, at most.

    Raises:
        FrameError: If it is too large or no image.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        assert Image.MAX_IMAGE_PIXELS is not None
        limit = 2 * Image.MAX_IMAGE_PIXELS
        raise FrameError("too large", f"image of over {limit} pixels; max_image_pixels is {max_image_pixels}") from None
    except Exception as error:  # each format has its own errors for broken headers
        raise FrameError("broken image", f"{len(data)} bytes with no header of an image") from error
    check_image_size(width, height, max_image_pixels)


def decoded_image(data: bytes, max_image_pixels: int = MAX_IMAGE_PIXELS) -> np.ndarray:
    """Decode an image file's pixels as stored, whatever its EXIF header says of its orientation, and without alpha.

    Args:
        data: The whole file: JPEG, PNG or another format that OpenCV reads.
        max_image_pixels: Width x height, at most.

    Returns:
        uint8 or uint16, RGB ``[H, W, 3]`` or gray ``[H, W]``.

    Raises:
        FrameError: If it is too large, broken, or of values that are no colours.
    """
    check_encoded_size(data, max_image_pixels)
    pixels = decoded_jpeg(data) if data.startswith(JPEG_START) else None
    if pixels is None:
        pixels = _opencv_decoded(data)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise FrameError("unknown encoding", f"an image of {pixels.dtype} values holds depth or the like, no colours")
    return pixels


def _opencv_decoded(data: bytes) -> np.ndarray:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), PIXELS_AS_STORED)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise FrameError("broken image", f"{len(data)} bytes cannot be decoded")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if pixels.ndim == 3 else pixels
