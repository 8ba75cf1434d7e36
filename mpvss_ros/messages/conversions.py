"""Messages <-> numpy arrays.

The functions read plain attributes, so they take messages of ``rclpy`` and of ``rosbags`` alike: the node and the offline
evaluation decode a frame with the very same code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from mpvss_model import FrameError
from mpvss_model.config import MAX_IMAGE_PIXELS, UNLABELED
from mpvss_model.images.encoded_image import check_encoded_size
from mpvss_model.images.reduced_image import NeededSize, ReducedImage
from mpvss_model.images.sixteen_bits import SixteenBitRange
from mpvss_model.stamps import seconds
from mpvss_ros.messages.compressed_image import reduced_rgb_from_compressed_image, rgb_from_compressed_image
from mpvss_ros.messages.message_data import with_data
from mpvss_ros.messages.raw_image import packed_rows, rgb_from_raw_image

if TYPE_CHECKING:
    from sensor_msgs.msg import CompressedImage, Image

__all__ = [
    "compressed_labels_message",
    "compressed_message",
    "encoding_name",
    "image_message",
    "labels_from_message",
    "reduced_rgb_from_message",
    "rgb_from_message",
    "stamp_ns",
    "stamp_s",
]

# Of label images, where one pixel mostly repeats the one before: smaller and faster than what OpenCV takes for photographs.
PNG_OF_LABELS = [cv2.IMWRITE_PNG_COMPRESSION, 3, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]


def stamp_ns(message) -> int:
    """The header's stamp in nanoseconds."""
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


def encoding_name(message) -> str:
    """What people call an image's encoding, such as ``bgr8`` or ``jpeg (compressed)``."""
    return getattr(message, "encoding", None) or f"{message.format} (compressed)"


def stamp_s(message) -> float:
    """The header's stamp in seconds."""
    return seconds(stamp_ns(message))


def rgb_from_message(
    message, *, max_image_pixels: int = MAX_IMAGE_PIXELS, sixteen_bits: SixteenBitRange | None = None
) -> np.ndarray:
    """Decode a ``sensor_msgs`` Image or CompressedImage to uint8 RGB ``[H, W, 3]``.

    Args:
        message: Of ``rclpy``, ``rosbags`` or any other origin.
        max_image_pixels: Width x height, at most; checked before anything is decoded.
        sixteen_bits: The camera's range of 16-bit values, to be given again for each of its images; None estimates it from
            this image alone.

    Raises:
        FrameError: If the message is malformed, too large, or its encoding is not supported.
    """
    decode = rgb_from_compressed_image if hasattr(message, "format") else rgb_from_raw_image
    return decode(message, max_image_pixels=max_image_pixels, sixteen_bits=sixteen_bits)


def reduced_rgb_from_message(
    message, *, needed_size: NeededSize, max_image_pixels: int = MAX_IMAGE_PIXELS, sixteen_bits: SixteenBitRange | None = None
) -> ReducedImage:
    """As `rgb_from_message`, but compressed images no larger than they are needed, where that saves time.

    Args:
        message: Of ``rclpy``, ``rosbags`` or any other origin.
        needed_size: Tells the height and width that are enough for an image of some height and width.
        max_image_pixels: Width x height of the image itself, at most.
        sixteen_bits: The camera's range of 16-bit values; None estimates it from this image alone.

    Raises:
        FrameError: As `rgb_from_message`, for the same messages.
    """
    if not hasattr(message, "format"):
        return ReducedImage(rgb_from_raw_image(message, max_image_pixels=max_image_pixels, sixteen_bits=sixteen_bits))
    return reduced_rgb_from_compressed_image(
        message, max_image_pixels=max_image_pixels, sixteen_bits=sixteen_bits, needed_size=needed_size
    )


def labels_from_message(message, *, max_image_pixels: int = MAX_IMAGE_PIXELS) -> np.ndarray:
    """Decode a label image, ``mono8`` or ``16SC1`` Image or PNG CompressedImage, to uint8 ``[H, W]``.

    Of 16 bits, ids below 0 and above 255 are nobody's class: they become 255, unlabeled.

    Args:
        message: Of ``rclpy``, ``rosbags`` or any other origin.
        max_image_pixels: Width x height, at most; checked before anything is decoded.

    Raises:
        FrameError: If it is malformed, too large, or not of one channel of 8 or 16 bits.
    """
    if hasattr(message, "format"):
        return _decoded_labels(message, max_image_pixels)
    if message.encoding == "16SC1":
        return _eight_bits(packed_rows(message, 2, max_image_pixels).view(">i2" if message.is_bigendian else "<i2"))
    if message.encoding not in ("mono8", "8UC1"):
        raise FrameError("unknown encoding", f"a label image is mono8 or 16SC1, got {message.encoding!r}")
    return packed_rows(message, 1, max_image_pixels)


def image_message(image: np.ndarray, encoding: str, header) -> Image:
    """An array ``[H, W]`` or ``[H, W, C]``, of the encoding's type, as an Image message with the given header."""
    from sensor_msgs.msg import Image

    height, width = image.shape[:2]
    message = Image(header=header, height=height, width=width, encoding=encoding, step=image[0].nbytes, is_bigendian=0)
    return with_data(message, image)


def compressed_message(image: np.ndarray, file_format: str, header, *, quality: int = 95) -> CompressedImage:
    """A uint8 array, RGB ``[H, W, 3]`` or one channel ``[H, W]``, as a ``jpeg`` or ``png`` CompressedImage."""
    from sensor_msgs.msg import CompressedImage

    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if file_format == "jpeg" else [cv2.IMWRITE_PNG_COMPRESSION, 9]
    _, encoded = cv2.imencode("." + file_format, bgr, options)
    return with_data(CompressedImage(header=header, format=file_format), encoded)


def compressed_labels_message(labels: np.ndarray, encoding: str, header) -> CompressedImage:
    """Label ids ``[H, W]``, of the encoding's type, without loss as ``image_transport`` would have compressed them to PNG.

    Its subscribers read the encoding from the format, and get the raw image back, bit for bit, also of signed 16 bits.
    """
    from sensor_msgs.msg import CompressedImage

    # PNG knows no sign, and OpenCV would cut off what is below 0.
    pixels = labels if labels.dtype == np.uint8 else labels.view(np.uint16)
    _, encoded = cv2.imencode(".png", pixels, PNG_OF_LABELS)
    return with_data(CompressedImage(header=header, format=f"{encoding}; png compressed "), encoded)


def _decoded_labels(message, max_image_pixels: int) -> np.ndarray:
    data = np.frombuffer(message.data, np.uint8)
    check_encoded_size(data.tobytes(), max_image_pixels)
    labels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if labels is None:
        raise FrameError("broken image", f"{data.size} bytes of format {message.format!r} cannot be decoded")
    if labels.ndim == 2 and labels.dtype == np.uint16 and message.format.startswith("16SC1"):
        return _eight_bits(labels.view(np.int16))
    if labels.dtype != np.uint8 or labels.ndim != 2:
        raise FrameError("unknown encoding", f"a label image has one 8-bit channel, got {labels.dtype} {labels.shape}")
    return labels


def _eight_bits(ids: np.ndarray) -> np.ndarray:
    return np.where((ids < 0) | (ids > UNLABELED), UNLABELED, ids).astype(np.uint8)
