"""Pixels of ``sensor_msgs/Image``: each encoding to RGB."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from mpvss_model import ConfigError, FrameError
from mpvss_model.config import MAX_IMAGE_PIXELS
from mpvss_model.errors import first_line
from mpvss_model.images.encoded_image import check_image_size
from mpvss_model.images.sixteen_bits import SixteenBitRange
from mpvss_ros.messages.message_data import with_data

__all__ = ["BAYER_CODES", "packed_rows", "rgb_from_raw_image"]

# OpenCV names a Bayer pattern by its second row.
BAYER_CODES = {
    "rggb": cv2.COLOR_BayerBG2RGB,
    "bggr": cv2.COLOR_BayerRG2RGB,
    "gbrg": cv2.COLOR_BayerGR2RGB,
    "grbg": cv2.COLOR_BayerGB2RGB,
}
# Bytes per pixel of the encodings that every cv_bridge turns into rgb8. PyPI's knows neither bayer_grbg8 nor yuv422.
CV_BRIDGE_ENCODINGS = {
    "rgb8": 3,
    "bgr8": 3,
    "rgba8": 4,
    "bgra8": 4,
    "mono8": 1,
    "bayer_rggb8": 1,
    "bayer_bggr8": 1,
    "bayer_gbrg8": 1,
}


@dataclass(frozen=True)
class PackedEncoding:
    """Pixels that lie one after another.

    Attributes:
        channels: Values per pixel.
        code: OpenCV's conversion to RGB, of 8-bit values; None if they are RGB.
        value_bytes: 1, or 2 for values that are scaled to 8 bits first.
    """

    channels: int
    code: int | None
    value_bytes: int = 1


# Those that cv_bridge does not know or, as 8UC3 and 16-bit values, does not know the meaning of. What has no names for its
# channels is in OpenCV's order, which is what cv_bridge's cv2_to_imgmsg publishes unless told otherwise.
PACKED_ENCODINGS = {
    "8UC1": PackedEncoding(1, cv2.COLOR_GRAY2RGB),
    "8UC3": PackedEncoding(3, cv2.COLOR_BGR2RGB),
    "8UC4": PackedEncoding(4, cv2.COLOR_BGRA2RGB),
    "bayer_grbg8": PackedEncoding(1, BAYER_CODES["grbg"]),
    "yuv422": PackedEncoding(2, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": PackedEncoding(2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": PackedEncoding(2, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": PackedEncoding(2, cv2.COLOR_YUV2RGB_YUY2),
    "mono16": PackedEncoding(1, cv2.COLOR_GRAY2RGB, value_bytes=2),
    "16UC1": PackedEncoding(1, cv2.COLOR_GRAY2RGB, value_bytes=2),
    "rgb16": PackedEncoding(3, None, value_bytes=2),
    "bgr16": PackedEncoding(3, cv2.COLOR_BGR2RGB, value_bytes=2),
    "16UC3": PackedEncoding(3, cv2.COLOR_BGR2RGB, value_bytes=2),
    "rgba16": PackedEncoding(4, cv2.COLOR_RGBA2RGB, value_bytes=2),
    "bgra16": PackedEncoding(4, cv2.COLOR_BGRA2RGB, value_bytes=2),
    "16UC4": PackedEncoding(4, cv2.COLOR_BGRA2RGB, value_bytes=2),
    **{f"bayer_{pattern}16": PackedEncoding(1, code, value_bytes=2) for pattern, code in BAYER_CODES.items()},
}
PLANAR_ENCODINGS = ("nv12", "nv21", "nv24")


def rgb_from_raw_image(
    message, *, max_image_pixels: int = MAX_IMAGE_PIXELS, sixteen_bits: SixteenBitRange | None = None
) -> np.ndarray:
    """Decode an object with the attributes of a ``sensor_msgs/Image`` to uint8 RGB ``[H, W, 3]``.

    Args:
        message: Of ``rclpy``, ``rosbags`` or any other origin.
        max_image_pixels: Width x height, at most.
        sixteen_bits: The camera's, for encodings of 16 bits; None estimates it from this image alone.

    Raises:
        FrameError: If the message is malformed, too large, or of an encoding that is not supported.
    """
    encoding = message.encoding
    if encoding in CV_BRIDGE_ENCODINGS:
        rows = packed_rows(message, CV_BRIDGE_ENCODINGS[encoding], max_image_pixels)
        rgb = _bridge().imgmsg_to_cv2(_genuine(message, rows), "rgb8")
        # An rgb8 image may be a view of the message; torch warns of those that cannot be written to.
        return rgb if rgb.flags.writeable else rgb.copy()
    if encoding in PACKED_ENCODINGS:
        packing = PACKED_ENCODINGS[encoding]
        if packing.channels == 2 and message.width % 2:
            raise FrameError("zero size", f"{encoding} images have an even width, got {message.width}")
        rows = packed_rows(message, packing.channels * packing.value_bytes, max_image_pixels)
        return _rgb_from_packed(message, rows, packing, sixteen_bits or SixteenBitRange())
    if encoding in PLANAR_ENCODINGS:
        decode = _rgb_from_nv24 if encoding == "nv24" else _rgb_from_nv12
        return decode(message, max_image_pixels)
    raise FrameError("unknown encoding", _why_unknown(encoding))


def packed_rows(message, bytes_per_pixel: int, max_image_pixels: int = MAX_IMAGE_PIXELS) -> np.ndarray:
    """The image, checked, as uint8 ``[H, W x bytes_per_pixel]`` without padding at the end of its rows or after the last.

    Raises:
        FrameError: If the message is malformed or the image too large.
    """
    row_bytes = message.width * bytes_per_pixel
    _check_step(message, row_bytes)
    size = message.step * message.height
    if len(message.data) < size:
        raise FrameError("short buffer", f"{len(message.data)} bytes of data, {size} needed for step x height")
    check_image_size(message.width, message.height, max_image_pixels)
    rows = np.frombuffer(message.data, np.uint8, count=size).reshape(message.height, message.step)
    return np.ascontiguousarray(rows[:, :row_bytes])


@cache
def _bridge():
    # Not above: what touches no message must work where ROS is not installed.
    try:
        from cv_bridge import CvBridge
    except ImportError as error:
        way_out = "install ROS 2's package ros-<distribution>-cv-bridge or, without ROS, 'pip install cv-bridge'"
        raise ConfigError(f"cv_bridge cannot be imported ({first_line(error)}): {way_out}") from error
    return CvBridge()


def _check_step(message, row_bytes: int) -> None:
    if message.height < 1 or message.width < 1:
        raise FrameError("zero size", f"image of {message.width} x {message.height} pixels")
    if message.step < row_bytes:
        row = f"a row of {message.encoding}"
        raise FrameError("wrong step", f"step {message.step} is less than the {row_bytes} bytes of {row}")


def _genuine(message, rows: np.ndarray):
    """The image as a ``sensor_msgs/Image`` for cv_bridge, which takes nothing else: the camera's own where that will do."""
    from sensor_msgs.msg import Image

    is_bigendian = sys.byteorder == "big"
    # Bytes have no order, but cv_bridge would swap those of another order than the machine's, and fails at it.
    if isinstance(message, Image) and bool(message.is_bigendian) == is_bigendian and len(message.data) == rows.nbytes:
        return message
    height, step = rows.shape
    image = Image(height=height, width=message.width, encoding=message.encoding, step=step, is_bigendian=int(is_bigendian))
    return with_data(image, rows)


