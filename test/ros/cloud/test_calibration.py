import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, RegionOfInterest

from mpvss_model import FrameError
from mpvss_ros.cloud.calibration import Calibration

K = [500.0, 0.0, 330.0, 0.0, 510.0, 235.0, 0.0, 0.0, 1.0]
P = [480.0, 0.0, 320.0, 0.0, 0.0, 490.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0]
DISTORTIONS = {
    "none": ("plumb_bob", [0.0] * 5),
    "plumb_bob": ("plumb_bob", [-0.3, 0.1, 0.001, -0.002, 0.0]),
    "rational_polynomial": ("rational_polynomial", [0.2, -0.1, 0.001, 0.001, 0.01, 0.3, -0.1, 0.02]),
    "equidistant": ("equidistant", [0.1, -0.05, 0.02, -0.01]),
}


def info(distortion="none", **changes):
    model, d = DISTORTIONS[distortion]
    return CameraInfo(**({"width": 640, "height": 480, "distortion_model": model, "d": d, "k": K, "p": P} | changes))


def calibration(info, width=640, height=480, **options):
    return Calibration.of(info, width=width, height=height, image="depth image", **options)


@pytest.mark.parametrize("distortion", DISTORTIONS)
def test_a_point_on_a_pixels_ray_is_in_that_pixel(distortion):
    columns, rows = np.arange(0, 640, 37), np.arange(0, 480, 31)
    camera = calibration(info(distortion))
    x, y = camera.rays(columns, rows)
    x, y = np.broadcast_arrays(x, y)
    points = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3) * 3.0
    found_columns, found_rows = camera.pixels(points)
    expected = np.meshgrid(columns, rows)
    np.testing.assert_array_equal(found_columns, expected[0].ravel())
    np.testing.assert_array_equal(found_rows, expected[1].ravel())


@pytest.mark.parametrize("distortion", ["plumb_bob", "rational_polynomial"])
def test_pixels_are_those_of_opencv(distortion):
    points = np.random.default_rng(0).uniform([-1, -0.8, 2], [1, 0.8, 6], (200, 3))
    columns, rows = calibration(info(distortion)).pixels(points)
    exact, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), np.reshape(K, (3, 3)), np.array(DISTORTIONS[distortion][1]))
    seen = columns >= 0
    assert seen.sum() > 150
    np.testing.assert_array_equal(np.stack([columns, rows], axis=1)[seen], np.floor(exact[seen, 0] + 0.5))


@pytest.mark.parametrize("distortion", DISTORTIONS)
def test_what_the_camera_does_not_see_has_no_pixel(distortion):
    behind, beside, nothing, far_beside = [0.1, 0.1, -2.0], [3.0, 0.0, 2.0], [np.nan] * 3, [40.0, 30.0, 1.0]
    columns, rows = calibration(info(distortion)).pixels(np.array([behind, beside, nothing, [0.0, 0.0, 0.0], far_beside]))
    assert columns.tolist() == rows.tolist() == [-1] * 5


def test_rectified_images_have_p_and_no_distortion():
    camera = calibration(info("plumb_bob"), rectified=True)
    assert (camera.focal_px, camera.center_px, camera.distortion) == ((480.0, 490.0), (320.0, 240.0), ())


def test_a_resized_image_has_the_same_view():
    whole, half = calibration(info()), calibration(info(), width=320, height=240)
    # The edge between two pixels of the large image is the middle of one of the small one.
    x, y = whole.rays(np.array([100.5]), np.array([200.5]))
    half_x, half_y = half.rays(np.array([50.0]), np.array([100.0]))
    np.testing.assert_allclose((half_x, half_y), (x, y), rtol=1e-6)


def test_a_part_of_the_sensor_that_is_binned_has_its_own_centre():
    roi = RegionOfInterest(x_offset=100, y_offset=40, width=320, height=240)
    camera = calibration(info(roi=roi, binning_x=2, binning_y=2), width=160, height=120)
    x, y = calibration(info()).rays(np.array([100 + 2 * 30 + 0.5]), np.array([40 + 2 * 20 + 0.5]))
    np.testing.assert_allclose(camera.rays(np.array([30]), np.array([20])), (x, y), rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"width": 640, "height": 640}, "camera_info is of 640 x 640 pixels, the depth image has 640 x 480, of another shape"),
        ({"k": [0.0] * 9}, "focal lengths 0.0 and 0.0: calibrate the camera first"),
        ({"k": [500.0, 0.0, np.nan, *K[3:]]}, "camera_info has 500.0, nan, 510.0, 235.0 in K: calibrate the camera first"),
        ({"k": [np.inf, *K[1:]]}, "camera_info has inf, 330.0, 510.0, 235.0 in K"),
        ({"d": [0.1, np.nan]}, "the distortion \\[0.1, nan\\], and plumb_bob takes up to 14 numbers"),
        ({"d": [0.1] * 15}, "plumb_bob takes up to 14 numbers"),
        ({"distortion_model": "equidistant", "d": [0.1] * 5}, "equidistant takes up to 4 numbers"),
        ({"distortion_model": "thin_prism", "d": [0.1]}, "'thin_prism' is not one of plumb_bob, rational_polynomial, equi"),
    ],
)
def test_a_calibration_that_cannot_be_used_says_why(changes, text):
    with pytest.raises(FrameError, match=text):
        calibration(info(**changes))


@pytest.mark.parametrize(
    ("model", "given", "same"),
    [
        ("equidistant", [0.1, -0.05, 0.02, -0.01, 0.0], [0.1, -0.05, 0.02, -0.01]),  # as RealSense's driver gives four
        ("equidistant", [0.1], [0.1, 0.0, 0.0, 0.0]),
        ("plumb_bob", [-0.3, 0.1], [-0.3, 0.1, 0.0, 0.0, 0.0]),
        ("rational_polynomial", [0.2, -0.1, 0.0, 0.0, 0.0, 0.3], [0.2, -0.1, 0.0, 0.0, 0.0, 0.3, 0.0, 0.0]),
        ("thin_prism", [0.0] * 12, []),
    ],
)
def test_distortion_may_have_fewer_or_more_zeros_than_opencv_takes(model, given, same):
    camera, other = (calibration(info(distortion_model=model, d=d)) for d in (given, same))
    grid = np.arange(0, 640, 101), np.arange(0, 480, 97)
    for found, expected in zip(camera.rays(*grid), other.rays(*grid), strict=True):
        np.testing.assert_array_equal(found, expected)
    points = np.array([[0.5, -0.3, 2.0]])
    assert [found.tolist() for found in camera.pixels(points)] == [found.tolist() for found in other.pixels(points)]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("distortion", DISTORTIONS)
def test_points_without_a_place_have_no_pixel_and_no_warning(distortion):
    far = [[0.0, 0.0, np.inf], [np.inf, 0.0, 1.0], [0.0, -np.inf, 1.0], [1e300, 0.0, 1e-300], [1.0, 0.0, 1e-30], [1e30, 0, 1]]
    columns, rows = calibration(info(distortion)).pixels(np.array(far))
    assert columns.tolist() == rows.tolist() == [-1] * 6
