"""Where another sensor's points are for the camera."""

from __future__ import annotations

import numpy as np
from rclpy.node import Node
from rclpy.time import Time

from mpvss_model import FrameError
from mpvss_model.errors import first_line

__all__ = ["NoTransform", "Transforms", "matrix_of", "transformed"]


class NoTransform(FrameError):
    """A transform is not known, perhaps not yet: its publisher may be later than what is to be transformed."""


class Transforms:
    """Looks up transforms between frames by tf2, which listens from now on; within one frame it needs nothing.

    Args:
        node: Listens.
        fixed_frame: One that does not move, through which points are taken from their stamp to the camera's; empty to leave
            out motion between the stamps.
    """

    def __init__(self, node: Node, *, fixed_frame: str = "") -> None:
        self._fixed_frame = fixed_frame
        try:
            import tf2_ros
        except ImportError:  # it is not on PyPI
            self._buffer = None
            return
        self._buffer = tf2_ros.Buffer(node=node)
        self._listener = tf2_ros.TransformListener(self._buffer, node, spin_thread=False)

    def matrix(self, header, camera_header) -> np.ndarray | None:
        """Takes points ``[4]`` under one header to the camera's frame; None if they are there already.

        Raises:
            NoTransform: If the transform is not known.
            FrameError: If it cannot be looked up at all.
        """
        source, target = header.frame_id, camera_header.frame_id
        if source == target:
            return None
        if self._buffer is None:
            raise FrameError(
                "transform",
                f"the cloud is in frame {source!r} and the labels in {target!r}, and tf2_ros is not installed: install ROS "
                "2's package ros-<distribution>-tf2-ros-py, or give a cloud in the camera's frame",
            )
        stamp, camera_stamp = Time.from_msg(header.stamp), Time.from_msg(camera_header.stamp)
        try:
            if self._fixed_frame:
                found = self._buffer.lookup_transform_full(target, camera_stamp, source, stamp, self._fixed_frame)
            else:
                found = self._buffer.lookup_transform(target, source, stamp)
        except Exception as error:  # tf2 has one exception type for each kind
            raise NoTransform("transform", f"from {source!r} to {target!r}: {first_line(error)}") from error
        return matrix_of(found.transform)


def transformed(points: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
    """Points ``[N, 3]`` in another frame, by a matrix ``[4, 4]``; themselves for None. Infinite ones become NaN."""
    if matrix is None:
        return points
    with np.errstate(invalid="ignore", over="ignore"):
        return points @ matrix[:3, :3].T + matrix[:3, 3]


def matrix_of(transform) -> np.ndarray:
    """Of a ``geometry_msgs/Transform``."""
    rotation, translation = transform.rotation, transform.translation
    axis = [rotation.x, rotation.y, rotation.z]
    crossed = np.cross(np.eye(3), axis)  # the matrix of the cross product with the axis
    matrix = np.eye(4)
    matrix[:3, :3] += 2.0 * (crossed @ crossed + rotation.w * crossed)
    matrix[:3, 3] = translation.x, translation.y, translation.z
    return matrix
