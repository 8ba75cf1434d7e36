"""Messages <-> numpy arrays.

The functions read plain attributes, so they take messages of ``rclpy`` and of ``rosbags`` alike: the node and the offline
evaluation decode a frame with the very same code.
"""

from __future__ import annotations

import sys
from array import array
from types import SimpleNamespace

import cv2
import numpy as np
from cv_bridge import CvBridge
from sensor_msgs.msg import CompressedImage, Image

from mpvss_model import FrameError
from mpvss_model.stamps import seconds

__all__ = ["compressed_message", "image_message", "labels_from_message", "rgb_from_message", "stamp_ns", "stamp_s"]

# Bytes per pixel of the encodings that cv_bridge turns into rgb8. PyPI's cv_bridge knows neither bayer_grbg8 nor yuv422.
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
# Bytes per pixel and OpenCV's code of those that are left to OpenCV. OpenCV names a Bayer pattern by its second row.
OPENCV_ENCODINGS = {
    "bayer_grbg8": (1, cv2.COLOR_BayerGB2RGB),
    "yuv422": (2, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": (2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": (2, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": (2, cv2.COLOR_YUV2RGB_YUY2),
}
SIXTEEN_BIT_ENCODINGS = ("mono16", "16UC1")

_bridge = CvBridge()


def stamp_ns(message) -> int:
    """The header's stamp in nanoseconds."""
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


def stamp_s(message) -> float:
    """The header's stamp in seconds."""
    return seconds(stamp_ns(message))


def rgb_from_message(message) -> np.ndarray:
    """Decode a ``sensor_msgs`` Image or CompressedImage to uint8 RGB ``[H, W, 3]``.

    16-bit images are scaled from their full range.

    Raises:
        FrameError: If the message is malformed or its encoding is not supported.
    """
    if hasattr(message, "format"):
        return _decoded(message, cv2.IMREAD_COLOR_RGB)
    encoding = message.encoding
    if encoding in CV_BRIDGE_ENCODINGS:
        rgb = _bridge.imgmsg_to_cv2(_packed(message, CV_BRIDGE_ENCODINGS[encoding]), "rgb8")
        # An rgb8 image is a view of the message; torch warns of those that cannot be written to.
        return rgb if rgb.flags.writeable else rgb.copy()
    if encoding in OPENCV_ENCODINGS:
        bytes_per_pixel, code = OPENCV_ENCODINGS[encoding]
        if message.width % 2 and bytes_per_pixel == 2:
            raise FrameError("zero size", f"{encoding} images have an even width, got {message.width}")
        rows = _packed(message, bytes_per_pixel).data
        shape = (message.height, message.width, bytes_per_pixel)[: 2 + (bytes_per_pixel > 1)]
        return cv2.cvtColor(rows.reshape(shape), code)
    if encoding in SIXTEEN_BIT_ENCODINGS:
        values = _packed(message, 2).data.view(">u2" if message.is_bigendian else "<u2")
        gray = (values >> 8).astype(np.uint8).reshape(message.height, message.width)
        return cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB)
    supported = ", ".join([*CV_BRIDGE_ENCODINGS, *OPENCV_ENCODINGS, *SIXTEEN_BIT_ENCODINGS])
    raise FrameError("unknown encoding", f"{encoding!r} is not one of {supported}")


def labels_from_message(message) -> np.ndarray:
    """Decode a label image, ``mono8`` Image or PNG CompressedImage, to uint8 ``[H, W]``.

    Raises:
        FrameError: If it is malformed or not of one 8-bit channel.
    """
    if hasattr(message, "format"):
        labels = _decoded(message, cv2.IMREAD_UNCHANGED)
        if labels.dtype != np.uint8 or labels.ndim != 2:
            raise FrameError("unknown encoding", f"a label image has one 8-bit channel, got {labels.dtype} {labels.shape}")
        return labels
    if message.encoding not in ("mono8", "8UC1"):
        raise FrameError("unknown encoding", f"a label image is mono8, got {message.encoding!r}")
    return _packed(message, 1).data


def image_message(image: np.ndarray, encoding: str, header) -> Image:
    """A uint8 array ``[H, W]`` or ``[H, W, C]`` as an Image message with the given header."""
    # A numpy array assigned to `data` would be converted element by element, which takes tens of milliseconds.
    data = array("B")
    data.frombytes(np.ascontiguousarray(image).data.cast("B"))
    height, width = image.shape[:2]
    return Image(
        header=header, height=height, width=width, encoding=encoding, step=image[0].size, is_bigendian=0, data=data
    )


def compressed_message(image: np.ndarray, file_format: str, header, *, quality: int = 95) -> CompressedImage:
    """A uint8 array, RGB ``[H, W, 3]`` or one channel ``[H, W]``, as a ``jpeg`` or ``png`` CompressedImage."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if file_format == "jpeg" else [cv2.IMWRITE_PNG_COMPRESSION, 9]
    _, encoded = cv2.imencode("." + file_format, bgr, options)
    return CompressedImage(header=header, format=file_format, data=array("B", encoded.tobytes()))


def _decoded(message, flags: int) -> np.ndarray:
    data = np.frombuffer(message.data, np.uint8)
    image = cv2.imdecode(data, flags) if data.size else None
    if image is None:
        raise FrameError("broken image", f"{data.size} bytes of format {message.format!r} cannot be decoded")
    return image


def _packed(message, bytes_per_pixel: int) -> SimpleNamespace:
    """The image, checked, as bytes without padding at the end of its rows or after the last one."""
    row_bytes = message.width * bytes_per_pixel
    if message.height < 1 or message.width < 1:
        raise FrameError("zero size", f"image of {message.width} x {message.height} pixels")
    if message.step < row_bytes:
        row = f"a row of {message.encoding}"
        raise FrameError("wrong step", f"step {message.step} is less than the {row_bytes} bytes of {row}")
    size = message.step * message.height
    if len(message.data) < size:
        raise FrameError("short buffer", f"{len(message.data)} bytes of data, {size} needed for step x height")
    rows = np.frombuffer(message.data, np.uint8, count=size).reshape(message.height, message.step)
    return SimpleNamespace(
        height=message.height,
        width=message.width,
        encoding=message.encoding,
        # Bytes have no order; cv_bridge would swap those of another order than the machine's, and fails at it.
        is_bigendian=sys.byteorder == "big",
        data=np.ascontiguousarray(rows[:, :row_bytes]),
    )
