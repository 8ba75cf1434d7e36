import numpy as np
import pytest

from mpvss_model.images.sixteen_bits import SixteenBitRange


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_the_range_of_a_sensor_becomes_black_to_white(bits, order):
    values = np.linspace(0, 2**bits - 1, 256).reshape(16, 16).astype(order)
    scaled = SixteenBitRange(report=lambda _: None).to_uint8(values)
    assert scaled.dtype == np.uint8
    np.testing.assert_array_equal(scaled, values.astype(int) >> (bits - 8))
    assert (scaled.min(), scaled.max()) == (0, 255)


def test_the_range_grows_and_never_shrinks():
    reports = []
    camera = SixteenBitRange(report=reports.append)
    dark, bright = np.array([500, 800], np.uint16), np.array([500, 4000], np.uint16)
    first = camera.to_uint8(dark)
    assert first.tolist() == [125, 200]
    assert camera.to_uint8(bright).tolist() == [31, 250]
    for _ in range(3):
        assert camera.to_uint8(dark).tolist() == [31, 50], "the brightness of a camera must not flicker"
    assert len(reports) == 2 and "1023" in reports[0] and "4095" in reports[1]


def test_a_camera_of_sixteen_bits_is_not_reported():
    reports = []
    SixteenBitRange(report=reports.append).to_uint8(np.array([65535], np.uint16))
    assert not reports


def test_significant_bits_are_not_estimated_and_larger_values_are_white():
    camera = SixteenBitRange(report=pytest.fail)
    camera.significant_bits = 10
    assert camera.to_uint8(np.array([0, 512, 1023, 1024, 65535], np.uint16)).tolist() == [0, 128, 255, 255, 255]


def test_a_black_image_is_black():
    assert SixteenBitRange(report=lambda _: None).to_uint8(np.zeros((2, 2), np.uint16)).max() == 0