def _rgb_from_packed(message, rows: np.ndarray, packing: PackedEncoding, sixteen_bits: SixteenBitRange) -> np.ndarray:
    if packing.value_bytes == 2:
        rows = sixteen_bits.to_uint8(rows.view(">u2" if message.is_bigendian else "<u2"))
    shape = (message.height, message.width, packing.channels)[: 2 + (packing.channels > 1)]
    pixels = rows.reshape(shape)
    return pixels if packing.code is None else cv2.cvtColor(pixels, packing.code)


def _rgb_from_nv12(message, max_image_pixels: int) -> np.ndarray:
    """nv12 or nv21: one pair of chroma values for each block of 2 x 2 pixels."""
    code = cv2.COLOR_YUV2RGB_NV12 if message.encoding == "nv12" else cv2.COLOR_YUV2RGB_NV21
    pair_rows, pairs = -(-message.height // 2), -(-message.width // 2)
    chroma_step = max(message.step, 2 * pairs)
    luma, chroma = _planes(message, chroma_rows=pair_rows, chroma_step=chroma_step, pairs=pairs)
    check_image_size(message.width, message.height, max_image_pixels)
    even = cv2.copyMakeBorder(luma, 0, message.height % 2, 0, message.width % 2, cv2.BORDER_REPLICATE)
    rgb = cv2.cvtColorTwoPlane(even, np.ascontiguousarray(chroma), code)
    return np.ascontiguousarray(rgb[: message.height, : message.width])


def _rgb_from_nv24(message, max_image_pixels: int) -> np.ndarray:
    """nv24: one pair of chroma values for each pixel."""
    height, width = message.height, message.width
    luma, chroma = _planes(message, chroma_rows=height, chroma_step=2 * message.step, pairs=width)
    check_image_size(width, height, max_image_pixels)
    # OpenCV has no nv24. As yuyv with each pixel twice it takes the same way as the others.
    doubled = np.stack([luma, chroma[..., 0], luma, chroma[..., 1]], axis=-1).reshape(height, 2 * width, 2)
    return np.ascontiguousarray(cv2.cvtColor(doubled, cv2.COLOR_YUV2RGB_YUY2)[:, ::2])


def _planes(message, *, chroma_rows: int, chroma_step: int, pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Views of luma, uint8 ``[H, W]``, and of chroma below it in the data, uint8 ``[chroma_rows, pairs, 2]``."""
    height, width, step = message.height, message.width, message.step
    _check_step(message, width)
    packed_size = height * width + chroma_rows * 2 * pairs
    size = height * step + chroma_rows * chroma_step
    if len(message.data) == packed_size:
        # No row has padding, whatever step says: some drivers have it speak of all planes.
        step, chroma_step, size = width, 2 * pairs, packed_size
    if len(message.data) < size:
        raise FrameError("short buffer", f"{len(message.data)} bytes of data, {size} needed for luma and chroma")
    data = np.frombuffer(message.data, np.uint8, count=size)
    luma = data[: height * step].reshape(height, step)[:, :width]
    chroma = data[height * step :].reshape(chroma_rows, chroma_step)[:, : 2 * pairs]
    return luma, chroma.reshape(chroma_rows, pairs, 2)


def _why_unknown(encoding: str) -> str:
    known = ", ".join([*CV_BRIDGE_ENCODINGS, *PACKED_ENCODINGS, *PLANAR_ENCODINGS])
    if encoding.startswith(("8SC", "16SC", "32SC", "32FC", "64FC")):
        way_out = "give the node the topic of the camera's colour image"
        return f"{encoding!r} holds measured values such as depth, no colours: {way_out}, of one of {known}"
    return f"{encoding!r} is not one of {known}"
