"""Image files: their size before they are decoded, their pixels as stored, and damage that decoders keep to themselves."""

import io
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from mpvss_model import FrameError
from mpvss_model.images import jpeg
from mpvss_model.images.encoded_image import check_encoded_size, decoded_image

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (96, 128, 3), np.uint8)
PHOTO = cv2.resize(RNG.integers(0, 256, (6, 8, 3), np.uint8), (128, 96), interpolation=cv2.INTER_CUBIC)


def saved(image, file_format, **options):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, file_format, **options)
    return stream.getvalue()


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_that_claims(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = png_chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + pixels + png_chunk(b"IEND", b"")


def jpeg_that_claims(width, height):
    data = bytearray(saved(PHOTO, "JPEG"))
    size_at = data.index(b"\xff\xc0") + 5
    data[size_at : size_at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


JPEGS = {
    "4:2:0": saved(PHOTO, "JPEG", quality=90, subsampling=2),
    "4:4:4": saved(PHOTO, "JPEG", quality=90, subsampling=0),
    "gray": saved(PHOTO[..., 0], "JPEG", quality=90),
    "progressive": saved(PHOTO, "JPEG", quality=90, progressive=True),
    "restarts": cv2.imencode(".jpg", PHOTO, [cv2.IMWRITE_JPEG_RST_INTERVAL, 2])[1].tobytes(),
}


@pytest.mark.parametrize("name", JPEGS)
def test_whole_jpegs_are_decoded_as_by_pillow(name):
    expected = np.array(Image.open(io.BytesIO(JPEGS[name])))
    np.testing.assert_array_equal(decoded_image(JPEGS[name]), expected)


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize("part", ["end", "end, marked", "middle"])
def test_jpegs_that_lost_a_part_are_refused(name, part):
    whole = JPEGS[name]
    start, middle = whole.rindex(b"\xff\xda") + 20, (whole.rindex(b"\xff\xda") + len(whole)) // 2
    lost = {
        "end": whole[:middle],
        "end, marked": whole[:middle] + b"\xff\xd9",
        "middle": whole[:start] + whole[middle:],
    }
    with pytest.raises(FrameError, match="a part of the JPEG was lost or changed"):
        decoded_image(lost[part])


@pytest.mark.parametrize("garbage", [bytes(100), RNG.bytes(100)], ids=["zeros", "noise"])
def test_most_jpegs_with_overwritten_bytes_are_refused(garbage):
    whole = saved(NOISE, "JPEG", quality=90)
    refused = 0
    places = np.linspace(whole.index(b"\xff\xda") + 20, len(whole) - 200, 40).astype(int)
    for place in places:
        damaged = whole[:place] + garbage + whole[place + 100 :]
        try:
            decoded_image(damaged)
        except FrameError as error:
            assert error.reason == "broken image"
            refused += 1
    # After some damage the decoder is back in step at the very end: there is nothing that could tell.
    assert refused >= 30


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(lambda data: data[:-2], id="no end mark"),
        pytest.param(lambda data: data + bytes(500), id="zeros after the end"),
        pytest.param(lambda data: data[:-2] + bytes(5) + data[-2:], id="a webcam's surplus before the end mark"),
        pytest.param(lambda data: data.replace(b"\xff\xd1", bytes(3) + b"\xff\xd1"), id="and before a restart mark"),
    ],
)
def test_oddities_that_cost_no_pixel_are_accepted(odd):
    for name in ("restarts", "4:2:0"):
        np.testing.assert_array_equal(decoded_image(odd(JPEGS[name])), decoded_image(JPEGS[name]))


def test_kinds_of_jpeg_that_only_opencv_knows_are_decoded():
    data = bytearray(JPEGS["4:4:4"])
    data[data.index(b"\xff\xc0") + 11] = 0x31  # three luma samples for each pair of chroma
    assert decoded_image(bytes(data)).shape == PHOTO.shape
    cmyk = io.BytesIO()
    Image.fromarray(PHOTO).convert("CMYK").save(cmyk, "JPEG", quality=95)
    assert np.abs(decoded_image(cmyk.getvalue()).astype(int) - PHOTO).mean() < 4


