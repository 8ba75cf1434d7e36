"""Clouds of the shipped clip, whose geometry is known exactly."""

from array import array

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import PointField

from mpvss_model import FrameError
from mpvss_model.data.rooms.catalogue import CLASS_NAMES
from mpvss_model.overlay import PALETTE
from mpvss_ros.cloud.cloud_maker import CloudMaker
from mpvss_ros.cloud.parameters import CloudConfig
from mpvss_ros.cloud.transforms import matrix_of, transformed
from mpvss_ros.messages.conversions import image_message, labels_from_message, rgb_from_message

from ..recorded_clip import color_message, depth_message, info_message, label_message, points_of, recorded

FRAMES = (0, 119)
FLOOR = CLASS_NAMES.index("floor")
THINGS = [CLASS_NAMES.index(name) for name in ("seat", "table", "person")]


def messages(frame=0, *, encoding="16UC1", labels=None, confidence=None):
    label_image = label_message(frame) if labels is None else image_message(labels, "mono8", label_message(frame).header)
    found = {"labels": label_image, "image": color_message(frame), "depth": depth_message(frame, encoding)}
    return found if confidence is None else found | {"confidence": image_message(confidence, "mono8", label_image.header)}


def cloud(frame=0, *, info=None, encoding="16UC1", labels=None, confidence=None, **config):
    maker = CloudMaker(CloudConfig(**config), transforms=None)
    given = messages(frame, encoding=encoding, labels=labels, confidence=confidence)
    return maker.make(given, info or info_message(frame))


def positions(points):
    return np.stack([points["x"], points["y"], points["z"]], axis=-1).astype(np.float64)


def in_map(frame, points):
    poses = [matrix_of(recorded(name)[index].transforms[0].transform) for name, index in (("tf", frame), ("tf_static", 0))]
    return transformed(points, poses[0] @ poses[1])


def test_the_fields_are_those_that_pcl_and_autoware_read():
    found = cloud()
    layout = [(field.name, field.offset, field.datatype, field.count) for field in found.fields]
    assert layout == [
        ("x", 0, PointField.FLOAT32, 1),
        ("y", 4, PointField.FLOAT32, 1),
        ("z", 8, PointField.FLOAT32, 1),
        ("rgb", 16, PointField.FLOAT32, 1),
        ("label", 20, PointField.UINT32, 1),
        ("class_id", 24, PointField.UINT8, 1),
        ("probability", 28, PointField.FLOAT32, 1),
    ]
    assert (found.point_step, found.row_step, found.height, found.width) == (32, 32 * 320, 240, 320)
    assert not found.is_bigendian and found.header == label_message(0).header


def test_depth_may_be_big_endian_and_padded_and_say_nothing_in_every_way():
    measured = np.frombuffer(depth_message(0).data, "<u2").reshape(240, 320) / np.float32(1000)
    values = measured.astype(">f4")
    nothing = [0.0, -0.0, -1.0, np.nan, np.inf, -np.inf]
    values[0, : len(nothing)] = nothing
    depth = depth_message(0)
    rows = np.pad(values.view(np.uint8).reshape(240, -1), ((0, 0), (0, 12)), constant_values=0x7F)
    depth.encoding, depth.is_bigendian, depth.step, depth.data = "32FC1", 1, rows.shape[1], array("B", rows.tobytes())
    maker = CloudMaker(CloudConfig(), transforms=None)
    points = points_of(maker.make(messages() | {"depth": depth}, info_message()))
    assert np.isnan(positions(points)[0, : len(nothing)]).all()
    expected = points_of(cloud())
    np.testing.assert_array_equal(positions(points)[1:], positions(expected)[1:])


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_points_lie_where_the_renderer_put_them(frame, encoding):
    points = points_of(cloud(frame, encoding=encoding))
    heights_m = in_map(frame, positions(points).reshape(-1, 3))[:, 2].reshape(points.shape)
    is_floor = points["label"] == FLOOR
    assert is_floor.sum() > 10_000
    assert np.abs(heights_m[is_floor]).max() < 5e-4


@pytest.mark.parametrize("frame", FRAMES)
def test_labels_lie_on_the_right_side_of_a_depth_edge(frame):
    points = points_of(cloud(frame))
    heights_m = in_map(frame, positions(points).reshape(-1, 3))[:, 2].reshape(points.shape)
    edges, is_right = 0, True
    for one, other in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])):
        for floor, thing in ((one, other), (other, one)):
            # Where depth jumps between the floor and what stands on it, the floor is further away, and still on its plane.
            z, z_of_thing = points["z"][floor], points["z"][thing]
            at_edge = (
                (points["label"][floor] == FLOOR) & np.isin(points["label"][thing], THINGS) & (np.abs(z - z_of_thing) > 0.3)
            )
            edges += at_edge.sum()
            is_right &= bool((z > z_of_thing)[at_edge].all() and (np.abs(heights_m[floor][at_edge]) < 5e-4).all())
            is_right &= bool((heights_m[thing][at_edge] > 1e-2).all())
    assert edges > 40 and is_right


