import itertools

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image, RegionOfInterest

from mpvss_ros.messages.camera_info import image_scale, scaled_camera_info
from mpvss_ros.messages.conversions import image_message

from ..conftest import header

INPUT = "segmentation: input"

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


WHOLE = CameraInfo(width=640, height=480)


@pytest.mark.parametrize(
    "info, size, scale",
    [
        (WHOLE, (640, 480), (1.0, 1.0)),
        (WHOLE, (320, 240), (0.5, 0.5)),
        (WHOLE, (1280, 960), (2.0, 2.0)),
        (CameraInfo(width=1920, height=1080), (424, 240), (424 / 1920, 240 / 1080)),  # a driver that rounds
        (WHOLE, (640, 360), None),
        (WHOLE, (480, 640), None),
        (CameraInfo(), (640, 480), (1.0, 1.0)),  # not calibrated
        # What the calibration itself says of the image: binned, a region, both; and each resized once more.
        (CameraInfo(width=640, height=480, binning_x=2, binning_y=2), (320, 240), (1.0, 1.0)),
        (CameraInfo(width=640, height=480, binning_x=2, binning_y=2), (160, 120), (0.5, 0.5)),
        (CameraInfo(width=640, height=480, roi=RegionOfInterest(width=200, height=100)), (200, 100), (1.0, 1.0)),
        (INFO, (160, 120), (1.0, 1.0)),
        (INFO, (80, 60), (0.5, 0.5)),
    ],
)
def test_a_calibration_fits_images_of_its_shape(info, size, scale):
    found = image_scale(info, width=size[0], height=size[1])
    assert found == (scale if scale is None else pytest.approx(scale))


def test_the_calibration_of_a_resized_image_is_scaled_to_its_labels(start_node, peer, frames):
    peer.listen(CameraInfo, "/mpvss/camera_info")
    start_node(output_size=[32, 24])
    info = peer.connect(CameraInfo, "/camera/camera_info")
    camera = peer.connect(Image, "/camera/image_raw")
    peer.spin_until(lambda: peer.count_publishers("/mpvss/camera_info"))
    stamps = itertools.count()

    def send():
        camera.publish(image_message(frames[0], "rgb8", header(next(stamps))))

    def comes(condition):
        peer.spin_until(lambda: send() or condition())

    comes(lambda: peer.received["/diagnostics"] and "no calibration comes on" in peer.diagnostics()[INPUT]["message"])
    info.publish(CameraInfo(width=640, height=480, k=[500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0]))
    comes(lambda: peer.received["/mpvss/camera_info"])
    scaled = peer.received["/mpvss/camera_info"][0]
    assert (scaled.width, scaled.height, scaled.k[0], scaled.k[2]) == (32, 24, 25.0, 16.0)
    info.publish(CameraInfo(width=640, height=360))
    comes(lambda: "is of 640 x 360 pixels, the images have 64 x 48" in peer.diagnostics()[INPUT]["message"])
    peer.received["/mpvss/camera_info"].clear()
    before = len(peer.received["/mpvss/labels"])
    comes(lambda: len(peer.received["/mpvss/labels"]) > before + 3)
    assert peer.received["/mpvss/camera_info"] == []
