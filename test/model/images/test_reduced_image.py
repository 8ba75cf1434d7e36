"""JPEG images decoded no larger than they are needed, with and without simplejpeg."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from mpvss_model import FrameError
from mpvss_model.images import jpeg
from mpvss_model.images.encoded_image import decoded_image, reduced_image
from mpvss_model.images.reduced_image import reduction_for

RNG = np.random.default_rng(0)
PHOTO = cv2.resize(RNG.integers(0, 256, (6, 8, 3), np.uint8), (128, 96), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(params=["simplejpeg", "OpenCV"], autouse=True)
def decoder(request, monkeypatch):
    if request.param == "OpenCV":
        monkeypatch.setattr(jpeg, "simplejpeg", None)
    return request.param


def saved(image, file_format="JPEG", **options):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, file_format, **options)
    return stream.getvalue()


def needing(height, width):
    return lambda size: (height, width)


def block_means(image, side):
    return image.astype(float).reshape(96 // side, side, 128 // side, side, 3).mean(axis=(1, 3))


@pytest.mark.parametrize(
    "size, needed, reduction",
    [
        ((1080, 1920), (240, 427), 4),
        ((1080, 1920), (135, 240), 8),
        ((1080, 1920), (270, 480), 4),
        ((1080, 1920), (271, 480), 2),
        ((1080, 1920), (270, 481), 2),
        ((1080, 1920), (1080, 1920), 1),
        ((1080, 1920), (2160, 3840), 1),
        ((1080, 1920), (32, 57), 8),
        ((1084, 1920), (32, 57), 4),
        ((1081, 1920), (32, 57), 1),
    ],
)
def test_the_reduction_leaves_what_is_needed_and_nothing_over(size, needed, reduction):
    assert reduction_for(size, needed) == reduction


@pytest.mark.parametrize("side, needed", [(2, (48, 64)), (2, (25, 30)), (4, (24, 32)), (8, (12, 16))])
@pytest.mark.parametrize("options", [{"subsampling": 0}, {"subsampling": 2}, {"progressive": True}])
def test_a_reduced_jpeg_has_the_means_of_blocks(side, needed, options):
    data = saved(PHOTO, quality=90, **options)
    reduced = reduced_image(data, needed_size=needing(*needed))
    assert (reduced.reduction, reduced.size, reduced.pixels.shape) == (side, (96, 128), (96 // side, 128 // side, 3))
    assert np.abs(reduced.pixels - block_means(decoded_image(data), side)).mean() < 1.5


def test_both_decoders_give_the_same_pixels(decoder, monkeypatch):
    pytest.importorskip("simplejpeg")
    for options in ({"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}, {"progressive": True}):
        data = saved(PHOTO, quality=85, **options)
        for needed in ((48, 64), (24, 32), (12, 16)):
            found = reduced_image(data, needed_size=needing(*needed)).pixels
            with monkeypatch.context() as other:
                other.setattr(jpeg, "simplejpeg", None if decoder == "simplejpeg" else __import__("simplejpeg"))
                np.testing.assert_array_equal(reduced_image(data, needed_size=needing(*needed)).pixels, found)


def test_gray_jpegs_keep_their_values():
    reduced = reduced_image(saved(PHOTO[..., 0], quality=95), needed_size=needing(48, 64))
    gray = reduced.pixels if reduced.pixels.ndim == 2 else reduced.pixels[..., 2]
    assert gray.shape == (48, 64) and np.abs(gray - block_means(PHOTO, 2)[..., 0]).mean() < 1.5


def test_no_exif_header_turns_them():
    exif = Image.Exif()
    exif[0x0112] = 6
    turned, plain = (reduced_image(saved(PHOTO, **o), needed_size=needing(24, 32)) for o in ({"exif": exif}, {}))
    np.testing.assert_array_equal(turned.pixels, plain.pixels)
    assert turned.size == (96, 128)


def test_other_formats_are_decoded_whole():
    reduced = reduced_image(saved(PHOTO, "PNG"), needed_size=needing(24, 32))
    assert reduced.size == (96, 128) and reduced.reduction == 1
    np.testing.assert_array_equal(reduced.pixels, PHOTO)


def test_what_is_damaged_or_too_large_is_refused_as_at_full_size():
    whole = saved(PHOTO, quality=90)
    with pytest.raises(FrameError, match="a part of the JPEG was lost or changed"):
        reduced_image(whole[: len(whole) // 2], needed_size=needing(24, 32))
    with pytest.raises(FrameError, match="too large: image of 128 x 96 pixels"):
        reduced_image(whole, 96 * 128 - 1, needed_size=needing(24, 32))
