import struct

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from mpvss_model import FrameError
from mpvss_ros.messages.depth_image import depth_from_message

MILLIMETRES = np.array([[0, 1, 1500], [65535, 2000, 0]], np.uint16)
METRES = np.array([[np.nan, 0.001, 1.5], [65.535, 2.0, np.nan]], np.float32)


def image(values, encoding, *, padding=0, is_bigendian=False):
    values = values.astype(values.dtype.newbyteorder(">" if is_bigendian else "<"))
    rows = [row.tobytes() + b"\xff" * padding for row in values]
    height, width = values.shape
    return Image(
        height=height,
        width=width,
        encoding=encoding,
        step=len(rows[0]),
        is_bigendian=int(is_bigendian),
        data=b"".join(rows),
    )


@pytest.mark.parametrize("is_bigendian", [False, True])
@pytest.mark.parametrize("padding", [0, 6])
def test_millimetres_and_metres_say_the_same(padding, is_bigendian):
    for values, encoding in ((MILLIMETRES, "16UC1"), (MILLIMETRES, "mono16"), (METRES, "32FC1")):
        depth_m = depth_from_message(image(values, encoding, padding=padding, is_bigendian=is_bigendian))
        assert depth_m.dtype == np.float32 and depth_m.dtype.isnative
        np.testing.assert_allclose(depth_m, METRES, rtol=1e-6)


@pytest.mark.parametrize("nothing", [0.0, -1.0, np.inf, -np.inf, np.nan])
def test_what_is_no_distance_is_not_measured(nothing):
    depth_m = depth_from_message(image(np.array([[nothing, 3.0]], np.float32), "32FC1"))
    np.testing.assert_array_equal(depth_m, np.array([[np.nan, 3.0]], np.float32))


def compressed(values, message_format, a=0.0, b=0.0):
    png = cv2.imencode(".png", values)[1].tobytes()
    return CompressedImage(format=message_format, data=struct.pack("<iff", 0, a, b) + png)


@pytest.mark.parametrize("message_format", ["16UC1; compressedDepth", "16UC1; compressedDepth png"])
def test_compressed_millimetres_are_those_of_the_raw_image(message_format):
    np.testing.assert_allclose(depth_from_message(compressed(MILLIMETRES, message_format)), METRES, rtol=1e-6)


def test_compressed_metres_are_inverse_depth_in_steps():
    a, b = 100.0 * 101.0, -9.0  # of depth quantization 100, from 1 m on
    steps = np.array([[0, a / 2.0 + b, a / 5.0 + b]]).round().astype(np.uint16)
    depth_m = depth_from_message(compressed(steps, "32FC1; compressedDepth png", a, b))
    np.testing.assert_allclose(depth_m, [[np.nan, 2.0, 5.0]], rtol=1e-3)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (image(np.zeros((2, 3), np.uint8), "mono8"), "depth is 16UC1 or 32FC1, got 'mono8': give a depth topic"),
        (Image(height=2, width=2, encoding="16UC1", step=4, data=b"1234567"), "7 bytes of data, 8 needed"),
        (CompressedImage(format="16UC1; compressedDepth rvl", data=b"\0" * 40), "is a PNG of 16UC1 or 32FC1"),
        (compressed(MILLIMETRES.astype(np.uint8), "16UC1; compressedDepth"), "are no PNG of 16 bits"),
        (compressed(MILLIMETRES, "jpeg"), "got format 'jpeg'"),
    ],
)
def test_what_is_no_depth_is_refused_in_one_line(message, text):
    with pytest.raises(FrameError, match=text) as caught:
        depth_from_message(message)
    assert "\n" not in str(caught.value)
