"""Apartments: a rectangle divided into rooms that doorways join."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

__all__ = ["Doorway", "FloorPlan", "Room", "draw_floor_plan"]

MIN_SIDE_M = 2.8
MAX_SIDE_M = 7.5
MAX_ROOMS = 4
DOORWAY_HEIGHT_M = 2.05


@dataclass(frozen=True)
class Room:
    """The inside of a rectangular room, in metres."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def size_m(self) -> np.ndarray:
        """``[2]``, along x and y."""
        return np.array([self.x1 - self.x0, self.y1 - self.y0])

    @property
    def centre(self) -> np.ndarray:
        """``[2]``."""
        return np.array([self.x0 + self.x1, self.y0 + self.y1]) / 2


@dataclass(frozen=True)
class Doorway:
    """An opening in the wall between two rooms.

    Attributes:
        rooms: Indices of the room to the west or south of the wall, and of the one beyond it.
        axis: 0 if one goes through along x, 1 along y.
        start_m: Where the opening starts, along the other axis.
        end_m: Where it ends.
        near_m: Where the wall starts, along ``axis``.
        far_m: Where it ends.
    """

    rooms: tuple[int, int]
    axis: int
    start_m: float
    end_m: float
    near_m: float
    far_m: float

    def corners(self, margin_m: float = 0.0) -> np.ndarray:
        """The opening's rectangle on the floor ``[4, 2]``, made longer by a margin on both sides of the wall."""
        near, far = self.near_m - margin_m, self.far_m + margin_m
        points = [(near, self.start_m), (far, self.start_m), (far, self.end_m), (near, self.end_m)]
        return np.array(points if self.axis == 0 else [point[::-1] for point in points])

    def side_in(self, room: int) -> str:
        """On which side of a room it is."""
        first = room == self.rooms[0]
        return ("east" if first else "west") if self.axis == 0 else ("north" if first else "south")


@dataclass(frozen=True)
class FloorPlan:
    """Rooms, their doorways, and the height of all."""

    rooms: tuple[Room, ...]
    doorways: tuple[Doorway, ...]
    height_m: float

    @property
    def half_size_m(self) -> np.ndarray:
        """``[3]``, of a box around the origin that everything is in."""
        corners = np.abs([(room.x0, room.y0, room.x1, room.y1) for room in self.rooms])
        side = corners.max() + 1.0
        return np.array([side, side, self.height_m + 1.0])


def draw_floor_plan(rng: np.random.Generator) -> FloorPlan:
    """A random apartment of one to four rooms around the origin; one can walk from each room to each other."""
    count = int(rng.choice(MAX_ROOMS, p=[0.25, 0.35, 0.25, 0.15])) + 1
    half = np.sqrt(count) * rng.uniform(4.0, 6.5) / 2
    aspect = rng.uniform(0.75, 1.33)
    wall_m = rng.uniform(0.1, 0.2)
    rooms = [Room(-half * aspect, -half / aspect, half * aspect, half / aspect)]
    # Halve the largest room until there are enough, and none is a hall.
    while True:
        largest = max(rooms, key=lambda room: room.size_m.prod())
        if (len(rooms) >= count and largest.size_m.max() <= MAX_SIDE_M) or largest.size_m.max() < 2 * MIN_SIDE_M + wall_m:
            break
        rooms.remove(largest)
        rooms += _halves(largest, wall_m, rng)
    openings = [_opening(rooms, pair, wall_m, rng) for pair in combinations(range(len(rooms)), 2)]
    return FloorPlan(tuple(rooms), tuple(_enough(len(rooms), [o for o in openings if o], rng)), rng.uniform(2.4, 3.2))


def _halves(room: Room, wall_m: float, rng: np.random.Generator) -> list[Room]:
    width, depth = room.size_m
    if width > depth:
        x = rng.uniform(room.x0 + MIN_SIDE_M, room.x1 - MIN_SIDE_M - wall_m)
        return [Room(room.x0, room.y0, x, room.y1), Room(x + wall_m, room.y0, room.x1, room.y1)]
    y = rng.uniform(room.y0 + MIN_SIDE_M, room.y1 - MIN_SIDE_M - wall_m)
    return [Room(room.x0, room.y0, room.x1, y), Room(room.x0, y + wall_m, room.x1, room.y1)]


def _opening(rooms: list[Room], pair: tuple[int, int], wall_m: float, rng: np.random.Generator) -> Doorway | None:
    """A doorway between two rooms if a wall of theirs is the same one and long enough."""
    for first, second in (pair, pair[::-1]):
        a, b = rooms[first], rooms[second]
        for axis, near, far, low, high in (
            (0, a.x1, b.x0, max(a.y0, b.y0), min(a.y1, b.y1)),
            (1, a.y1, b.y0, max(a.x0, b.x0), min(a.x1, b.x1)),
        ):
            width = min(rng.uniform(0.85, 1.3) if rng.random() < 0.7 else rng.uniform(1.3, 2.6), high - low - 0.4)
            if abs(far - near - wall_m) < 1e-6 and width >= 0.8:
                start = low + 0.2 + rng.uniform(0.0, max(0.0, high - low - 0.4 - width))
                return Doorway((first, second), axis, start, start + width, near, far)
    return None


def _enough(num_rooms: int, openings: list[Doorway], rng: np.random.Generator) -> list[Doorway]:
    """Those that it takes to connect all rooms, and some of the others."""
    group = list(range(num_rooms))
    kept = []
    for index in rng.permutation(len(openings)):
        opening = openings[index]
        a, b = (group[room] for room in opening.rooms)
        if a != b or rng.random() < 0.3:
            kept.append(opening)
            group = [a if g == b else g for g in group]
    return kept
