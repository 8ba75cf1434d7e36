from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from std_msgs.msg import Header

from mpvss_model import FrameError
from mpvss_model.images.sixteen_bits import SixteenBitRange
from mpvss_ros.messages.conversions import (
    compressed_labels_message,
    compressed_message,
    image_message,
    labels_from_message,
    rgb_from_message,
)

RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


def message(encoding, data, *, height=6, width=8, step=None, is_bigendian=0):
    data = np.ascontiguousarray(data)
    step = data.nbytes // height if step is None else step
    return SimpleNamespace(
        height=height, width=width, encoding=encoding, step=step, is_bigendian=is_bigendian, data=data.tobytes()
    )


@pytest.mark.parametrize(
    "encoding, code",
    [
        ("rgb8", None),
        ("bgr8", cv2.COLOR_RGB2BGR),
        ("rgba8", cv2.COLOR_RGB2RGBA),
        ("bgra8", cv2.COLOR_RGB2BGRA),
    ],
)
def test_colour_encodings_give_the_same_rgb(encoding, code):
    data = RGB if code is None else cv2.cvtColor(RGB, code)
    np.testing.assert_array_equal(rgb_from_message(message(encoding, data)), RGB)


def test_mono8_fills_three_channels():
    gray = RGB[..., 0]
    np.testing.assert_array_equal(rgb_from_message(message("mono8", gray)), np.stack([gray] * 3, axis=-1))


@pytest.mark.parametrize("encoding", ["mono16", "16UC1"])
@pytest.mark.parametrize("is_bigendian", [0, 1])
def test_sixteen_bits_are_scaled_from_their_full_range(encoding, is_bigendian):
    values = np.linspace(0, 65535, 48).reshape(6, 8).astype(">u2" if is_bigendian else "<u2")
    rgb = rgb_from_message(message(encoding, values, is_bigendian=is_bigendian))
    np.testing.assert_array_equal(rgb[..., 1], values.astype(np.uint16) >> 8)


@pytest.mark.parametrize(
    "encoding, pattern", [("bayer_rggb8", "RGGB"), ("bayer_bggr8", "BGGR"), ("bayer_gbrg8", "GBRG"), ("bayer_grbg8", "GRBG")]
)
def test_bayer_patterns_recover_a_uniform_colour(encoding, pattern):
    colour = {"R": 200, "G": 120, "B": 40}
    mosaic = np.tile(np.array([colour[c] for c in pattern], np.uint8).reshape(2, 2), (4, 4))
    rgb = rgb_from_message(message(encoding, mosaic, height=8, width=8))
    assert rgb[2:-2, 2:-2].reshape(-1, 3).tolist() == [[200, 120, 40]] * 16


@pytest.mark.parametrize("encoding, order", [("yuv422", "UYVY"), ("uyvy", "UYVY"), ("yuv422_yuy2", "YUYV"), ("yuyv", "YUYV")])
def test_yuv422_recovers_a_uniform_colour(encoding, order):
    value = {"Y": 150, "U": 90, "V": 180}
    pair = [value["U"], 150, value["V"], 150] if order == "UYVY" else [150, value["U"], 150, value["V"]]
    rgb = rgb_from_message(message(encoding, np.tile(np.array(pair, np.uint8), (6, 4))))
    expected = cv2.cvtColor(np.array([[[150, 180, 90]]], np.uint8), cv2.COLOR_YCrCb2RGB)[0, 0]
    # Video range in YUV422 against full range in YCrCb: the hue must agree, the exact values need not.
    assert (rgb == rgb[0, 0]).all()
    assert np.argsort(rgb[0, 0]).tolist() == np.argsort(expected).tolist()


def test_padding_at_the_end_of_rows_is_skipped():
    padded = np.full((6, 30), 99, np.uint8)
    padded[:, :24] = RGB.reshape(6, 24)
    np.testing.assert_array_equal(rgb_from_message(message("rgb8", padded)), RGB)


@pytest.mark.parametrize("file_format, tolerance", [("png", 0), ("jpeg", 40)])
def test_compressed_images_survive_the_round_trip(file_format, tolerance):
    smooth = cv2.resize(RGB, (64, 48), interpolation=cv2.INTER_CUBIC)
    decoded = rgb_from_message(compressed_message(smooth, file_format, Header()))
    assert np.abs(decoded.astype(int) - smooth).max() <= tolerance


def test_label_images_survive_the_round_trip():
    labels = RGB[..., 0]
    header = Header(frame_id="camera")
    raw = image_message(labels, "mono8", header)
    assert (raw.step, raw.encoding, raw.header) == (8, "mono8", header)
    np.testing.assert_array_equal(labels_from_message(raw), labels)
    np.testing.assert_array_equal(labels_from_message(compressed_message(labels, "png", header)), labels)


