"""Rendered clips as bags, to replay them through the node with ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from mpvss_model.data.rooms.camera import CameraPose, Lens
from mpvss_model.data.rooms.config import RoomsConfig
from mpvss_model.data.rooms.generate import RenderedClip
from mpvss_ros.bags.bag import GROUND_TRUTH_TOPIC, BagWriter

__all__ = ["write_bag_clip", "write_geometry"]

TOPIC = "/camera/image_raw/compressed"
CAMERA_INFO_TOPIC = "/camera/camera_info"
DEPTH_TOPIC = "/camera/depth_registered/image_raw"
FRAME_ID, CAMERA_FRAME_ID, MAP_FRAME_ID = "camera_color_optical_frame", "camera_link", "map"
FIRST_STAMP_NS = 1_700_000_000_000_000_000
# From the optical frame (x right, y down, z forward) to the camera's own (x forward, y left, z up), see REP 103.
LINK_FROM_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def write_bag_clip(clip: RenderedClip, path: Path, config: RoomsConfig) -> None:
    """Write the images as JPEG, the labels as PNG, and `write_geometry`, all under equal stamps."""
    with BagWriter(path, compressed=True) as bag:
        for number, frame in enumerate(clip.frames):
            header = {"stamp_ns": FIRST_STAMP_NS + round(number * 1e9 / clip.rate_hz), "frame_id": FRAME_ID}
            bag.write_compressed_image(TOPIC, **header, file_format="jpeg", data=clip.jpeg(frame))
            labels = cv2.imencode(".png", frame.labels, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
            bag.write_compressed_image(GROUND_TRUTH_TOPIC, **header, file_format="png", data=labels)
            write_geometry(bag, header["stamp_ns"], depth_mm=frame.depth_mm, camera=frame.camera, lens=clip.lens)


def write_geometry(bag: BagWriter, stamp_ns: int, *, depth_mm: np.ndarray, camera: CameraPose, lens: Lens) -> None:
    """Write what an RGB-D camera and a robot that knows where it is tell beside an image.

    Args:
        bag: Where to.
        stamp_ns: Of the image.
        depth_mm: uint16 ``[H, W]``, registered to the image; published as ``16UC1``.
        camera: Its pose, as ``/tf`` from ``map`` to ``camera_link``; ``/tf_static`` leads on to the optical frame.
        lens: Calibration of the image: no distortion.
    """
    if DEPTH_TOPIC not in bag.topics:
        bag.write_latched("/tf_static", "tf2_msgs/msg/TFMessage", time_ns=stamp_ns, transforms=[_optical_frame(bag, stamp_ns)])
    height, width = depth_mm.shape
    bag.write_image(DEPTH_TOPIC, stamp_ns=stamp_ns, frame_id=FRAME_ID, encoding="16UC1", image=depth_mm)
    k = lens.intrinsics(width, height)
    bag.write(
        CAMERA_INFO_TOPIC,
        "sensor_msgs/msg/CameraInfo",
        stamp_ns,
        header=bag.header(stamp_ns, FRAME_ID),
        height=height,
        width=width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=k.ravel(),
        r=np.eye(3).ravel(),
        p=np.column_stack([k, np.zeros(3)]).ravel(),
        binning_x=0,
        binning_y=0,
        roi=bag.message("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False),
    )
    to_camera = camera.world_to_camera()  # whose y is up and z backward
    map_from_optical = (np.diag([1.0, -1.0, -1.0]) @ to_camera[:3, :3]).T
    pose = _transform(
        bag,
        stamp_ns,
        parent=MAP_FRAME_ID,
        child=CAMERA_FRAME_ID,
        rotation=map_from_optical @ LINK_FROM_OPTICAL.T,
        translation=camera.position,
    )
    bag.write("/tf", "tf2_msgs/msg/TFMessage", stamp_ns, transforms=[pose])


def _optical_frame(bag: BagWriter, stamp_ns: int) -> Any:
    return _transform(
        bag, stamp_ns, parent=CAMERA_FRAME_ID, child=FRAME_ID, rotation=LINK_FROM_OPTICAL, translation=np.zeros(3)
    )


def _transform(
    bag: BagWriter, stamp_ns: int, *, parent: str, child: str, rotation: np.ndarray, translation: np.ndarray
) -> Any:
    """A ``geometry_msgs/TransformStamped`` that takes points of the child's frame to the parent's."""
    x, y, z, w = Rotation.from_matrix(rotation).as_quat()
    return bag.message(
        "geometry_msgs/msg/TransformStamped",
        header=bag.header(stamp_ns, parent),
        child_frame_id=child,
        transform=bag.message(
            "geometry_msgs/msg/Transform",
            translation=bag.message("geometry_msgs/msg/Vector3", **dict(zip("xyz", map(float, translation), strict=True))),
            rotation=bag.message("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w),
        ),
    )
