"""CompressedImage as compressed_image_transport publishes it: what the format says, and what is in the data."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mpvss_model import FrameError
from mpvss_ros.messages.compressed_image import reduced_rgb_from_compressed_image, rgb_from_compressed_image

COLOUR = {"R": 200, "G": 120, "B": 40}
RGB = np.full((24, 32, 3), [200, 120, 40], np.uint8)
BGR = RGB[..., ::-1]
GRAY = np.full((24, 32), 140, np.uint8)


def message(image_format, image, extension):
    """What ``cv2.imencode`` makes of an array: it takes colours to be BGR."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 100] if extension == ".jpg" else []
    return SimpleNamespace(format=image_format, data=cv2.imencode(extension, image, options)[1].tobytes())


def mean_colour(image):
    return rgb_from_compressed_image(image)[8:-8, 8:-8].reshape(-1, 3).mean(axis=0)


def mosaic(pattern, dtype=np.uint8, scale=1):
    return np.tile(np.array([COLOUR[c] * scale for c in pattern.upper()], dtype).reshape(2, 2), (12, 16))


@pytest.mark.parametrize(
    "image_format, image, extension",
    [
        ("jpeg", BGR, ".jpg"),
        ("jpg", BGR, ".jpg"),
        ("png", BGR, ".png"),
        ("", BGR, ".jpg"),
        ("rgb8; jpeg", BGR, ".jpg"),
        ("bgr8; jpeg compressed bgr8", BGR, ".jpg"),
        ("rgb8; jpeg compressed bgr8", BGR, ".jpg"),
        ("rgba8; jpeg compressed bgr8", BGR, ".jpg"),
        ("yuv422_yuy2; jpeg compressed bgr8", BGR, ".jpg"),
        ("bgr8; png compressed bgr8", BGR, ".png"),
        ("rgb16; png compressed bgr16", BGR.astype(np.uint16) * 257, ".png"),
        # Published by programs that handed RGB to OpenCV, and say so.
        ("rgb8; jpeg compressed rgb8", RGB, ".jpg"),
        ("bgr8; png compressed rgb8", RGB, ".png"),
        ("rgb8; tiff compressed ", RGB, ".tiff"),
        # Encodings that the transport does not take for colours are compressed as they are.
        ("8UC3; png compressed ", BGR, ".png"),
        ("bayer_rggb8; jpeg compressed bgr8", BGR, ".jpg"),
    ],
)
def test_colours_are_right(image_format, image, extension):
    assert np.abs(mean_colour(message(image_format, image, extension)) - [200, 120, 40]).max() <= 3


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("packing, extension", [("png", ".png"), ("jpeg", ".jpg"), ("tiff", ".tiff")])
@pytest.mark.parametrize("packed_as", ["", " ", " bayer_{}8"])
def test_mosaics_become_colours(pattern, packing, extension, packed_as):
    image_format = f"bayer_{pattern}8; {packing} compressed{packed_as.format(pattern)}"
    assert np.abs(mean_colour(message(image_format, mosaic(pattern), extension)) - [200, 120, 40]).max() <= 12


@pytest.mark.parametrize("bits", [12, 16])
def test_mosaics_of_sixteen_bits_become_colours(bits):
    image = mosaic("grbg", np.uint16, 257) >> (16 - bits)
    with pytest.warns(UserWarning, match="12 bits") if bits == 12 else np.errstate():
        colour = mean_colour(message("bayer_grbg16; png compressed ", image, ".png"))
    np.testing.assert_array_equal(colour, [200, 120, 40])


@pytest.mark.parametrize(
    "image_format, image, extension",
    [
        ("mono8; jpeg compressed mono8", GRAY, ".jpg"),
        ("mono8; jpeg compressed ", GRAY, ".jpg"),
        ("mono16; png compressed ", GRAY.astype(np.uint16) * 257, ".png"),
        ("16UC1; jpeg compressed mono8", GRAY, ".jpg"),
        # The transport makes JPEG of Bayer images gray.
        ("bayer_rggb8; jpeg compressed mono8", GRAY, ".jpg"),
        ("png", GRAY, ".png"),
    ],
)
def test_one_channel_is_gray(image_format, image, extension):
    assert np.abs(mean_colour(message(image_format, image, extension)) - 140).max() <= 1


def test_depth_is_called_depth_and_the_colour_topic_named():
    with pytest.raises(FrameError) as refusal:
        rgb_from_compressed_image(SimpleNamespace(format="16UC1; compressedDepth png", data=bytes(12)))
    assert refusal.value.reason == "depth image"
    assert "'16UC1; compressedDepth png' holds depth" in str(refusal.value) and "image_raw" in str(refusal.value)


def test_a_refusal_names_the_format():
    with pytest.raises(FrameError, match="broken image: format 'h264', 5 bytes"):
        rgb_from_compressed_image(SimpleNamespace(format="h264", data=b"\0\0\0\1g"))


@pytest.mark.parametrize("image_format", ["jpeg", "rgb8; jpeg compressed bgr8"])
def test_colours_of_reduced_images_are_right(image_format):
    reduced = reduced_rgb_from_compressed_image(
        message(image_format, BGR, ".jpg"), max_image_pixels=10_000, sixteen_bits=None, needed_size=lambda size: (12, 16)
    )
    assert (reduced.size, reduced.pixels.shape) == ((24, 32), (12, 16, 3))
    assert np.abs(reduced.pixels.reshape(-1, 3).mean(axis=0) - [200, 120, 40]).max() <= 3


def test_a_mosaic_is_not_reduced():
    packed = message("bayer_rggb8; jpeg compressed ", mosaic("rggb"), ".jpg")
    reduced = reduced_rgb_from_compressed_image(
        packed, max_image_pixels=10_000, sixteen_bits=None, needed_size=lambda size: (12, 16)
    )
    assert reduced.reduction == 1
    np.testing.assert_array_equal(reduced.pixels, rgb_from_compressed_image(packed))