def test_without_simplejpeg_jpegs_that_break_off_are_refused(monkeypatch):
    monkeypatch.setattr(jpeg, "simplejpeg", None)
    whole = JPEGS["4:2:0"]
    np.testing.assert_array_equal(decoded_image(whole), np.array(Image.open(io.BytesIO(whole))))
    assert decoded_image(JPEGS["gray"]).ndim == 2
    with pytest.raises(FrameError, match="its end is missing"):
        decoded_image(whole[: len(whole) // 2])


def test_a_png_with_one_wrong_bit_is_refused():
    whole = saved(NOISE, "PNG")
    for place in np.linspace(60, len(whole) - 20, 20).astype(int):
        damaged = bytearray(whole)
        damaged[place] ^= 8
        with pytest.raises(FrameError, match="broken image"):
            decoded_image(bytes(damaged))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_pixels_are_those_that_are_stored_whatever_the_exif_header_says(file_format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if file_format == "WEBP" else {}
    turned = saved(PHOTO, file_format, exif=exif, **options)
    np.testing.assert_array_equal(decoded_image(turned), decoded_image(saved(PHOTO, file_format, **options)))


def test_alpha_and_palettes_do_not_change_the_colours():
    transparent = np.dstack([PHOTO, np.zeros((96, 128), np.uint8)])
    np.testing.assert_array_equal(decoded_image(saved(transparent, "PNG")), PHOTO)
    stripes = np.repeat(np.arange(8, dtype=np.uint8), 12)[:, None].repeat(128, axis=1)
    paletted = Image.fromarray(stripes)
    paletted.putpalette(list(range(24)))
    stream = io.BytesIO()
    paletted.save(stream, "PNG")
    np.testing.assert_array_equal(decoded_image(stream.getvalue())[::12, 0], np.arange(24).reshape(8, 3))


def test_sixteen_bits_stay_sixteen():
    values = RNG.integers(0, 65536, (8, 8, 3)).astype(np.uint16)
    np.testing.assert_array_equal(decoded_image(cv2.imencode(".png", values[..., ::-1])[1].tobytes()), values)
    np.testing.assert_array_equal(decoded_image(cv2.imencode(".png", values[..., 0])[1].tobytes()), values[..., 0])


def test_values_that_are_no_colours_are_refused():
    depth = cv2.imencode(".tiff", np.ones((8, 8), np.float32))[1].tobytes()
    with pytest.raises(FrameError, match="float32 values holds depth or the like"):
        decoded_image(depth)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    "data",
    [
        png_that_claims(60000, 60000),
        png_that_claims(12000, 10000),
        jpeg_that_claims(65500, 65500),
        jpeg_that_claims(4001, 4000),
        b"P6\n60000 60000\n255\nabc",
        b"P5\n5000 5000\n255\nabc",
        b"BM" + struct.pack("<IIIIiiHHIIIIII", 54, 0, 54, 40, 50000, 50000, 1, 24, 0, 0, 0, 0, 0, 0),
    ],
    ids=["png", "png, less", "jpeg", "jpeg, less", "ppm", "pgm", "bmp"],
)
def test_an_absurd_size_is_refused_before_anything_is_decoded(data):
    tracemalloc.start()
    with pytest.raises(FrameError) as refusal:
        decoded_image(data)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refusal.value.reason == "too large" and "max_image_pixels is 16000000" in str(refusal.value)
    assert peak_bytes < 2_000_000


def test_the_limit_is_the_users():
    data = saved(PHOTO, "PNG")
    assert decoded_image(data, max_image_pixels=128 * 96).shape == (96, 128, 3)
    with pytest.raises(FrameError, match="too large: image of 128 x 96 pixels; max_image_pixels is 12287"):
        check_encoded_size(data, max_image_pixels=128 * 96 - 1)


@pytest.mark.parametrize("data", [b"", b"no image", b"\xff\xd8 not a jpeg", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_refused(data):
    with pytest.raises(FrameError, match="broken image"):
        decoded_image(data)
