"""A camera's calibration, for an image of a certain size: pixels to rays, and points to pixels."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import cv2
import numpy as np

from mpvss_model import FrameError
from mpvss_ros.messages.camera_info import image_scale

__all__ = ["Calibration"]

PINHOLE_MODELS = ("plumb_bob", "rational_polynomial", "")
FISHEYE_MODELS = ("equidistant", "fisheye")
# How many coefficients OpenCV takes, in whose order they are: those behind are 0.
PINHOLE_COUNTS, FISHEYE_COUNTS = (0, 4, 5, 8, 12, 14), (0, 4)
# Rays of the border's pixels are a little off where the distortion is strong.
BORDER_TOLERANCE = 1.02


@dataclass(frozen=True)
class Calibration:
    """Pinhole camera with or without distortion. Equal ones compare equal, so that what is made of one can be kept.

    Attributes:
        size: Width and height of the image in pixels.
        focal_px: Horizontal and vertical focal length.
        center_px: Principal point; the centre of the first pixel is (0, 0).
        distortion: Coefficients in OpenCV's order; empty for none.
        is_fisheye: Whether they are those of ``cv2.fisheye``.
    """

    size: tuple[int, int]
    focal_px: tuple[float, float]
    center_px: tuple[float, float]
    distortion: tuple[float, ...] = ()
    is_fisheye: bool = False

    @classmethod
    def of(cls, info, *, width: int, height: int, image: str, rectified: bool = False) -> Calibration:
        """That of a ``sensor_msgs/CameraInfo`` for an image of the same view, perhaps of another size.

        Args:
            info: Of the camera.
            width: Of the image.
            height: Of the image.
            image: What it shows, for messages, such as ``depth image``.
            rectified: Whether the image is: then P holds, and there is no distortion.

        Raises:
            FrameError: If it is not the calibration of such an image.
        """
        scale = image_scale(info, width=width, height=height)
        if scale is None:
            raise FrameError(
                "calibration",
                f"camera_info is of {info.width} x {info.height} pixels, the {image} has {width} x {height}, of another "
                "shape: give the camera_info of the camera that the labels are of, and depth that is registered to it",
            )
        fx, cx, fy, cy = (info.p[i] for i in (0, 2, 5, 6)) if rectified else (info.k[i] for i in (0, 2, 4, 5))
        if not (fx > 0.0 and fy > 0.0):
            raise FrameError("calibration", f"camera_info has the focal lengths {fx} and {fy}: calibrate the camera first")
        if not all(map(isfinite, (fx, cx, fy, cy))):
            matrix = "P" if rectified else "K"
            raise FrameError("calibration", f"camera_info has {fx}, {cx}, {fy}, {cy} in {matrix}: calibrate the camera first")
        is_fisheye = info.distortion_model in FISHEYE_MODELS
        distortion = () if rectified else _distortion(info, FISHEYE_COUNTS if is_fisheye else PINHOLE_COUNTS)
        if (info.width, info.height) != (width, height):
            # K is that of the whole sensor, of which the image may show a part, binned.
            cx, fx = _binned(cx - info.roi.x_offset, fx, info.binning_x)
            cy, fy = _binned(cy - info.roi.y_offset, fy, info.binning_y)
        # Edges of the image scale, and not the centres of its first pixels.
        center = (cx + 0.5) * scale[0] - 0.5, (cy + 0.5) * scale[1] - 0.5
        return cls((width, height), (fx * scale[0], fy * scale[1]), center, distortion, is_fisheye)

    def rays(self, columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Directions of a grid of pixels, as x and y at depth 1.

        Args:
            columns: ``[W]``, of pixels from the left.
            rows: ``[H]``, of pixels from above.

        Returns:
            float32 arrays that broadcast to ``[H, W]``: without distortion ``[1, W]`` and ``[H, 1]``.
        """
        if not self.distortion:
            x = (columns - self.center_px[0]) / self.focal_px[0]
            y = (rows - self.center_px[1]) / self.focal_px[1]
            return x.astype(np.float32)[None, :], y.astype(np.float32)[:, None]
        pixels = np.stack(np.meshgrid(columns, rows), axis=-1).astype(np.float64)
        rays = self._undistorted(pixels.reshape(-1, 1, 2)).reshape(*pixels.shape).astype(np.float32)
        return rays[..., 0], rays[..., 1]

    def pixels(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where points are in the image.

        Args:
            points: ``[N, 3]`` in the camera's optical frame.

        Returns:
            Columns and rows, int ``[N]``, and -1 in both where the image does not show the point: it is behind the camera,
            beside the image, or no number.
        """
        width, height = self.size
        columns, rows = np.full((2, len(points)), -1, np.int64)
        x, y, z = points.astype(np.float64).T
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            x, y = x / z, y / z
            left, right, top, bottom = self._ray_limits()
            # Far from the image a distortion polynomial may lead back into it.
            seen = np.flatnonzero((z > 0.0) & (z < np.inf) & (x > left) & (x < right) & (y > top) & (y < bottom))
        if not seen.size:
            return columns, rows
        u, v = np.floor(self._projected(x[seen], y[seen]) + 0.5).T
        inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
        columns[seen[inside]], rows[seen[inside]] = u[inside], v[inside]
        return columns, rows

    @property
    def matrix(self) -> np.ndarray:
        """Camera matrix ``[3, 3]``."""
        (fx, fy), (cx, cy) = self.focal_px, self.center_px
        return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])

    def _ray_limits(self) -> tuple[float, float, float, float]:
        """Smallest and largest x, smallest and largest y at depth 1 that the image shows."""
        width, height = self.size
        if not self.distortion:
            return -np.inf, np.inf, -np.inf, np.inf
        across, down = np.arange(-0.5, width, 1.0), np.arange(-0.5, height, 1.0)
        border = np.concatenate(
            [np.stack(np.broadcast_arrays(across, row), axis=1) for row in (-0.5, height - 0.5)]
            + [np.stack(np.broadcast_arrays(column, down), axis=1) for column in (-0.5, width - 0.5)]
        )
        (left, top), (right, bottom) = (
            edge(self._undistorted(border[:, None])[:, 0], axis=0) * BORDER_TOLERANCE for edge in (np.min, np.max)
        )
        return left, right, top, bottom

    def _undistorted(self, pixels: np.ndarray) -> np.ndarray:
        """float64 ``[N, 1, 2]`` in pixels to x and y at depth 1."""
        undistort = cv2.fisheye.undistortPoints if self.is_fisheye else cv2.undistortPoints
        return undistort(pixels, self.matrix, np.array(self.distortion))

    def _projected(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Directions, as x and y at depth 1, to pixels ``[N, 2]``."""
        if not self.distortion:
            return np.stack([x * self.focal_px[0] + self.center_px[0], y * self.focal_px[1] + self.center_px[1]], axis=1)
        project = cv2.fisheye.projectPoints if self.is_fisheye else cv2.projectPoints
        points = np.stack([x, y, np.ones_like(x)], axis=1)[:, None]
        arguments = (np.zeros(3), np.zeros(3), self.matrix, np.array(self.distortion))
        return project(points, *arguments)[0].reshape(-1, 2)


def _distortion(info, counts: tuple[int, ...]) -> tuple[float, ...]:
    """The coefficients of a calibration, as many as OpenCV wants; empty if there is no distortion.

    Raises:
        FrameError: If they are of another model, too many, or no numbers.
    """
    used = len(info.d)
    while used and info.d[used - 1] == 0.0:
        used -= 1
    if not used:
        return ()
    if info.distortion_model not in (*PINHOLE_MODELS, *FISHEYE_MODELS):
        known = ", ".join(model for model in (*PINHOLE_MODELS, *FISHEYE_MODELS) if model)
        raise FrameError(
            "calibration",
            f"distortion_model {info.distortion_model!r} is not one of {known}: give rectified images, and set rectified",
        )
    values = [float(value) for value in info.d[:used]]
    if used > counts[-1] or not all(map(isfinite, values)):
        raise FrameError(
            "calibration",
            f"camera_info has the distortion {values}, and {info.distortion_model or PINHOLE_MODELS[0]} takes up to "
            f"{counts[-1]} numbers: calibrate the camera first, or give rectified images, and set rectified",
        )
    count = next(count for count in counts if count >= used)
    return (*values, *[0.0] * (count - used))


def _binned(center: float, focal: float, binning: int) -> tuple[float, float]:
    binning = max(1, binning)
    return (center + 0.5) / binning - 0.5, focal / binning
