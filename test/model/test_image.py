import cv2
import numpy as np
import pytest
import torch

from mpvss_model import FrameError
from mpvss_model.image import FramePadding, check_frame, motion_blurred, normalized, resized


@pytest.mark.parametrize("size", [(32, 64), (33, 64), (240, 320), (31, 1)])
def test_unpadding_undoes_padding(size):
    image = torch.randn(1, 3, *size)
    padding = FramePadding(*size)
    padded = padding.pad(image)
    assert padded.shape[-2] % 32 == padded.shape[-1] % 32 == 0
    assert tuple(padded.shape[-2:]) == padding.padded_size
    torch.testing.assert_close(padding.unpad(padded), image)
    assert padded.abs().sum() == pytest.approx(float(image.abs().sum()), rel=1e-5)


def test_normalizing_uses_the_scale_of_bytes():
    frame = np.full((2, 3, 3), (10, 20, 30), np.uint8)
    mean = torch.tensor([10.0, 10.0, 10.0]).view(1, 3, 1, 1)
    std = torch.tensor([1.0, 2.0, 4.0]).view(1, 3, 1, 1)
    assert normalized(torch.from_numpy(frame), mean, std)[0, :, 0, 0].tolist() == [0.0, 5.0, 5.0]


@pytest.mark.parametrize(
    "frame, reason",
    [
        (np.zeros((32, 32, 3), np.float32), "wrong layout"),
        (np.zeros((32, 32), np.uint8), "wrong layout"),
        (np.zeros((3, 32, 32), np.uint8), "wrong layout"),
        ([[1, 2, 3]], "wrong layout"),
        (np.zeros((8, 32, 3), np.uint8), "too small"),
    ],
)
def test_unusable_frames_are_refused_with_a_reason(frame, reason):
    with pytest.raises(FrameError) as refusal:
        check_frame(frame)
    assert refusal.value.reason == reason


@pytest.mark.parametrize("angle, rows, columns", [(0.0, 0, 8), (np.pi / 2, 8, 0), (np.pi / 4, 6, 6)])
def test_motion_blur_makes_a_point_a_streak(angle, rows, columns):
    image = np.zeros((41, 41, 3), np.uint8)
    image[20, 20] = 255
    blurred = motion_blurred(image, 9, angle)[..., 0]
    lit = np.argwhere(blurred)
    assert np.ptp(lit, axis=0).tolist() == [rows, columns]
    assert abs(int(blurred.sum()) - 255) < 20


@pytest.mark.parametrize("length_px", [0.0, 0.7, 1.0])
def test_motion_blur_of_a_pixel_changes_nothing(length_px):
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    np.testing.assert_array_equal(motion_blurred(image, length_px, 1.0), image)


def test_an_image_that_has_the_size_is_not_copied():
    image = np.zeros((20, 30, 3), np.uint8)
    assert resized(image, (20, 30)) is image


@pytest.mark.parametrize(
    "before, after",
    [
        ((1080, 1920), (240, 427)),
        ((1080, 1920), (480, 853)),
        ((480, 640), (240, 320)),
        ((460, 620), (240, 323)),
        ((1079, 1921), (240, 427)),
        ((540, 960), (320, 569)),
        ((600, 800), (320, 427)),
        ((640, 360), (427, 240)),
        ((48, 64), (96, 128)),
    ],
)
def test_an_image_keeps_its_brightness_and_its_places_when_it_is_resized(before, after):
    ramp = np.linspace(0, 255, before[1])[:, None].repeat(3, axis=1)
    made = resized(np.broadcast_to(np.rint(ramp), (before[0], before[1], 3)).astype(np.uint8), after)
    assert made.shape == (*after, 3)
    expected = ((np.arange(after[1]) + 0.5) * before[1] / after[1] - 0.5) / (before[1] - 1) * 255
    np.testing.assert_allclose(made[after[0] // 2, :, 1], expected.clip(0, 255), atol=1.6)


@pytest.mark.parametrize(
    ("before", "after"), [((270, 480), (60, 107)), ((540, 960), (320, 569)), ((600, 800), (320, 427)), ((359, 641), (80, 142))]
)
def test_nothing_of_an_image_is_left_out_of_a_smaller_one(before, after):
    """Lines one pixel wide darken it, wherever they are, about as much as they darken the image."""
    for x in range(100, 116):
        image = np.full((*before, 3), 255, np.uint8)
        image[:, x] = 0
        lost = 255.0 - resized(image, after)
        assert lost.sum() == pytest.approx(after[0] * 3 * 255 * after[1] / before[1], rel=0.4)


@pytest.mark.parametrize(("before", "after"), [((540, 960), (320, 569)), ((601, 803), (320, 427)), ((359, 641), (80, 142))])
def test_a_smaller_image_hardly_differs_from_averages_over_parts_of_pixels(before, after):
    small = np.random.default_rng(0).integers(0, 256, (45, 60, 3), np.uint8)
    image = cv2.resize(small, before[::-1], interpolation=cv2.INTER_CUBIC)
    difference = resized(image, after).astype(int) - cv2.resize(image, after[::-1], interpolation=cv2.INTER_AREA)
    assert abs(difference).max() <= 3 and abs(difference).mean() < 0.5 and abs(difference.mean()) < 0.25
