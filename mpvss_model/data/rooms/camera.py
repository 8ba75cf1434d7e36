"""A robot's camera: where it goes, and where it looks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse.csgraph import dijkstra

from mpvss_model.data.rooms.scene import Scene

__all__ = ["CameraPose", "Lens", "Roads", "RobotCamera"]

CLEARANCE_M = 0.25
WAYPOINTS = 60
VIEWS = 6
NEAR_M = 0.05
FAR_M = 40.0


@dataclass(frozen=True)
class CameraPose:
    """Where a camera is, ``[3]``, and its yaw, pitch and roll in radians."""

    position: np.ndarray
    yaw: float
    pitch: float
    roll: float

    def world_to_camera(self) -> np.ndarray:
        """Rigid transform ``[4, 4]`` into the camera's frame: x right, y up, z backward."""
        cos, sin = np.cos(self.pitch), np.sin(self.pitch)
        forward = np.array([np.cos(self.yaw) * cos, np.sin(self.yaw) * cos, sin])
        right = np.array([np.sin(self.yaw), -np.cos(self.yaw), 0.0])
        up = np.cross(right, forward)
        right, up = np.cos(self.roll) * right + np.sin(self.roll) * up, np.cos(self.roll) * up - np.sin(self.roll) * right
        matrix = np.eye(4)
        matrix[:3, :3] = right, up, -forward
        matrix[:3, 3] = -matrix[:3, :3] @ self.position
        return matrix


@dataclass(frozen=True)
class Lens:
    """A pinhole camera by its vertical field of view in radians."""

    vertical_fov: float

    def intrinsics(self, width: int, height: int) -> np.ndarray:
        """Camera matrix ``[3, 3]`` in pixels, of which the first one's centre is (0, 0)."""
        focal_px = height / 2 / np.tan(self.vertical_fov / 2)
        return np.array([[focal_px, 0.0, (width - 1) / 2], [0.0, focal_px, (height - 1) / 2], [0.0, 0.0, 1.0]])

    def projection(self, width: int, height: int) -> np.ndarray:
        """OpenGL projection ``[4, 4]``."""
        scale = 1 / np.tan(self.vertical_fov / 2)
        matrix = np.zeros((4, 4))
        matrix[0, 0], matrix[1, 1] = scale * height / width, scale
        matrix[2, 2] = -(FAR_M + NEAR_M) / (FAR_M - NEAR_M)
        matrix[2, 3] = -2 * FAR_M * NEAR_M / (FAR_M - NEAR_M)
        matrix[3, 2] = -1
        return matrix


class RobotCamera:
    """Drives from place to place through an apartment, mostly looking ahead, and shakes a little.

    Args:
        scene: Where it drives; it keeps away from what moves.
        roads: Of the scene.
        rng: Decides everything.
        rate_hz: Frames per second.
    """

    def __init__(self, *, scene: Scene, roads: Roads, rng: np.random.Generator, rate_hz: float) -> None:
        self._scene, self._roads, self._rng = scene, roads, rng
        self._position, self._yaw = roads.random_view(rng)
        self._height_m = rng.uniform(0.3, 1.5)
        self._pitch = rng.uniform(-0.3, 0.15)
        self._speed_m = rng.uniform(0.1, 0.9) / rate_hz
        self._max_turn = rng.uniform(0.5, 1.6) / rate_hz
        self._shake = rng.uniform(0.0, 1.0) ** 2 * np.array([0.006, 0.008, 0.008])
        self._turn = 0.0
        self._gaze_offset = 0.0
        self._path: list[np.ndarray] = []
        self.lens = Lens(np.radians(rng.uniform(38, 68)))

    def pose(self) -> CameraPose:
        """The pose of the next frame; the camera drives on."""
        self._drive()
        bump, pitch, roll = self._rng.normal(0, 1, 3) * self._shake
        return CameraPose(np.array([*self._position, self._height_m + bump]), self._yaw, self._pitch + pitch, roll)

    @property
    def position(self) -> np.ndarray:
        """On the floor, ``[2]``."""
        return self._position

    def _drive(self) -> None:
        if not self._path:
            self._path = self._roads.path(self._position, self._roads.random_place(self._rng))
            self._gaze_offset = self._rng.normal(0, 0.35)
        way = self._path[0] - self._position
        distance_m = float(np.linalg.norm(way))
        error = _wrapped(np.arctan2(way[1], way[0]) + self._gaze_offset - self._yaw)
        self._turn = 0.8 * self._turn + 0.2 * float(np.clip(0.15 * error, -self._max_turn, self._max_turn))
        self._yaw += self._turn
        if distance_m <= self._speed_m:
            self._path.pop(0)
        # It slows down to turn.
        target = self._position + way / max(distance_m, 1e-6) * min(self._speed_m, distance_m) * max(0.1, np.cos(error))
        if all(np.linalg.norm(target - m.position[:2]) > m.radius_m + CLEARANCE_M for m in self._scene.movers):
            self._position = target
        else:
            self._path = []


class Roads:
    """Places on the floor that straight lines connect.

    Args:
        scene: What stands in it is in the way.
        rng: Decides where the places are.
    """

    def __init__(self, scene: Scene, rng: np.random.Generator) -> None:
        self._grid = scene.grid
        places = [self._grid.random_points(WAYPOINTS, CLEARANCE_M, rng)]
        places += [doorway.corners(margin_m=0.4).reshape(2, 2, 2).mean(axis=1) for doorway in scene.plan.doorways]
        self._places = np.concatenate(places)
        if not len(self._places):
            self._places = self._grid.random_points(WAYPOINTS, 0.0, rng)
        self._lengths = self._line_lengths(self._places[:, None], self._places[None])

    def random_place(self, rng: np.random.Generator) -> np.ndarray:
        """One of the places, ``[2]``."""
        return self._places[rng.integers(len(self._places))]

    def random_view(self, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        """A place and a yaw with some free floor ahead, rather than a wall in front."""
        places = self._places[rng.integers(len(self._places), size=VIEWS)]
        yaws = rng.uniform(0, 2 * np.pi, VIEWS)
        ahead = rng.uniform(0.5, 3.0) * np.stack([np.cos(yaws), np.sin(yaws)], axis=1)
        best = self._grid.line_clearance_m(places, places + ahead).argmax()
        return places[best], float(yaws[best])

    def path(self, start: np.ndarray, end: np.ndarray) -> list[np.ndarray]:
        """Places on the shortest way between two points ``[2]``; only the start where there is none."""
        count = len(self._places)
        lengths = np.zeros((count + 1, count + 1))
        lengths[:count, :count] = self._lengths
        lengths[count, :count] = self._line_lengths(start, self._places)
        at = int(np.linalg.norm(self._places - end, axis=1).argmin())
        _, before = dijkstra(lengths, directed=False, indices=count, return_predecessors=True)
        path = []
        while at >= 0 and at != count:
            path.insert(0, self._places[at])
            at = before[at]
        return path if at == count else [start]

    def _line_lengths(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Lengths ``[...]`` of straight lines in metres; 0, which stands for none, where one is not free."""
        starts, ends = np.broadcast_arrays(starts, ends)
        is_free = self._grid.line_clearance_m(starts, ends) >= 0.8 * CLEARANCE_M
        return np.where(is_free, np.linalg.norm(ends - starts, axis=-1), 0.0)


def _wrapped(angle: float) -> float:
    return (angle + np.pi) % (2 * np.pi) - np.pi
