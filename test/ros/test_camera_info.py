import numpy as np
from sensor_msgs.msg import CameraInfo, RegionOfInterest

from mpvss_ros.camera_info import scaled_camera_info

from .conftest import header

INFO = CameraInfo(
    width=640,
    height=480,
    distortion_model="plumb_bob",
    d=[0.1, -0.2, 0.0, 0.0, 0.0],
    k=[500.0, 0.0, 320.0, 0.0, 510.0, 240.0, 0.0, 0.0, 1.0],
    r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
    p=[500.0, 0.0, 320.0, -60.0, 0.0, 510.0, 240.0, 7.0, 0.0, 0.0, 1.0, 0.0],
    binning_x=2,
    binning_y=2,
    roi=RegionOfInterest(x_offset=100, y_offset=40, width=320, height=240, do_rectify=True),
)


def test_a_point_projects_to_the_scaled_pixel():
    scaled = scaled_camera_info(INFO, header(0), scale_x=0.5, scale_y=0.25)
    point = np.array([0.3, -0.2, 2.0, 1.0])
    for before, after in (
        (np.array(INFO.p).reshape(3, 4) @ point, np.array(scaled.p).reshape(3, 4) @ point),
        (np.array(INFO.k).reshape(3, 3) @ point[:3], np.array(scaled.k).reshape(3, 3) @ point[:3]),
    ):
        np.testing.assert_allclose(after[:2] / after[2], before[:2] / before[2] * (0.5, 0.25))
    assert (scaled.width, scaled.height) == (320, 120)
    roi = scaled.roi
    assert (roi.x_offset, roi.y_offset, roi.width, roi.height, roi.do_rectify) == (50, 10, 160, 60, True)
    assert (scaled.binning_x, scaled.binning_y) == (2, 2)
    assert (list(scaled.d), list(scaled.r)) == (list(INFO.d), list(INFO.r))


def test_without_scale_only_the_header_changes():
    same = scaled_camera_info(INFO, header(3, frame_id="left"))
    assert same.header == header(3, frame_id="left")
    same.header = INFO.header
    assert same == INFO and same is not INFO
