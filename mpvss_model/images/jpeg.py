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
# Common webcams leave up to nine bytes too many before restart marks or the end, in images that are fine.
HARMLESS_SURPLUS_BYTES = 16
# What the library warns of although no pixel is lost.
ODDITIES = re.compile("Invalid SOS parameters|unknown JFIF revision|Unknown Adobe color transform|Inconsistent progression")


def decoded_jpeg(data: bytes, size: tuple[int, int] | None = None) -> np.ndarray | None:
    """Decode a JPEG image, pixels as stored, unless it is damaged.

    OpenCV decodes an image that was damaged on its way to something gray or shifted from the damage on, without a word. What
    its decoder library has to say is only heard through `simplejpeg`, which uses the same library and takes no longer.

    Args:
        data: The whole file.
        size: Height and width to decode it to, an eighth, a quarter or half of its own without remainder; its own by default.
            All of the file is read all the same, so that damage is found as it is at full size.

    Returns:
        uint8, RGB ``[H, W, 3]`` or gray ``[H, W]``; None for kinds of JPEG, or of oddities in it, that are left to OpenCV.

    Raises:
        FrameError: If the image is damaged.
    """
    if simplejpeg is None:
        if JPEG_END not in data.rstrip(b"\0")[-HARMLESS_SURPLUS_BYTES:]:
            raise _damaged("its end is missing")
        return None
    try:
        is_gray = simplejpeg.decode_jpeg_header(data)[2] == "Gray"
    except ValueError:
        return None
    try:
        pixels = _strictly_decoded(data, "GRAY" if is_gray else "RGB", size or (0, 0))
    except ValueError as error:
        if _is_harmless(first_line(error)):
            return None
        raise _damaged(first_line(error)) from error
    return pixels[..., 0] if is_gray else pixels


def _strictly_decoded(data: bytes, colorspace: str, least: tuple[int, int]) -> np.ndarray:
    """At the smallest scale with at least this height and width; raises ValueError for all that the library warns of."""
    height, width = least
    try:
        return simplejpeg.decode_jpeg(data, colorspace=colorspace, min_height=height, min_width=width)
    except ValueError as error:
        if "Premature end of JPEG file" not in str(error) or data.endswith(JPEG_END):
            raise
    # Perhaps nothing but the end mark is missing, as with some cameras.
    return _strictly_decoded(data + JPEG_END, colorspace, least)


def _is_harmless(text: str) -> bool:
    surplus = re.search(r"(\d+) extraneous bytes before marker 0xd\d", text)
    return int(surplus[1]) <= HARMLESS_SURPLUS_BYTES if surplus else ODDITIES.search(text) is not None


def _damaged(details: str) -> FrameError:
    return FrameError("broken image", f"a part of the JPEG was lost or changed on its way: {details}")
