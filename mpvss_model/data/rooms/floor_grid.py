"""Where on the floor there is room: for furniture, for people and for the camera."""

from __future__ import annotations

import cv2
import numpy as np

from mpvss_model.data.rooms.floor_plan import FloorPlan

__all__ = ["FloorGrid", "footprint"]

CELL_M = 0.04


class FloorGrid:
    """A raster of the floor; cells are free or occupied.

    Args:
        plan: Outside of its rooms and doorways everything is occupied.
    """

    def __init__(self, plan: FloorPlan) -> None:
        self._half_m = float(plan.half_size_m[0])
        side = int(2 * self._half_m / CELL_M)
        self._free = np.zeros((side, side), np.uint8)
        for room in plan.rooms:
            self._fill(np.array([(room.x0, room.y0), (room.x1, room.y0), (room.x1, room.y1), (room.x0, room.y1)]), 1)
        for doorway in plan.doorways:
            self._fill(doorway.corners(margin_m=CELL_M), 1)
        self._clearance_m: np.ndarray | None = None

    def fits(self, polygon: np.ndarray) -> bool:
        """Whether all cells of a convex polygon ``[N, 2]`` are free."""
        mask = cv2.fillConvexPoly(np.zeros_like(self._free), self._cells(polygon), 1)
        return not (mask & (1 - self._free)).any()

    def occupy(self, polygon: np.ndarray) -> None:
        """Occupy a convex polygon ``[N, 2]``."""
        self._fill(polygon, 0)

    def clearance_m(self, points: np.ndarray) -> np.ndarray:
        """Distance of points ``[..., 2]`` to the nearest occupied cell; 0 outside."""
        if self._clearance_m is None:
            self._clearance_m = cv2.distanceTransform(self._free, cv2.DIST_L2, 5) * CELL_M
        cells = self._cells(points)
        return self._clearance_m[cells[..., 1], cells[..., 0]]

    def line_clearance_m(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Least clearance ``[...]`` along straight lines between points ``[..., 2]``."""
        longest_m = np.linalg.norm(ends - starts, axis=-1).max(initial=0.0)
        along = np.linspace(0, 1, max(2, int(longest_m / (2 * CELL_M))))[:, None]
        return self.clearance_m(starts[..., None, :] + along * (ends - starts)[..., None, :]).min(axis=-1)

    def random_points(self, count: int, clearance_m: float, rng: np.random.Generator) -> np.ndarray:
        """Up to ``count`` points ``[N, 2]`` with at least some clearance."""
        points = rng.uniform(-self._half_m, self._half_m, (count * 20, 2))
        return points[self.clearance_m(points) >= clearance_m][:count]

    def _cells(self, points: np.ndarray) -> np.ndarray:
        cells = np.floor((np.asarray(points) + self._half_m) / CELL_M).astype(np.int32)
        return cells.clip(0, len(self._free) - 1)

    def _fill(self, polygon: np.ndarray, value: int) -> None:
        cv2.fillConvexPoly(self._free, self._cells(polygon), value)
        self._clearance_m = None


def footprint(centre: np.ndarray, size_m: np.ndarray, yaw: float, margin_m: float = 0.0) -> np.ndarray:
    """Corners ``[4, 2]`` of a turned rectangle, with a margin all around."""
    half = np.asarray(size_m[:2]) / 2 + margin_m
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half
    cos, sin = np.cos(yaw), np.sin(yaw)
    return corners @ np.array([[cos, sin], [-sin, cos]]) + centre
