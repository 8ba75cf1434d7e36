"""JPEG images whose damage does not go unnoticed."""

from __future__ import annotations

import re

import numpy as np

from mpvss_model.errors import FrameError, first_line

try:
    import simplejpeg
except ImportError:  # apt has no such package; without it only images that break off are found
    simplejpeg = None

__all__ = ["JPEG_START", "decoded_jpeg"]

JPEG_START = b"\xff\xd8"
JPEG_END = b"\xff\xd9"
# Some webcams fill up the end of each image to a round number of bytes.
HARMLESS_BYTES_BEFORE_END = 64


def decoded_jpeg(data: bytes) -> np.ndarray | None:
    """Decode a JPEG image, pixels as stored, unless it is damaged.

    OpenCV decodes an image that was damaged on its way to something gray or shifted from the damage on, without a word. What
    its decoder library has to say is only heard through `simplejpeg`, which uses the same library and takes no longer.

    Args:
        data: The whole file.

    Returns:
        uint8, RGB ``[H, W, 3]`` or gray ``[H, W]``; None for kinds of JPEG, or of oddities in it, that are left to OpenCV.

    Raises:
        FrameError: If the image is damaged.
    """
    if simplejpeg is None:
        if JPEG_END not in data.rstrip(b"\0")[-HARMLESS_BYTES_BEFORE_END:]:
            raise _damaged("its end is missing")
    else:
        try:
            return _strictly_decoded(data)
        except ValueError as error:
            if _tells_of_damage(first_line(error)):
                raise _damaged(first_line(error)) from error
    return None


def _strictly_decoded(data: bytes) -> np.ndarray:
    """Raises ValueError for damage, for harmless oddities and for kinds of JPEG that the library does not know."""
    is_gray = simplejpeg.decode_jpeg_header(data)[2] == "Gray"
    try:
        pixels = simplejpeg.decode_jpeg(data, colorspace="GRAY" if is_gray else "RGB")
    except ValueError as error:
        if "Premature end of JPEG file" not in str(error) or data.endswith(JPEG_END):
            raise
        # Perhaps nothing but the end mark is missing, as with some cameras.
        return _strictly_decoded(data + JPEG_END)
    return pixels[..., 0] if is_gray else pixels


def _tells_of_damage(text: str) -> bool:
    surplus = re.search(r"(\d+) extraneous bytes before marker 0xd9", text)
    if surplus:
        return int(surplus[1]) > HARMLESS_BYTES_BEFORE_END
    return "Corrupt JPEG data" in text or "Premature end" in text


def _damaged(details: str) -> FrameError:
    return FrameError("broken image", f"a part of the JPEG was lost or changed on its way: {details}")
