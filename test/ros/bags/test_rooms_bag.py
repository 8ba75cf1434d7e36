"""The shipped clip: depth, calibration and poses that fit its labels."""

from functools import cache

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mpvss_model.data.rooms.catalogue import CLASS_NAMES
from mpvss_ros.bags.bag import GROUND_TRUTH_TOPIC, Bag
from mpvss_ros.cli.common.options import SAMPLE_BAG
from mpvss_ros.messages.conversions import labels_from_message, stamp_ns

CAMERA, INFO, DEPTH = "/camera/image_raw/compressed", "/camera/camera_info", "/camera/depth_registered/image_raw"
FRAMES = (0, 40, 80, 119)


@cache
def recorded(topic):
    with Bag(SAMPLE_BAG) as bag:
        return list(bag.messages(topic))


def matrix(transforms):
    """Of a message with one transform: takes points ``[4]`` of its child's frame to the parent's."""
    ((transform,),) = [transforms.transforms]
    rotation, translation = transform.transform.rotation, transform.transform.translation
    result = np.eye(4)
    result[:3, :3] = Rotation.from_quat([rotation.x, rotation.y, rotation.z, rotation.w]).as_matrix()
    result[:3, 3] = translation.x, translation.y, translation.z
    return result


def test_every_image_has_depth_calibration_and_pose_under_its_stamp():
    stamps = [stamp_ns(message) for message in recorded(CAMERA)]
    assert len(stamps) == 120
    for topic in (GROUND_TRUTH_TOPIC, INFO, DEPTH):
        assert [stamp_ns(message) for message in recorded(topic)] == stamps
        assert {message.header.frame_id for message in recorded(topic)} == {"camera_color_optical_frame"}
    assert [t.header.stamp.sec * 10**9 + t.header.stamp.nanosec for m in recorded("/tf") for t in m.transforms] == stamps
    frames = {(t.header.frame_id, t.child_frame_id) for m in recorded("/tf") for t in m.transforms}
    frames |= {(t.header.frame_id, t.child_frame_id) for m in recorded("/tf_static") for t in m.transforms}
    assert frames == {("map", "camera_link"), ("camera_link", "camera_color_optical_frame")}


@pytest.mark.parametrize("frame", FRAMES)
def test_floor_and_ceiling_are_planes_where_the_map_has_them(frame):
    depth, info = recorded(DEPTH)[frame], recorded(INFO)[frame]
    assert (depth.encoding, depth.step, info.width, info.height) == ("16UC1", 2 * depth.width, depth.width, depth.height)
    z = np.frombuffer(depth.data, "<u2").reshape(depth.height, depth.width) / 1000
    pixels = np.stack([*np.meshgrid(np.arange(depth.width), np.arange(depth.height)), np.ones_like(z)], axis=-1)
    in_camera = np.concatenate(
        [pixels @ np.linalg.inv(np.reshape(info.k, (3, 3))).T * z[..., None], z[..., None] ** 0], axis=-1
    )
    height_m = (in_camera @ (matrix(recorded("/tf")[frame]) @ matrix(recorded("/tf_static")[0])).T)[..., 2]
    labels = labels_from_message(recorded(GROUND_TRUTH_TOPIC)[frame])
    floor, ceiling = (height_m[labels == CLASS_NAMES.index(name)] for name in ("floor", "ceiling"))
    # Half a millimetre of depth is less than that of height, since these planes are never looked at head-on.
    assert floor.size > 10_000 and np.abs(floor).max() < 5e-4
    assert ceiling.size > 1000 and np.abs(ceiling - np.median(ceiling)).max() < 5e-4
    assert np.median(ceiling) == pytest.approx(2.869, abs=1e-3)
