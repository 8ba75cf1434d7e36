"""Pixels of ``sensor_msgs/CompressedImage``, as ``compressed_image_transport`` packs them, to RGB."""

from __future__ import annotations

import re
from dataclasses import replace

import cv2
import numpy as np

from mpvss_model import FrameError
from mpvss_model.config import MAX_IMAGE_PIXELS
from mpvss_model.images.encoded_image import reduced_image
from mpvss_model.images.reduced_image import NeededSize, ReducedImage
from mpvss_model.images.sixteen_bits import SixteenBitRange
from mpvss_ros.messages.raw_image import BAYER_CODES

__all__ = ["reduced_rgb_from_compressed_image", "rgb_from_compressed_image"]

COLOUR_ENCODINGS = re.compile(r"(rgb|bgr)a?(8|16)|yuv422(_yuy2)?|uyvy|yuyv|nv21|nv24")


def rgb_from_compressed_image(
    message, *, max_image_pixels: int = MAX_IMAGE_PIXELS, sixteen_bits: SixteenBitRange | None = None
) -> np.ndarray:
    """Decode an object with the attributes of a ``sensor_msgs/CompressedImage`` to uint8 RGB ``[H, W, 3]``.

    The pixels are those that are stored: the raw topic's, which ``camera_info`` is about, whatever the EXIF header says of
    the camera's orientation.

    Args:
        message: Of ``rclpy``, ``rosbags`` or any other origin.
        max_image_pixels: Width x height, at most; checked before anything is decoded.
        sixteen_bits: The camera's, for PNG of 16 bits; None estimates it from this image alone.

    Raises:
        FrameError: If the message is broken, too large, or holds no colours.
    """
    decoded = reduced_rgb_from_compressed_image(
        message, max_image_pixels=max_image_pixels, sixteen_bits=sixteen_bits, needed_size=None
    )
    return decoded.pixels


def reduced_rgb_from_compressed_image(
    message, *, max_image_pixels: int, sixteen_bits: SixteenBitRange | None, needed_size: NeededSize | None
) -> ReducedImage:
    """As `rgb_from_compressed_image`, but a JPEG no larger than it is needed.

    Args:
        message: Of ``rclpy``, ``rosbags`` or any other origin.
        max_image_pixels: Width x height of the image itself, at most.
        sixteen_bits: The camera's; None estimates it from this image alone.
        needed_size: Tells the height and width that are enough for an image; None for all of it.

    Raises:
        FrameError: As `rgb_from_compressed_image`, for the same messages.
    """
    if "compressedDepth" in message.format:
        way_out = "give the node the camera's colour topic, such as /camera/color/image_raw"
        raise FrameError("depth image", f"format {message.format!r} holds depth, no colours: {way_out}")
    mosaic_code = _mosaic_code(message.format)
    if mosaic_code != cv2.COLOR_GRAY2RGB:
        needed_size = None  # the mean of its neighbours is no pixel of a mosaic
    try:
        decoded = reduced_image(bytes(message.data), max_image_pixels, needed_size=needed_size)
    except FrameError as error:
        raise FrameError(error.reason, f"format {message.format!r}, {error.details}") from error
    return replace(decoded, pixels=_rgb(decoded.pixels, message.format, mosaic_code, sixteen_bits))


def _rgb(pixels: np.ndarray, image_format: str, mosaic_code: int, sixteen_bits: SixteenBitRange | None) -> np.ndarray:
    if pixels.dtype == np.uint16:
        pixels = (sixteen_bits or SixteenBitRange()).to_uint8(pixels)
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, mosaic_code)
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if _holds_red_for_blue(image_format) else pixels


def _mosaic_code(image_format: str) -> int:
    """How one channel becomes RGB: what is called Bayer is a mosaic, unless it was made gray to be compressed."""
    pattern = re.match(r"bayer_(....)(8|16)\b(?!.*compressed mono)", image_format)
    return BAYER_CODES.get(pattern[1], cv2.COLOR_GRAY2RGB) if pattern else cv2.COLOR_GRAY2RGB


def _holds_red_for_blue(image_format: str) -> bool:
    """Whether RGB was compressed as if it were BGR, as ``compressed_image_transport`` reads the format."""
    encoding, _, packing = image_format.partition(";")
    packed_as = re.search(r"\bcompressed\b *(\w*)", packing)
    return bool(packed_as and COLOUR_ENCODINGS.fullmatch(encoding.strip()) and not packed_as[1].startswith("bgr"))
