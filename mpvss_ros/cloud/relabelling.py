"""Labels for the points of a cloud that somebody else made."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import PointCloud2, PointField

from mpvss_model import FrameError
from mpvss_model.semantics import UNLABELED
from mpvss_ros.cloud.layout import LABEL_FIELDS, numpy_type
from mpvss_ros.messages.message_data import with_data

__all__ = ["labels_at", "positions", "visible", "with_labels"]

ALIGNMENT = 4
LABEL_BYTES = 12


def positions(cloud: PointCloud2) -> np.ndarray:
    """The points of a cloud, float64 ``[N, 3]``.

    Raises:
        FrameError: If it has no x, y and z, or less data than it says.
    """
    fields = {field.name: field for field in cloud.fields}
    missing = [name for name in "xyz" if name not in fields]
    if missing:
        known = ", ".join(fields) or "none"
        raise FrameError("cloud", f"it has no field {missing[0]!r}, but {known}: give one with x, y and z")
    rows = _rows(cloud)
    try:
        formats = [numpy_type(fields[name].datatype, is_bigendian=cloud.is_bigendian) for name in "xyz"]
        offsets = [fields[name].offset for name in "xyz"]
        dtype = np.dtype({"names": list("xyz"), "formats": formats, "offsets": offsets, "itemsize": cloud.point_step})
    except (KeyError, ValueError) as error:
        raise FrameError("cloud", f"x, y and z are no numbers within point_step {cloud.point_step}: {error}") from error
    points = np.ascontiguousarray(rows).view(dtype)
    return np.stack([points[name].ravel() for name in "xyz"], axis=1).astype(np.float64)


def labels_at(columns: np.ndarray, rows: np.ndarray, image: np.ndarray, fill: float) -> np.ndarray:
    """Values of an image at pixels ``[N]``, and ``fill`` where these are -1."""
    values = image[rows, columns]
    values[rows < 0] = fill
    return values


def visible(depth_of_points_m: np.ndarray, depth_m: np.ndarray, *, tolerance_m: float) -> np.ndarray:
    """Whether nothing that the camera sees is before a point.

    Args:
        depth_of_points_m: ``[N]``, along the optical axis.
        depth_m: ``[N]``, what the camera measures in the points' pixels; NaN where it measures nothing, which hides nothing.
        tolerance_m: How much further away than that a point may be.
    """
    return ~(depth_of_points_m > depth_m + tolerance_m)


def with_labels(cloud: PointCloud2, labels: np.ndarray, probabilities: np.ndarray) -> PointCloud2:
    """A copy of a cloud with the fields ``label``, ``class_id`` and ``probability`` behind its own.

    Fields of these names that it has already are left out, and so is padding at the end of its rows.

    Args:
        cloud: Of N points.
        labels: uint8 ``[N]``; 255 for none.
        probabilities: float32 ``[N]``; become 0 where there is no label.

    Raises:
        FrameError: If the cloud has less data than it says.
    """
    rows = _rows(cloud)
    offset = -(-cloud.point_step // ALIGNMENT) * ALIGNMENT
    step = offset + LABEL_BYTES
    points = np.zeros((labels.size, step), np.uint8)
    points[:, : cloud.point_step] = rows.reshape(labels.size, cloud.point_step)
    added = np.ndarray(
        labels.size,
        {
            "names": [name for name, _, _ in LABEL_FIELDS],
            "formats": [numpy_type(datatype, is_bigendian=cloud.is_bigendian) for _, _, datatype in LABEL_FIELDS],
            "offsets": [offset + behind for _, behind, _ in LABEL_FIELDS],
            "itemsize": step,
        },
        points,
    )
    added["label"] = added["class_id"] = labels
    added["probability"] = np.where(labels == UNLABELED, 0.0, probabilities)
    names = {name for name, _, _ in LABEL_FIELDS}
    labelled = PointCloud2(
        header=cloud.header,
        height=cloud.height,
        width=cloud.width,
        fields=[field for field in cloud.fields if field.name not in names]
        + [PointField(name=name, offset=offset + behind, datatype=kind, count=1) for name, behind, kind in LABEL_FIELDS],
        is_bigendian=cloud.is_bigendian,
        point_step=step,
        row_step=step * cloud.width,
        is_dense=cloud.is_dense,
    )
    return with_data(labelled, points)


def _rows(cloud: PointCloud2) -> np.ndarray:
    """uint8 ``[height, width x point_step]``, without padding."""
    row_bytes = cloud.width * cloud.point_step
    if not cloud.point_step or cloud.row_step < row_bytes or len(cloud.data) < cloud.row_step * cloud.height:
        raise FrameError(
            "cloud",
            f"{len(cloud.data)} bytes of data and row_step {cloud.row_step} are no {cloud.height} rows of {cloud.width} "
            f"points of {cloud.point_step} bytes",
        )
    data = np.frombuffer(cloud.data, np.uint8, count=cloud.row_step * cloud.height)
    return data.reshape(cloud.height, cloud.row_step)[:, :row_bytes]
