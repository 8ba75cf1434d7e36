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
from mpvss_model.images.reduced_image import NeededSize, ReducedImage, reduction_for

__all__ = ["check_encoded_size", "check_image_size", "decoded_image", "reduced_image"]

# Alpha is left out, 16 bits stay 16, and no orientation of the EXIF header turns the image away from its camera_info.
PIXELS_AS_STORED = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
# The same of a JPEG at a part of its size, by the divisor of its sides.
REDUCED_COLOURS = {
    reduction: flag | cv2.IMREAD_IGNORE_ORIENTATION
    for reduction, flag in (
        (2, cv2.IMREAD_REDUCED_COLOR_2),
        (4, cv2.IMREAD_REDUCED_COLOR_4),
        (8, cv2.IMREAD_REDUCED_COLOR_8),
    )
}
# Pillow's own warning of large images says what `check_image_size` decides here.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def check_image_size(width: int, height: int, max_image_pixels: int = MAX_IMAGE_PIXELS) -> None:
    """Raise `FrameError` if an image has more than ``max_image_pixels``."""
    if width * height > max_image_pixels:
        raise FrameError("too large", f"image of {width} x {height} pixels; max_image_pixels is {max_image_pixels}")


def check_encoded_size(data: bytes, max_image_pixels: int = MAX_IMAGE_PIXELS) -> tuple[int, int]:
    """Check the size that an image's header states, in a fraction of a millisecond, before anything is decoded.

    A megabyte of PNG can hold gigabytes of pixels.

    Args:
        data: The whole file, of any format that Pillow knows.
        max_image_pixels: Width x height, at most.

    Returns:
        Height and width.

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
    return height, width


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
    return reduced_image(data, max_image_pixels, needed_size=None).pixels


def reduced_image(data: bytes, max_image_pixels: int = MAX_IMAGE_PIXELS, *, needed_size: NeededSize | None) -> ReducedImage:
    """As `decoded_image`, but a JPEG no larger than it is needed, which takes half of the time.

    Args:
        data: The whole file.
        max_image_pixels: Width x height of the image itself, at most.
        needed_size: Tells the height and width that are enough for an image; None for all of it.

    Returns:
        At least of the needed size, if the image itself is; uint8 or uint16, RGB or gray.

    Raises:
        FrameError: As `decoded_image`, for the same images.
    """
    size = check_encoded_size(data, max_image_pixels)
    is_jpeg = data.startswith(JPEG_START)
    reduction = reduction_for(size, needed_size(size)) if is_jpeg and needed_size is not None else 1
    small = (size[0] // reduction, size[1] // reduction) if reduction > 1 else None
    pixels = decoded_jpeg(data, small) if is_jpeg else None
    if pixels is None:
        pixels = _opencv_decoded(data, REDUCED_COLOURS.get(reduction, PIXELS_AS_STORED))
    if pixels.dtype not in (np.uint8, np.uint16):
        raise FrameError("unknown encoding", f"an image of {pixels.dtype} values holds depth or the like, no colours")
    return ReducedImage(pixels, reduction)


def _opencv_decoded(data: bytes, flags: int) -> np.ndarray:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise FrameError("broken image", f"{len(data)} bytes cannot be decoded")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if pixels.ndim == 3 else pixels