@pytest.mark.parametrize(
    ("encoding", "ids", "labels"),
    [
        ("mono8", np.uint8([[0, 3, 255], [7, 0, 254]]), [[0, 3, 255], [7, 0, 254]]),
        ("16SC1", np.int16([[0, 3, -1], [254, 300, -32768]]), [[0, 3, 255], [254, 255, 255]]),
    ],
)
def test_labels_of_8_and_16_bits_come_back_from_raw_and_compressed_images(encoding, ids, labels):
    header = Header(frame_id="camera")
    raw, compressed = image_message(ids, encoding, header), compressed_labels_message(ids, encoding, header)
    assert (raw.step, raw.encoding, len(raw.data)) == (ids[0].nbytes, encoding, ids.nbytes)
    assert labels_from_message(raw).tolist() == labels_from_message(compressed).tolist() == labels
    # What image_transport's subscriber does: it takes the encoding from the format, and the decoded bytes as they are.
    assert (compressed.format, compressed.header) == (f"{encoding}; png compressed ", header)
    decoded = cv2.imdecode(np.frombuffer(compressed.data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded.tobytes() == bytes(raw.data)


@pytest.mark.parametrize(
    "broken, reason",
    [
        (message("rgb8", RGB, step=23), "wrong step"),
        (message("rgb8", RGB[:5], step=24), "short buffer"),
        (message("rgb8", RGB, height=0, step=24), "zero size"),
        (message("rgb8", RGB, width=0, step=24), "zero size"),
        (message("yuyv", RGB, width=7, step=24), "zero size"),
        (message("32FC1", RGB), "unknown encoding"),
        (message("", RGB), "unknown encoding"),
        (message("nv12", RGB[:2], step=8), "short buffer"),
        (message("nv21", RGB, step=7), "wrong step"),
        (message("nv24", RGB, width=0, step=8), "zero size"),
        (message("rgb16", RGB, step=24), "wrong step"),
        (message("mono8", np.zeros((4001, 4000), np.uint8), height=4001, width=4000), "too large"),
        (message("nv12", np.zeros((6003, 4000), np.uint8), height=4002, width=4000, step=4000), "too large"),
        (message("mono8", RGB, height=2**31, step=8), "short buffer"),
        (message("rgb8", RGB, height=2**31, width=2**31, step=2**32 - 1), "wrong step"),
        (SimpleNamespace(format="16UC1; compressedDepth png", data=bytes(12)), "depth image"),
        (SimpleNamespace(format="32FC1; compressedDepth rvl", data=bytes(12)), "depth image"),
        (SimpleNamespace(format="jpeg", data=b""), "broken image"),
        (SimpleNamespace(format="jpeg", data=b"\xff\xd8 not a jpeg"), "broken image"),
    ],
)
def test_malformed_images_are_refused_with_a_reason(broken, reason):
    with pytest.raises(FrameError) as refusal:
        rgb_from_message(broken)
    assert refusal.value.reason == reason


def test_the_limit_of_pixels_is_the_users():
    frame, png = message("rgb8", RGB), compressed_message(RGB, "png", Header())
    for image in (frame, png):
        assert rgb_from_message(image, max_image_pixels=48).shape == (6, 8, 3)
        with pytest.raises(FrameError, match="too large: .*8 x 6 pixels; max_image_pixels is 47"):
            rgb_from_message(image, max_image_pixels=47)
    for labels in (message("mono8", RGB[..., 0]), compressed_message(RGB[..., 0], "png", Header())):
        assert labels_from_message(labels, max_image_pixels=48).shape == (6, 8)
        with pytest.raises(FrameError, match="too large"):
            labels_from_message(labels, max_image_pixels=47)


@pytest.mark.parametrize("image", ["raw", "compressed"])
def test_one_camera_keeps_one_range_of_sixteen_bits(image):
    camera = SixteenBitRange(report=lambda _: None)

    def shown(value):
        values = np.full((6, 8), value, np.uint16)
        png = SimpleNamespace(format="mono16; png compressed ", data=cv2.imencode(".png", values)[1].tobytes())
        return rgb_from_message(message("mono16", values) if image == "raw" else png, sixteen_bits=camera)[0, 0].tolist()

    assert [shown(value) for value in (4000, 800, 1000)] == [[250] * 3, [50] * 3, [62] * 3]
    camera.significant_bits = 10
    assert shown(1000) == [250] * 3


@example(encoding="mono8", height=1, width=1, step=1, data=b"\0", is_bigendian=1)
@example(encoding="yuyv", height=2, width=2, step=4, data=bytes(9), is_bigendian=0)
@given(
    encoding=st.sampled_from(
        ["rgb8", "bgra8", "mono8", "mono16", "bayer_grbg8", "bayer_rggb16", "yuyv", "8UC3", "nv12", "nv24", "rgb16", "bogus"]
    ),
    height=st.integers(0, 9),
    width=st.integers(0, 9),
    step=st.integers(0, 40),
    data=st.binary(max_size=400),
    is_bigendian=st.integers(0, 1),
)
def test_any_image_is_decoded_or_refused(encoding, height, width, step, data, is_bigendian):
    image = SimpleNamespace(encoding=encoding, height=height, width=width, step=step, data=data, is_bigendian=is_bigendian)
    try:
        rgb = rgb_from_message(image)
    except FrameError:
        return
    assert rgb.shape == (height, width, 3) and rgb.dtype == np.uint8
