"""Clouds of other sensors get labels: a camera's by pixel, a LiDAR's by projection."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from geometry_msgs.msg import Quaternion, Transform, Vector3
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from mpvss_model import FrameError
from mpvss_ros.cloud.cloud_maker import CloudMaker
from mpvss_ros.cloud.parameters import CloudConfig
from mpvss_ros.cloud.transforms import Transforms, matrix_of, transformed
from mpvss_ros.messages.conversions import image_message, labels_from_message

from ..recorded_clip import depth_message, info_message, label_message, points_of

OPTICAL = "camera_color_optical_frame"
# A sensor above the camera, turned by 90 degrees: x forward, y left, z up.
LIDAR = Transform(translation=Vector3(x=0.0, y=-0.2, z=0.1), rotation=Quaternion(x=0.5, y=-0.5, z=0.5, w=0.5))


def cloud_message(points, *, frame_id=OPTICAL, padding=0, is_bigendian=False, shape=None):
    """Points of x, y, z and intensity, 20 bytes each, with padding behind each row."""
    order = ">" if is_bigendian else "<"
    names, offsets = ("x", "y", "z", "intensity"), (0, 4, 8, 16)
    dtype = np.dtype({"names": names, "formats": [order + "f4"] * 4, "offsets": offsets, "itemsize": 20})
    height, width = shape or (1, len(points))
    data = np.zeros((height, width), dtype)
    for name, values in zip("xyz", points.T, strict=True):
        data[name] = values.reshape(height, width)
    data["intensity"] = np.arange(height * width).reshape(height, width)
    fields = zip(names, offsets, strict=True)
    return PointCloud2(
        header=Header(stamp=label_message(0).header.stamp, frame_id=frame_id),
        height=height,
        width=width,
        fields=[PointField(name=name, offset=offset, datatype=PointField.FLOAT32, count=1) for name, offset in fields],
        is_bigendian=is_bigendian,
        point_step=20,
        row_step=20 * width + padding,
        data=b"".join(row.tobytes() + b"\xff" * padding for row in data),
        is_dense=True,
    )


class Mounted:
    """A robot whose LiDAR never moves."""

    def matrix(self, header, camera_header):
        return None if header.frame_id == camera_header.frame_id else matrix_of(LIDAR)


def relabelled(cloud, *, transforms=None, depth=None, confidence=None, **config):
    maker = CloudMaker(CloudConfig(source="cloud", **config), transforms or Mounted())
    given = {"labels": label_message(0), "cloud_in": cloud, "depth": depth}
    if confidence is not None:
        given["confidence"] = image_message(confidence, "mono8", label_message(0).header)
    return maker.make(given, info_message())


def scene():
    """What the camera sees in the first frame, ``[N, 3]``, and the pixels of it, ``[N, 2]``."""
    depth_m = np.frombuffer(depth_message(0).data, "<u2").reshape(240, 320) / 1000
    rows, columns = np.nonzero(depth_m)
    k = np.reshape(info_message().k, (3, 3))
    z = depth_m[rows, columns]
    points = np.stack([(columns - k[0, 2]) / k[0, 0] * z, (rows - k[1, 2]) / k[1, 1] * z, z], axis=1)
    return points, np.stack([columns, rows], axis=1)


def from_camera(points):
    """The same points as the LiDAR has them."""
    return transformed(points, np.linalg.inv(matrix_of(LIDAR)))


@pytest.mark.parametrize("is_bigendian", [False, True])
def test_a_lidar_point_gets_the_label_of_the_surface_it_lies_on(is_bigendian):
    points, pixels = scene()
    chosen = np.random.default_rng(0).permutation(len(points))[:5000]
    cloud = cloud_message(from_camera(points[chosen]), frame_id="lidar", is_bigendian=is_bigendian)
    found = relabelled(cloud)
    columns, rows = pixels[chosen].T
    added = {f.name: (f.offset, f.datatype) for f in found.fields[4:]}
    assert added == {
        "label": (20, PointField.UINT32),
        "class_id": (24, PointField.UINT8),
        "probability": (28, PointField.FLOAT32),
    }
    assert (found.header, found.height, found.width, found.point_step) == (cloud.header, 1, 5000, 32)
    assert found.is_bigendian == is_bigendian
    if not is_bigendian:
        read = points_of(found)[0]
        np.testing.assert_array_equal(read["label"], labels_from_message(label_message(0))[rows, columns])
        np.testing.assert_array_equal(read["class_id"], read["label"])
        np.testing.assert_array_equal(read["intensity"], np.arange(5000))
    else:
        label = np.frombuffer(bytes(found.data), np.uint8).reshape(-1, 32)[:, 20:24].copy().view(">u4")[:, 0]
        np.testing.assert_array_equal(label, labels_from_message(label_message(0))[rows, columns])


def test_points_that_the_camera_does_not_see_are_unlabeled():
    points = np.array([[0.0, 0.0, -2.0], [30.0, 0.0, 2.0], [np.nan, 0.0, 1.0], [0.0, 0.1, 2.0]])
    read = points_of(relabelled(cloud_message(points)))[0]
    assert read["label"][:3].tolist() == read["class_id"][:3].tolist() == [255] * 3
    assert read["label"][3] != 255 and read["probability"].tolist() == [0.0, 0.0, 0.0, 1.0]


def test_points_behind_what_the_camera_sees_are_unlabeled_where_there_is_depth():
    points, pixels = scene()
    points, (columns, rows) = points[::50], pixels[::50].T
    labels = labels_from_message(label_message(0))[rows, columns]
    behind = points * 1.05
    is_far = behind[:, 2] - points[:, 2] > 0.1
    assert 0 < is_far.sum() < len(points)
    read = points_of(relabelled(cloud_message(behind), depth=depth_message(0), occlusion_tolerance_m=0.1))[0]
    np.testing.assert_array_equal(read["label"], np.where(is_far, 255, labels))
    np.testing.assert_array_equal(points_of(relabelled(cloud_message(behind)))[0]["label"], labels)


def test_an_organized_cloud_of_the_camera_gets_labels_by_pixel():
    points = np.full((240 * 320, 3), np.nan)  # even where there is no point at all
    confidence = np.full((240, 320), 204, np.uint8)
    found = relabelled(cloud_message(points, shape=(240, 320), padding=12), confidence=confidence)
    read = points_of(found)
    np.testing.assert_array_equal(read["label"], labels_from_message(label_message(0)))
    np.testing.assert_array_equal(read["intensity"], np.arange(240 * 320).reshape(240, 320))
    assert np.unique(read["probability"]).tolist() == pytest.approx([0.8])


def test_an_organized_cloud_of_another_sensor_is_projected():
    points, _ = scene()
    points = np.resize(points, (240 * 320, 3))[::-1]
    found = relabelled(cloud_message(from_camera(points), shape=(240, 320), frame_id="depth_sensor"))
    expected = points_of(relabelled(cloud_message(points)))["label"].reshape(240, 320)
    np.testing.assert_array_equal(points_of(found)["label"], expected)


def test_fields_may_be_of_any_order_and_number_type_beside_others():
    points, pixels = scene()
    points, (columns, rows) = points[::100], pixels[::100].T
    dtype = np.dtype([("z", "<f8"), ("ring", "<u2"), ("y", "<f8"), ("t", "i1"), ("x", "<f8")])  # 27 bytes
    data = np.zeros(len(points), dtype)
    for name, values in zip("xyz", points.T, strict=True):
        data[name] = values
    kinds = {"<f8": PointField.FLOAT64, "<u2": PointField.UINT16, "|i1": PointField.INT8}
    cloud = cloud_message(points)
    cloud.fields = [
        PointField(name=name, offset=offset, datatype=kinds[kind.str], count=1)
        for name, (kind, offset) in sorted(dtype.fields.items())
    ]
    cloud.point_step, cloud.row_step, cloud.data, cloud.is_dense = 27, 27 * len(points), data.tobytes(), False
    found = relabelled(cloud)
    assert (found.point_step, found.row_step, found.is_dense) == (40, 40 * len(points), False)
    read = points_of(found)[0]
    np.testing.assert_array_equal(read["label"], labels_from_message(label_message(0))[rows, columns])
    np.testing.assert_array_equal(np.stack([read["x"], read["y"], read["z"]], axis=1), points)


@pytest.mark.filterwarnings("error")
def test_points_at_infinity_get_no_label_through_a_transform():
    points = np.array([[np.inf, 0.0, 0.0], [-np.inf, np.inf, np.nan], [2.0, 0.0, 0.0]])
    assert (points_of(relabelled(cloud_message(points, frame_id="lidar")))["label"][0, :2] == 255).all()


def test_labels_that_a_cloud_has_already_are_replaced():
    once = relabelled(cloud_message(np.array([[0.0, 0.1, 2.0]])))
    twice = relabelled(once)
    names = [field.name for field in twice.fields]
    assert names == ["x", "y", "z", "intensity", "label", "class_id", "probability"]
    assert points_of(twice)["label"] == points_of(once)["label"]


def test_no_points_are_an_empty_cloud():
    assert relabelled(cloud_message(np.zeros((0, 3)))).width == 0


def test_a_broken_cloud_says_what_is_wrong():
    cloud = cloud_message(np.ones((4, 3)))
    cloud.data = cloud.data[:-1]
    with pytest.raises(FrameError, match="79 bytes of data and row_step 80 are no 1 rows of 4 points of 20 bytes"):
        relabelled(cloud)
    cloud = cloud_message(np.ones((4, 3)))
    cloud.fields = cloud.fields[1:]
    with pytest.raises(FrameError, match="it has no field 'x', but y, z, intensity"):
        relabelled(cloud)
    cloud = cloud_message(np.ones((4, 3)))
    cloud.fields[2].offset = 18
    with pytest.raises(FrameError, match="no numbers within point_step 20"):
        relabelled(cloud)


def test_without_tf2_a_cloud_in_another_frame_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    transforms = Transforms(node=None)
    assert relabelled(cloud_message(np.array([[0.0, 0.1, 2.0]])), transforms=transforms).width == 1
    with pytest.raises(FrameError, match=r"in frame 'lidar' and the labels in 'camera_color.*ros-<distribution>-tf2-ros-py"):
        relabelled(cloud_message(np.ones((1, 3)), frame_id="lidar"), transforms=transforms)


@pytest.fixture
def tf2(monkeypatch):
    """A tf2_ros, which is not on PyPI, whose buffer notes what it is asked for."""
    asked = []

    class Buffer:
        def __init__(self, node):
            pass

        def lookup_transform(self, *arguments):
            asked.append(arguments)
            if "nowhere" in arguments:
                raise LookupError("frame nowhere does not exist\nin the tree")
            return SimpleNamespace(transform=LIDAR)

        lookup_transform_full = lookup_transform

    module = ModuleType("tf2_ros")
    module.Buffer, module.TransformListener = Buffer, lambda buffer, node, spin_thread: None
    monkeypatch.setitem(sys.modules, "tf2_ros", module)
    return asked


def test_tf2_is_asked_for_the_camera_at_the_clouds_time(tf2):
    cloud = cloud_message(from_camera(scene()[0][:10]), frame_id="lidar")
    assert (points_of(relabelled(cloud, transforms=Transforms(node=None)))["label"] != 255).all()
    ((target, source, stamp),) = tf2
    assert (target, source) == (OPTICAL, "lidar") and stamp.to_msg() == cloud.header.stamp
    with pytest.raises(
        FrameError, match="transform: from 'nowhere' to 'camera_color_optical_frame': frame nowhere does not exist"
    ):
        relabelled(cloud_message(np.ones((1, 3)), frame_id="nowhere"), transforms=Transforms(node=None))


def test_motion_between_the_stamps_is_accounted_for_through_the_fixed_frame(tf2):
    cloud = cloud_message(np.ones((1, 3)), frame_id="lidar")
    cloud.header.stamp.nanosec += 30_000_000
    relabelled(cloud, transforms=Transforms(node=None, fixed_frame="odom"))
    ((target, target_time, source, source_time, fixed),) = tf2
    assert (target, source, fixed) == (OPTICAL, "lidar", "odom")
    assert (target_time.to_msg(), source_time.to_msg()) == (label_message(0).header.stamp, cloud.header.stamp)
