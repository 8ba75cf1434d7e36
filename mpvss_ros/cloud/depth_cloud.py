"""Labels and registered depth to a labelled point cloud."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from sensor_msgs.msg import PointCloud2

from mpvss_model.semantics import UNLABELED
from mpvss_ros.cloud.calibration import Calibration
from mpvss_ros.cloud.layout import POINT, POINT_FIELDS
from mpvss_ros.messages.message_data import with_data

__all__ = ["DepthCloud", "nearest_pixels", "probabilities_of", "sampled"]

# Few enough that their points stay in the processor's cache while one field after the other is written.
ROWS_AT_A_TIME = 16
PROBABILITIES = np.arange(256, dtype=np.float32) / np.float32(255)


class DepthCloud:
    """Makes clouds of one camera, a point for each pixel of the labels.

    Labels, colours and confidence show the same view as the depth image; where sizes differ, a label's pixel takes the depth
    that is nearest to its centre, and the point lies where that depth was measured.

    Args:
        organized: Whether the cloud has the labels' rows and columns, with NaN where there is no depth, or only points with
            depth.
        max_depth_m: What is further away counts as not measured; 0 for no limit.
    """

    def __init__(self, *, organized: bool = True, max_depth_m: float = 0.0) -> None:
        self._organized = organized
        self._max_depth_m = max_depth_m
        self._message = PointCloud2()
        self._points = np.zeros((0, 0), POINT)

    def message(
        self,
        header,
        *,
        labels: np.ndarray,
        depth_m: np.ndarray,
        calibration: Calibration,
        colors: np.ndarray,
        probabilities: np.ndarray,
    ) -> PointCloud2:
        """The cloud of one frame; an organized one is overwritten by the next call: publish it before.

        Args:
            header: Of the labels; its frame is the camera's optical one.
            labels: uint8 ``[H, W]``.
            depth_m: float32, of any size; NaN where nothing was measured.
            calibration: Of the depth image.
            colors: uint8 RGB ``[H, W, 3]``.
            probabilities: float32 ``[H, W]``, of the labels.
        """
        height, width = labels.shape
        depth_width, depth_height = calibration.size
        z = sampled(depth_m, nearest_pixels(width, depth_width), nearest_pixels(height, depth_height))
        if self._max_depth_m > 0.0:
            z = np.where(z <= self._max_depth_m, z, np.float32(np.nan))
        if self._points.shape != (height, width):
            self._message = with_data(_message(width, height), np.zeros((height, width), POINT))
            self._points = np.frombuffer(self._message.data, POINT).reshape(height, width)
        ray_x, ray_y = (np.broadcast_to(rays, z.shape) for rays in _rays(calibration, width, height))
        packed_colors = cv2.cvtColor(colors, cv2.COLOR_RGB2BGRA).view("<u4")[..., 0]
        for top in range(0, height, ROWS_AT_A_TIME):
            rows = slice(top, top + ROWS_AT_A_TIME)
            points = self._points[rows]
            np.multiply(ray_x[rows], z[rows], out=points["x"])
            np.multiply(ray_y[rows], z[rows], out=points["y"])
            points["z"] = z[rows]
            np.bitwise_and(packed_colors[rows], 0x00FFFFFF, out=points["rgb"])
            points["label"] = points["class_id"] = labels[rows]
            points["probability"] = probabilities[rows]
        return self._finished(header, ~np.isnan(z))

    def _finished(self, header, is_measured: np.ndarray) -> PointCloud2:
        """The message of the points as they are now."""
        if self._organized:
            message = self._message
            message.is_dense = bool(is_measured.all())
        else:
            # Whole points with the padding between their fields, which NumPy would leave as the memory was.
            points = self._points.view(f"V{POINT.itemsize}")[is_measured]
            message = with_data(_message(len(points), 1), points)
            message.is_dense = True
        message.header = header
        return message


def _message(width: int, height: int) -> PointCloud2:
    return PointCloud2(
        height=height,
        width=width,
        fields=POINT_FIELDS,
        is_bigendian=False,
        point_step=POINT.itemsize,
        row_step=POINT.itemsize * width,
    )


def nearest_pixels(count: int, source_count: int) -> np.ndarray:
    """For each of some pixels in a row the one of another row, of the same extent, in which its centre lies."""
    return ((2 * np.arange(count) + 1) * source_count) // (2 * count)


def sampled(image: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """``image[rows, columns]``, and the image itself where that is all of it."""
    if image.shape[:2] == (len(rows), len(columns)):
        return image
    return image[rows[:, None], columns]


def probabilities_of(labels: np.ndarray, confidence: np.ndarray | None) -> np.ndarray:
    """float32, of the labels' shape: confidence as 0..1, or 1 where there is none; 0 where there is no label."""
    probabilities = np.ones(labels.shape, np.float32) if confidence is None else cv2.LUT(confidence, PROBABILITIES)
    probabilities[labels == UNLABELED] = 0.0
    return probabilities


@lru_cache(maxsize=4)
def _rays(calibration: Calibration, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Those of the depth pixels that the labels' pixels take."""
    depth_width, depth_height = calibration.size
    return calibration.rays(nearest_pixels(width, depth_width), nearest_pixels(height, depth_height))
