"""Every encoding of sensor_msgs/image_encodings.hpp: the right colours, or a refusal that helps; and what cv_bridge gets."""

import sys
from array import array
from types import SimpleNamespace

import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import Image

from mpvss_model import ConfigError, FrameError
from mpvss_ros.messages import raw_image
from mpvss_ros.messages.raw_image import CV_BRIDGE_ENCODINGS, rgb_from_raw_image

HEIGHT, WIDTH = 12, 16
COLOUR = {"R": 200, "G": 120, "B": 40, "A": 7, "Y": 132, "U": 81, "V": 169}  # Y, U, V of video range, BT.601
GRAY = 140
PER_16_BIT = 257


def pixels(order, height=HEIGHT, width=WIDTH, scale=1, dtype=np.uint8):
    """A uniform image whose channels come in this order, ``[H, W x len(order)]``."""
    return np.tile(np.array([COLOUR[c] * scale for c in order], dtype), (height, width))


def mosaic(pattern, **kwargs):
    return np.concatenate(
        [pixels(row, height=1, width=WIDTH // 2, **kwargs) for row in (pattern[:2], pattern[2:])] * (HEIGHT // 2)
    )


def gray(scale=1, dtype=np.uint8):
    return np.full((HEIGHT, WIDTH), GRAY * scale, dtype)


def deep(order, dtype="<u2"):
    return pixels(order, scale=PER_16_BIT, dtype=dtype)


def semi_planar(order, chroma_height, chroma_width, height=HEIGHT, width=WIDTH):
    """Luma rows, then rows of chroma pairs, as bytes."""
    chroma = pixels(order, height=chroma_height, width=chroma_width)
    return np.concatenate([np.full(height * width, COLOUR["Y"], np.uint8), chroma.reshape(-1)]).reshape(-1, 1)


COLOURED = {
    "rgb8": pixels("RGB"),
    "bgr8": pixels("BGR"),
    "rgba8": pixels("RGBA"),
    "bgra8": pixels("BGRA"),
    "rgb16": deep("RGB"),
    "bgr16": deep("BGR"),
    "rgba16": deep("RGBA"),
    "bgra16": deep("BGRA"),
    "8UC3": pixels("BGR"),
    "8UC4": pixels("BGRA"),
    "16UC3": deep("BGR"),
    "16UC4": deep("BGRA"),
    **{f"bayer_{p}8": mosaic(p.upper()) for p in ("rggb", "bggr", "gbrg", "grbg")},
    **{f"bayer_{p}16": mosaic(p.upper(), scale=PER_16_BIT, dtype="<u2") for p in ("rggb", "bggr", "gbrg", "grbg")},
    "uyvy": pixels("UYVY", width=WIDTH // 2),
    "yuv422": pixels("UYVY", width=WIDTH // 2),
    "yuyv": pixels("YUYV", width=WIDTH // 2),
    "yuv422_yuy2": pixels("YUYV", width=WIDTH // 2),
    "nv12": semi_planar("UV", HEIGHT // 2, WIDTH // 2),
    "nv21": semi_planar("VU", HEIGHT // 2, WIDTH // 2),
    "nv24": semi_planar("UV", HEIGHT, WIDTH),
}
GRAY_ONES = {"mono8": gray(), "8UC1": gray(), "mono16": gray(PER_16_BIT, "<u2"), "16UC1": gray(PER_16_BIT, "<u2")}
ALL = {**COLOURED, **GRAY_ONES}
REFUSED = [f"{kind}C{n}" for kind in ("8S", "16S", "32S", "32F", "64F") for n in (1, 2, 3, 4)] + ["8UC2", "16UC2"]


def colour_of(encoding):
    return [GRAY] * 3 if encoding in GRAY_ONES else [COLOUR[c] for c in "RGB"]


def message(encoding, rows, *, height=HEIGHT, width=WIDTH, step=None, is_bigendian=0):
    step = (width if encoding.startswith("nv") else rows.nbytes // height) if step is None else step
    data = np.ascontiguousarray(rows).tobytes()
    return SimpleNamespace(height=height, width=width, encoding=encoding, step=step, is_bigendian=is_bigendian, data=data)


def padded(rows, extra_bytes):
    """Rows of bytes, each with some more at its end."""
    raw = np.ascontiguousarray(rows).view(np.uint8)
    return np.pad(raw, ((0, 0), (0, extra_bytes)), constant_values=99)


def assert_uniform(rgb, colour, height=HEIGHT, width=WIDTH):
    assert rgb.shape == (height, width, 3) and rgb.dtype == np.uint8 and rgb.flags.c_contiguous
    # Demosaicing knows no neighbours beyond the edge.
    middle = rgb[2:-2, 2:-2].reshape(-1, 3).astype(int)
    assert np.abs(middle - colour).max() <= 2, middle[0].tolist()


@pytest.mark.parametrize("encoding", ALL)
def test_each_encoding_gives_its_colour(encoding):
    assert_uniform(rgb_from_raw_image(message(encoding, ALL[encoding])), colour_of(encoding))


@pytest.mark.parametrize("encoding", [e for e in ALL if not e.startswith("nv")])
@pytest.mark.parametrize("padding", [1, 6])
def test_padding_at_the_end_of_rows_is_left_out(encoding, padding):
    assert_uniform(rgb_from_raw_image(message(encoding, padded(ALL[encoding], padding))), colour_of(encoding))


@pytest.mark.parametrize("encoding", [e for e in ALL if "16" in e])
def test_big_endian_values_are_read_as_such(encoding):
    # Values whose two bytes differ, or else there would be nothing to see.
    rows = ((ALL[encoding] - 1) // 2 + 2**15).astype(">u2")
    expected = [128 + c // 2 for c in colour_of(encoding)]
    assert_uniform(rgb_from_raw_image(message(encoding, rows, is_bigendian=1)), expected)


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("encoding", ["mono16", "rgb16", "bayer_grbg16"])
def test_values_of_fewer_bits_are_no_black_image(encoding, bits):
    with pytest.warns(UserWarning, match=f"seem to use {bits} bits"):
        assert_uniform(rgb_from_raw_image(message(encoding, ALL[encoding] >> (16 - bits))), colour_of(encoding))


@pytest.mark.parametrize("encoding", ["nv12", "nv21"])
@pytest.mark.parametrize("size", [(12, 16), (11, 16), (12, 15), (11, 15), (1, 1)])
def test_nv12_of_any_size(encoding, size):
    height, width = size
    rows = semi_planar("UV" if encoding == "nv12" else "VU", -(-height // 2), -(-width // 2), height, width)
    rgb = rgb_from_raw_image(message(encoding, rows, height=height, width=width))
    assert rgb.shape == (height, width, 3)
    assert np.abs(rgb.astype(int) - [COLOUR[c] for c in "RGB"]).max() <= 2


def test_planes_keep_their_places():
    luma = np.arange(64, 64 + 24, dtype=np.uint8).reshape(4, 6)
    neutral = np.full((2, 6), 128, np.uint8)
    rgb = rgb_from_raw_image(message("nv12", np.concatenate([luma, neutral]), height=4, width=6))
    assert (np.diff(rgb[..., 0].reshape(-1).astype(int)) > 0).all(), "brighter from pixel to pixel, as the luma"
    # Blue to the left, none to the right.
    chroma = np.array([[[240, 128], [128, 128], [16, 128]]] * 2, np.uint8).reshape(2, 6)
    blue = rgb_from_raw_image(message("nv12", np.concatenate([luma * 0 + 128, chroma]), height=4, width=6))[..., 2]
    assert (blue[:, 0] == blue[:, 1]).all() and (blue[:, 1] > blue[:, 2]).all() and (blue[:, 3] > blue[:, 4]).all()
    full = np.repeat(chroma.reshape(2, 3, 2), 2, axis=0).repeat(2, axis=1).reshape(8, 6)
    as_nv24 = rgb_from_raw_image(message("nv24", np.concatenate([luma * 0 + 128, full]), height=4, width=6))[..., 2]
    np.testing.assert_array_equal(as_nv24, blue)


@pytest.mark.parametrize("encoding, planes", [("nv12", 1.5), ("nv21", 1.5), ("nv24", 3)])
def test_rows_of_planes_may_be_padded_and_step_may_speak_of_all_planes(encoding, planes):
    rows = COLOURED[encoding].reshape(-1, WIDTH)
    wide = padded(rows, 4)
    if encoding == "nv24":
        luma, chroma = rows[:HEIGHT], rows[HEIGHT:].reshape(HEIGHT, 2 * WIDTH)
        wide = np.concatenate([padded(luma, 4).reshape(-1), padded(chroma, 8).reshape(-1)])
    colour = [COLOUR[c] for c in "RGB"]
    assert_uniform(rgb_from_raw_image(message(encoding, wide, step=WIDTH + 4)), colour)
    assert_uniform(rgb_from_raw_image(message(encoding, rows, step=int(WIDTH * planes))), colour)


@pytest.mark.parametrize("encoding", REFUSED)
def test_what_holds_no_colours_is_refused_and_told_why(encoding):
    with pytest.raises(FrameError) as refusal:
        rgb_from_raw_image(message(encoding, np.zeros((HEIGHT, WIDTH * 32), np.uint8)))
    assert refusal.value.reason == "unknown encoding"
    expected = "rgb8, bgr8" if "U" in encoding else "holds measured values such as depth, no colours: give the node the topic"
    assert repr(encoding) in str(refusal.value) and expected in str(refusal.value)


class Spy:
    """Stands before cv_bridge and keeps what it was given."""

    def __init__(self, bridge):
        self._bridge = bridge
        self.given = []

    def imgmsg_to_cv2(self, image, desired_encoding):
        self.given.append(image)
        return self._bridge.imgmsg_to_cv2(image, desired_encoding)


@pytest.fixture
def spy(monkeypatch):
    spy = Spy(raw_image._bridge())
    monkeypatch.setattr(raw_image, "_bridge", lambda: spy)
    return spy


def genuine(plain):
    return Image(**{**vars(plain), "data": array("B", plain.data)})


def recorded(plain):
    store = get_typestore(Stores.ROS2_HUMBLE)
    kwargs = {**vars(plain), "header": None, "data": np.frombuffer(plain.data, np.uint8)}
    return store.types["sensor_msgs/msg/Image"](**kwargs)


@pytest.mark.parametrize("encoding", CV_BRIDGE_ENCODINGS)
@pytest.mark.parametrize("kind", [genuine, recorded, lambda plain: plain], ids=["rclpy", "rosbags", "plain"])
@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("is_bigendian", [0, 1])
@pytest.mark.parametrize("surplus", [b"", b"\0\0"])
def test_cv_bridge_gets_nothing_but_genuine_consistent_messages(spy, encoding, kind, padding, is_bigendian, surplus):
    rows = ALL[encoding]
    plain = message(encoding, padded(rows, padding) if padding else rows, is_bigendian=is_bigendian)
    plain.data += surplus
    given = kind(plain)
    rgb_from_raw_image(given)
    (image,) = spy.given
    assert type(image) is Image and isinstance(image.data, array)
    assert (image.height, image.width, image.encoding) == (HEIGHT, WIDTH, encoding)
    assert image.step == WIDTH * CV_BRIDGE_ENCODINGS[encoding] and len(image.data) == image.step * HEIGHT
    assert image.is_bigendian == (sys.byteorder == "big")
    assert bytes(image.data) == np.ascontiguousarray(rows).tobytes()
    needs_none_of_ours = kind is genuine and not padding and not surplus and is_bigendian == (sys.byteorder == "big")
    assert (image is given) == needs_none_of_ours


@pytest.mark.parametrize("encoding", [e for e in ALL if e not in CV_BRIDGE_ENCODINGS])
def test_cv_bridge_gets_no_encoding_that_one_of_its_versions_lacks(spy, encoding):
    rgb_from_raw_image(message(encoding, ALL[encoding]))
    assert not spy.given


def test_decoded_images_can_be_written_to():
    assert all(rgb_from_raw_image(message(e, rows)).flags.writeable for e, rows in COLOURED.items())


def test_without_cv_bridge_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv_bridge", None)
    raw_image._bridge.cache_clear()
    with pytest.raises(ConfigError, match=r"cv_bridge cannot be imported \(.*\): install .*'pip install cv-bridge'$"):
        rgb_from_raw_image(message("rgb8", COLOURED["rgb8"]))