def test_colours_and_labels_are_those_of_the_pixels():
    points, labels, rgb = points_of(cloud()), labels_from_message(label_message(0)), rgb_from_message(color_message(0))
    packed = points["rgb"].view(np.uint32)
    np.testing.assert_array_equal(np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=-1), rgb)
    for name in ("label", "class_id"):
        np.testing.assert_array_equal(points[name], labels)
    assert set(np.unique(points["probability"])) == {np.float32(1.0)}


def test_colours_may_be_those_of_the_classes():
    points = points_of(cloud(colors="classes"))
    packed = points["rgb"].view(np.uint32)
    np.testing.assert_array_equal(np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=-1), PALETTE[points["label"]])


def test_confidence_becomes_probability_and_what_is_uncertain_unlabeled():
    labels = labels_from_message(label_message(0))
    labels[:10] = 255
    confidence = np.full(labels.shape, 51, np.uint8)
    confidence[:, :100] = 204
    points = points_of(cloud(labels=labels, confidence=confidence))
    assert np.unique(points["probability"][10:]).tolist() == pytest.approx([0.2, 0.8]) and not points["probability"][:10].any()
    points = points_of(cloud(labels=labels, confidence=confidence, min_probability=0.5))
    np.testing.assert_array_equal(points["label"][10:, :100], labels[10:, :100])
    assert set(np.unique(points["label"][:, 100:])) == {255} and not points["probability"][:, 100:].any()


def test_the_unlabeled_id_of_a_profile_is_no_class():
    labels = labels_from_message(label_message(0))
    as_nvblox_has_them = np.where(labels == FLOOR, 0, labels + 1).astype(np.uint8)
    points = points_of(cloud(labels=as_nvblox_has_them, unlabeled_id=0, colors="classes"))
    is_class = labels != FLOOR
    np.testing.assert_array_equal(points["label"], np.where(is_class, labels + 1, 255))
    np.testing.assert_array_equal(points["probability"], np.float32(is_class))
    packed = points["rgb"].view(np.uint32)
    of_overlay = np.where(is_class[..., None], PALETTE[labels], 0)
    np.testing.assert_array_equal(np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=-1), of_overlay)


def test_what_was_not_measured_is_nan_or_left_out():
    measured = np.frombuffer(depth_message(0).data, "<u2").reshape(240, 320)
    is_near = (measured > 0) & (measured <= 3000)
    organized = cloud(max_depth_m=3.0)
    points = points_of(organized)
    assert not organized.is_dense and 1000 < is_near.sum() < is_near.size
    for name in "xyz":
        np.testing.assert_array_equal(np.isfinite(points[name]), is_near)
    compact = cloud(max_depth_m=3.0, organized=False)
    assert (compact.height, compact.width, compact.is_dense) == (1, is_near.sum(), True)
    assert points_of(compact)[0].tolist() == points[is_near].tolist()
    # Between the fields, and behind class_id, there is nothing.
    assert not np.frombuffer(compact.data, np.uint8).reshape(-1, 32)[:, [12, 13, 14, 15, 25, 26, 27]].any()


def test_a_cloud_without_gaps_is_dense():
    assert (np.frombuffer(depth_message(0).data, "<u2") > 0).all() == cloud().is_dense


@pytest.mark.parametrize("size", [(160, 120), (640, 480), (300, 200)])
def test_labels_of_another_size_take_the_depth_that_was_measured_in_their_pixel(size):
    width, height = size
    labels = cv2.resize(labels_from_message(label_message(0)), size, interpolation=cv2.INTER_NEAREST_EXACT)
    full, points = points_of(cloud()), points_of(cloud(labels=labels))
    assert points.shape == (height, width)
    columns = ((np.arange(width) + 0.5) * 320 / width).astype(int)
    rows = ((np.arange(height) + 0.5) * 240 / height).astype(int)
    for name in ("x", "y", "z", "rgb"):
        np.testing.assert_array_equal(points[name], full[name][rows[:, None], columns])
    np.testing.assert_array_equal(points["label"], labels)


def test_a_distorted_camera_is_undistorted():
    info = info_message()
    info.d = [-0.2, 0.05, 0.0, 0.0, 0.0]
    points = points_of(cloud(info=info))
    is_measured = points["z"] > 0
    pixels, _ = cv2.projectPoints(
        positions(points)[is_measured], np.zeros(3), np.zeros(3), np.reshape(info.k, (3, 3)), np.array(info.d)
    )
    np.testing.assert_allclose(pixels[:, 0], np.argwhere(is_measured)[:, ::-1], atol=0.05)


def test_what_does_not_fit_together_says_so():
    info = info_message()
    info.width = 240
    with pytest.raises(FrameError, match="camera_info is of 240 x 240 pixels, the depth image has 320 x 240"):
        cloud(info=info)
    with pytest.raises(FrameError, match="labels and confidence have 320 x 240 and 2 x 2 pixels"):
        cloud(confidence=np.zeros((2, 2), np.uint8))
    maker = CloudMaker(CloudConfig(), transforms=None)
    wide = image_message(np.zeros((180, 320, 3), np.uint8), "rgb8", label_message(0).header)
    with pytest.raises(FrameError, match="image and depth have 320 x 180 and 320 x 240 pixels, of another shape: give depth"):
        maker.make(messages() | {"image": wide}, info_message())
    with pytest.raises(FrameError, match="no camera_info has come yet"):
        maker.make(messages(), None)
