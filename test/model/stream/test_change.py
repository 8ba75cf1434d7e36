import cv2
import numpy as np
import pytest

from mpvss_model.stream.change import is_cut, measure_change, thumbnail


def texture(seed, size=(240, 320), scale_px=8.0):
    """Smooth structure of many sizes, of full contrast."""
    rng = np.random.default_rng(seed)
    layers = [cv2.GaussianBlur(rng.normal(size=size), (0, 0), scale_px * 2**i) * 2**i for i in range(3)]
    image = cv2.normalize(sum(layers), None, 20, 235, cv2.NORM_MINMAX).astype(np.uint8)
    return np.repeat(image[..., None], 3, axis=-1)


def noisy(image, seed, deviation=20.0):
    return np.clip(image + np.random.default_rng(seed).normal(0, deviation, image.shape), 0, 255).astype(np.uint8)


def change(key, current):
    return measure_change(thumbnail(key), thumbnail(current))


WIDE = texture(0, size=(240, 520))
VIEW = WIDE[:, :320]


@pytest.mark.parametrize(
    "current",
    [VIEW, noisy(VIEW, 1), (VIEW * 0.6).astype(np.uint8), VIEW // 2 + 60, noisy(VIEW // 2 + 20, 2)],
    ids=["same", "noise", "darker", "less contrast", "all of it"],
)
def test_noise_and_exposure_alone_are_no_change(current):
    assert change(noisy(VIEW, 0), current).share < 0.02


def test_what_comes_from_outside_the_key_frame_is_unexplained():
    moved = WIDE[:, 24:344]
    error = change(VIEW, moved).error_map(240, 320)
    assert error.shape == (240, 320) and error.dtype == np.float32
    assert error[:, 310:].mean() > 0.8
    assert error[:, :280].mean() < 0.1


def test_the_faster_the_pan_the_more_is_unexplained():
    shares = [change(VIEW, WIDE[:, shift : shift + 320]).share for shift in (0, 8, 24, 60, 120)]
    assert shares == sorted(shares) and shares[0] == 0.0


def test_an_object_that_appears_is_unexplained_where_it_is():
    current = VIEW.copy()
    current[80:160, 100:180] = texture(7, scale_px=3.0)[80:160, 100:180]
    current[80:160, 100:180, :] //= 3
    error = change(VIEW, current).error_map(240, 320)
    assert error[90:150, 110:170].mean() > 3 * error.mean() > 0.0
    assert error[:, 220:].mean() < 0.02


@pytest.mark.parametrize("seed", range(1, 9))
def test_a_different_scene_is_a_cut_and_a_turning_camera_is_not(seed):
    assert is_cut(VIEW, texture(seed))
    assert not is_cut(VIEW, WIDE[:, 18:338])


def test_a_blank_image_is_explained_by_itself():
    blank = np.full((240, 320, 3), 200, np.uint8)
    assert change(blank, blank).share == 0.0


@pytest.mark.parametrize("size", [(16, 16), (16, 700), (700, 16), (33, 79), (480, 640), (1080, 1920)])
def test_images_of_any_size_are_compared(size):
    image = texture(3, size=size)
    small = thumbnail(image)
    assert small.dtype == np.uint8 and min(small.shape) >= 32 and max(small.shape) <= max(80, 32)
    measured = measure_change(small, small)
    assert measured.share < 0.01
    assert measured.error_map(*size).shape == size
