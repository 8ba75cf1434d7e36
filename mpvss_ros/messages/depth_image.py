"""Depth images, as depth cameras and image_transport publish them, to metres."""

from __future__ import annotations

import struct

import cv2
import numpy as np

from mpvss_model import FrameError
from mpvss_model.config import MAX_IMAGE_PIXELS
from mpvss_model.images.encoded_image import check_encoded_size
from mpvss_ros.messages.raw_image import packed_rows

__all__ = ["depth_from_message"]

# As REP 118 defines them: whole millimetres, of which 0 is none, and metres.
MILLIMETRES, METRES = "16UC1", "32FC1"
# What compressed_depth_image_transport puts before the PNG: its number of the packing, and the two parameters of quantization.
CONFIG_HEADER = struct.Struct("<iff")
PNG_START = b"\x89PNG"


def depth_from_message(message, *, max_image_pixels: int = MAX_IMAGE_PIXELS) -> np.ndarray:
    """Depth along the optical axis in metres, float32 ``[H, W]``; NaN where nothing was measured.

    Args:
        message: An object with the attributes of a ``sensor_msgs/Image`` of ``16UC1`` or ``32FC1`` (also ``mono16``, as which
            some drivers publish millimetres), or of the ``CompressedImage`` that ``compressedDepth`` makes of one.
        max_image_pixels: Width x height, at most.

    Raises:
        FrameError: If the message is malformed, too large, or holds no depth.
    """
    if hasattr(message, "format"):
        return _from_compressed(message, max_image_pixels)
    if message.encoding in (MILLIMETRES, "mono16"):
        rows = packed_rows(message, 2, max_image_pixels)
        return _from_millimetres(rows.view(">u2" if message.is_bigendian else "<u2"))
    if message.encoding == METRES:
        rows = packed_rows(message, 4, max_image_pixels)
        return _without_nothing(rows.view(">f4" if message.is_bigendian else "<f4").astype(np.float32))
    raise FrameError("unknown encoding", f"depth is {MILLIMETRES} or {METRES}, got {message.encoding!r}: give a depth topic")


def _from_compressed(message, max_image_pixels: int) -> np.ndarray:
    encoding = message.format.partition(";")[0].strip()
    data = bytes(message.data)
    png = data[CONFIG_HEADER.size :]
    if encoding not in (MILLIMETRES, METRES) or not png.startswith(PNG_START):
        raise FrameError(
            "unknown encoding",
            f"compressed depth is a PNG of {MILLIMETRES} or {METRES} by compressedDepth, got format {message.format!r}: "
            "give such a topic, or a raw one",
        )
    check_encoded_size(png, max_image_pixels)
    values = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.ndim != 2:
        raise FrameError("broken image", f"{len(data)} bytes of format {message.format!r} are no PNG of 16 bits")
    if encoding == MILLIMETRES:
        return _from_millimetres(values)
    _, a, b = CONFIG_HEADER.unpack_from(data)  # inverse depth, in steps: see compressed_depth_image_transport's codec.cpp
    with np.errstate(divide="ignore"):
        return _without_nothing(np.where(values > 0, np.float32(a) / (values.astype(np.float32) - np.float32(b)), np.nan))


def _from_millimetres(values: np.ndarray) -> np.ndarray:
    depth_m = np.divide(values, np.float32(1000), dtype=np.float32)  # exact: 3000 are 3 m, and not a little more
    depth_m[values == 0] = np.nan
    return depth_m


def _without_nothing(depth_m: np.ndarray) -> np.ndarray:
    """NaN also where depth is zero, negative or infinite, which REP 117 has stand for too near and too far."""
    depth_m[~((depth_m > 0.0) & (depth_m < np.inf))] = np.nan
    return depth_m
