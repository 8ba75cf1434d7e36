"""What stands where: an apartment with furniture, people and lights, drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mpvss_model.data.rooms.catalogue import CLASS_NAMES, Furniture
from mpvss_model.data.rooms.floor_grid import FloorGrid, footprint
from mpvss_model.data.rooms.floor_plan import DOORWAY_HEIGHT_M, Doorway, FloorPlan, Room, draw_floor_plan
from mpvss_model.data.rooms.mesh import Mesh, quads
from mpvss_model.data.rooms.textures import draw_texture

__all__ = ["Light", "Placed", "RoomLight", "Scene", "draw_scene"]

# What is put against the walls and into the middle of a room, as often as it is named.
WALL_CLASSES = ("storage", "storage", "storage", "seat", "seat", "bed", "table", "table", "other", "other", "plant")
FLOOR_CLASSES = ("table", "table", "seat", "seat", "seat", "bed", "plant", "other", "person")
TRIES = 30
GAP_M = 0.03
DOORWAY_MARGIN_M = 0.7
MIN_STANDING_M = 1.4
SMALL_M = 0.45
HANGING_M = 1.0


@dataclass
class Placed:
    """One thing in the apartment; it may move.

    Attributes:
        class_index: Of `CLASS_NAMES`.
        room: Index of the room that lights it.
        mesh: Called when it is drawn.
        size_m: ``[3]``, of its box.
        position: ``[3]``, of the centre of the box's bottom.
        yaw: Turn about the vertical axis in radians; at 0 its front faces -y.
        tint: ``[3]``, multiplied with its colours.
        emission: Light of its own.
        speed_m: Step from frame to frame; 0 for what stands still.
        heading: Where it moves, in radians.
    """

    class_index: int
    room: int
    mesh: Callable[[], Mesh]
    size_m: np.ndarray
    position: np.ndarray
    yaw: float = 0.0
    tint: np.ndarray = field(default_factory=lambda: np.ones(3))
    emission: float = 0.0
    speed_m: float = 0.0
    heading: float = 0.0

    @property
    def radius_m(self) -> float:
        """Of the circle around it on the floor, or nearly."""
        return 0.4 * float(np.hypot(*self.size_m[:2]))


@dataclass(frozen=True)
class Light:
    """A lamp: position ``[3]`` in metres, colour ``[3]``."""

    position: np.ndarray
    colour: np.ndarray


@dataclass(frozen=True)
class RoomLight:
    """The lamps of a room, of which the first one throws shadows, and its ambient light ``[3]``."""

    lamps: tuple[Light, ...]
    ambient: np.ndarray


@dataclass
class Scene:
    """An apartment at one moment.

    Attributes:
        plan: Its rooms.
        grid: Free floor, without what moves.
        placed: Walls, floors, ceilings, furniture and people; instance ``i`` of a rendered image is ``placed[i - 1]``.
        lights: By room.
        textures: uint8 RGBA ``[L, S, S, 4]`` that walls, floors, ceilings and window views use.
    """

    plan: FloorPlan
    grid: FloorGrid
    placed: list[Placed]
    lights: tuple[RoomLight, ...]
    textures: np.ndarray

    def move(self, rng: np.random.Generator, camera: np.ndarray) -> None:
        """Let what moves make a step; it turns before walls, furniture and the camera at ``[2]``."""
        for mover in self.movers:
            for _ in range(12):
                step = mover.speed_m * np.array([np.cos(mover.heading), np.sin(mover.heading)])
                target = mover.position[:2] + step
                near_camera = np.linalg.norm(target - camera) < mover.radius_m + 0.4
                if not near_camera and self.grid.clearance_m(target) >= mover.radius_m:
                    mover.position = np.array([*target, mover.position[2]])
                    break
                mover.heading += rng.uniform(0.2, 0.6)
            mover.heading += rng.uniform(-0.03, 0.03)
            mover.yaw = mover.heading + np.pi / 2

    @property
    def movers(self) -> list[Placed]:
        """All that moves."""
        return [thing for thing in self.placed if thing.speed_m]


def draw_scene(
    rng: np.random.Generator, *, furniture: list[Furniture], mesh: Callable[[Furniture], Mesh], rate_hz: float
) -> Scene:
    """A random apartment.

    Args:
        rng: Decides everything.
        furniture: What to choose from; of each class at least one.
        mesh: Loads the mesh of one.
        rate_hz: Frames per second, for the speed of what moves.
    """
    return _Decorator(rng, furniture, mesh, rate_hz).scene()


class _Decorator:
    """Fills one apartment, step by step."""

    def __init__(self, rng, furniture, mesh, rate_hz) -> None:
        self._rng = rng
        self._mesh = mesh
        self._rate_hz = rate_hz
        self._by_class: dict[str, list[Furniture]] = {name: [] for name in CLASS_NAMES}
        for item in furniture:
            if min(item.size_m) > 0.02 and not item.name.startswith("Clothes"):
                self._by_class[item.class_name].append(item)
        self._plan = draw_floor_plan(rng)
        self._grid = FloorGrid(self._plan)
        self._placed: list[Placed] = []
        self._obstacles: list[np.ndarray] = []
        self._textures: list[np.ndarray] = []

    def scene(self) -> Scene:
        for index, room in enumerate(self._plan.rooms):
            self._build(index, room)
        for doorway in self._plan.doorways:
            self._build_jambs(doorway)
        paths = FloorGrid(self._plan)
        for doorway in self._plan.doorways:
            self._grid.occupy(doorway.corners(DOORWAY_MARGIN_M))
        for index, room in enumerate(self._plan.rooms):
            self._furnish(index, room)
        for area in self._obstacles:
            paths.occupy(area)
        self._grid = paths
        self._add_movers()
        lights = tuple(self._lights(room) for room in self._plan.rooms)
        return Scene(self._plan, self._grid, self._placed, lights, np.array(self._textures))

    # -- walls, floors and ceilings ----------------------------------------------------------------------------------

    def _build(self, index: int, room: Room) -> None:
        height = self._plan.height_m
        x0, y0, x1, y1 = room.x0, room.y0, room.x1, room.y1
        floor = np.array([(x0, y0, 0), (x1, y0, 0), (x1, y1, 0), (x0, y1, 0)])
        self._add_surface("floor", index, [floor])
        self._add_surface("ceiling", index, [floor[::-1] + (0, 0, height)])
        walls = []
        for side, start, end in (
            ("south", (x1, y0), (x0, y0)),
            ("east", (x1, y1), (x1, y0)),
            ("north", (x0, y1), (x1, y1)),
            ("west", (x0, y0), (x0, y1)),
        ):
            walls += self._wall(index, side, np.array(start), np.array(end))
        self._add_surface("wall", index, walls)

    def _wall(self, index: int, side: str, start: np.ndarray, end: np.ndarray) -> list[np.ndarray]:
        """The parts of a wall around its doorways, as seen from inside."""
        axis = int(side in ("east", "west"))
        openings = [d for d in self._plan.doorways if index in d.rooms and d.side_in(index) == side]
        # In the order in which one walks past them.
        ends = [sorted((d.start_m, d.end_m), key=lambda c: abs(c - start[axis])) for d in openings]
        cuts = sorted(ends, key=lambda cut: abs(cut[0] - start[axis]))
        parts, position, height = [], start, self._plan.height_m

        def at(coordinate: float) -> np.ndarray:
            point = start.astype(float).copy()
            point[axis] = coordinate
            return point

        for first, last in cuts:
            parts.append(_upright(position, at(first), 0.0, height))
            parts.append(_upright(at(first), at(last), DOORWAY_HEIGHT_M, height))
            position = at(last)
        return [*parts, _upright(position, end, 0.0, height)]

    def _build_jambs(self, doorway: Doorway) -> None:
        """The inside of a doorway: two sides, the top and the threshold."""
        a, b, c, d = doorway.corners()
        top = DOORWAY_HEIGHT_M
        flat = np.array([(*a, 0), (*b, 0), (*c, 0), (*d, 0)])
        index = doorway.rooms[0]
        self._add_surface("wall", index, [_upright(a, b, 0.0, top), _upright(c, d, 0.0, top), flat[::-1] + (0, 0, top)])
        self._add_surface("floor", index, [flat])

    def _add_surface(self, class_name: str, room: int, corners: list[np.ndarray]) -> None:
        rng = self._rng
        corners = np.array(corners, float)
        self._textures.append(draw_texture(class_name, rng))
        sides_m = [np.linalg.norm(corners[:, i] - corners[:, 0], axis=1) for i in (1, 3)]
        unit = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
        uv = unit * np.stack(sides_m, axis=1)[:, None] * rng.uniform(0.4, 1.0)
        half_size = self._plan.half_size_m
        made = quads(
            corners - (0, 0, half_size[2]),
            uv=uv,
            half_size=half_size,
            layer=len(self._textures) - 1,
            colour=np.ones(3),
            gloss=rng.uniform(0.0, 0.5) if class_name == "floor" else 0.05,
        )

        def surface() -> Mesh:
            return made

        index = CLASS_NAMES.index(class_name)
        self._placed.append(Placed(index, room, surface, 2 * half_size, np.zeros(3)))

    # -- furniture ---------------------------------------------------------------------------------------------------

    def _furnish(self, index: int, room: Room) -> None:
        rng = self._rng
        area = room.size_m.prod()
        for class_name in rng.choice(["door", "window"], rng.integers(2, 6)):
            self._against_wall(index, room, self._choose(class_name))
        for class_name in rng.choice(WALL_CLASSES, rng.integers(3, 5 + int(area / 4))):
            self._against_wall(index, room, self._choose(class_name))
        for class_name in rng.choice(FLOOR_CLASSES, rng.integers(2, 3 + int(area / 4))):
            self._in_the_middle(index, room, self._choose(class_name))

    def _choose(self, class_name: str, accept=lambda item: True) -> Furniture:
        found = [item for item in self._by_class[class_name] if accept(item)]
        if class_name == "other" and self._rng.random() < 0.7:
            found = [item for item in found if max(item.size_m) > SMALL_M] or found
        return found[self._rng.integers(len(found))]

    def _against_wall(self, index: int, room: Room, item: Furniture) -> None:
        rng = self._rng
        size_m = np.array(item.size_m) * rng.uniform(0.9, 1.1)
        for _ in range(TRIES):
            turns = rng.integers(4)
            yaw = turns * np.pi / 2
            half = size_m[:2][:: -1 if turns % 2 else 1] / 2
            free = room.size_m / 2 - half
            if (free <= GAP_M).any():
                continue
            offset = rng.uniform(-1, 1, 2) * free
            # Its back is at +y, and turns with it.
            axis = int(turns % 2 == 0)
            offset[axis] = (free[axis] - GAP_M) * (1 if turns in (0, 3) else -1)
            if self._put(index, item, size_m, room.centre + offset, yaw):
                return

    def _in_the_middle(self, index: int, room: Room, item: Furniture) -> None:
        rng = self._rng
        size_m = np.array(item.size_m) * rng.uniform(0.9, 1.1)
        for _ in range(TRIES):
            centre = room.centre + rng.uniform(-0.5, 0.5, 2) * room.size_m
            yaw = rng.uniform(0, 2 * np.pi)
            if self._put(index, item, size_m, centre, yaw):
                if item.class_name == "table" and rng.random() < 0.7:
                    self._seats_around(index, centre, size_m, yaw)
                return

    def _seats_around(self, index: int, centre: np.ndarray, table_m: np.ndarray, yaw: float) -> None:
        """Some seats of one kind that face the table."""
        seat = self._choose("seat", lambda item: max(item.size_m[:2]) < 0.8)
        for side in self._rng.permutation(4)[: self._rng.integers(1, 5)]:
            turned = yaw + side * np.pi / 2
            reach = (table_m[1] if side % 2 == 0 else table_m[0]) / 2 + seat.size_m[1] / 2 * self._rng.uniform(0.9, 1.3)
            position = centre + reach * np.array([-np.sin(turned), np.cos(turned)])
            self._put(index, seat, np.array(seat.size_m), position, turned)

    def _put(self, index: int, item: Furniture, size_m: np.ndarray, centre: np.ndarray, yaw: float) -> bool:
        """Place a thing if there is room; what hangs needs none on the floor."""
        height = item.elevation_m
        if height + size_m[2] > self._plan.height_m:
            return False
        area = footprint(centre, size_m, yaw, margin_m=-0.01 if height >= HANGING_M else GAP_M / 2)
        if not self._grid.fits(area):
            return False
        self._grid.occupy(area)
        if height < HANGING_M:
            self._obstacles.append(area)
        position = np.array([*centre, height])
        self._add(index, item, size_m, position, yaw)
        if item.class_name == "window":
            self._add_view(index, size_m, position, yaw)
        if item.class_name in ("table", "storage") and 0.3 < size_m[2] < 1.3 and self._rng.random() < 0.6:
            self._add_on_top(index, size_m, position, yaw)
        return True

    def _add(self, index: int, item: Furniture, size_m: np.ndarray, position: np.ndarray, yaw: float) -> Placed:
        def furniture() -> Mesh:
            return self._mesh(item)

        tint = self._rng.uniform(0.5, 1.3, 3) if self._rng.random() < 0.4 else np.ones(3)
        placed = Placed(CLASS_NAMES.index(item.class_name), index, furniture, size_m, position, yaw, tint)
        self._placed.append(placed)
        return placed

    def _add_on_top(self, index: int, below_m: np.ndarray, position: np.ndarray, yaw: float) -> None:
        for _ in range(self._rng.integers(1, 4)):
            class_name = "plant" if self._rng.random() < 0.2 else "other"
            small = [item for item in self._by_class[class_name] if max(item.size_m) < SMALL_M and item.elevation_m < 0.1]
            if not small:
                continue
            item = small[self._rng.integers(len(small))]
            x, y = self._rng.uniform(-0.35, 0.35, 2) * below_m[:2]
            offset = np.array([x * np.cos(yaw) - y * np.sin(yaw), x * np.sin(yaw) + y * np.cos(yaw), below_m[2]])
            self._add(index, item, np.array(item.size_m), position + offset, yaw + self._rng.uniform(-0.6, 0.6))

    def _add_view(self, index: int, size_m: np.ndarray, position: np.ndarray, yaw: float) -> None:
        """What is seen through a window: a bright picture at its back."""
        self._textures.append(draw_texture("outdoors", self._rng))
        corners = np.array([[(-0.97, 0.6, -0.97), (0.97, 0.6, -0.97), (0.97, 0.6, 0.97), (-0.97, 0.6, 0.97)]])
        uv = np.array([[(0.02, 0.02), (0.98, 0.02), (0.98, 0.98), (0.02, 0.98)]])
        made = quads(corners, uv=uv, half_size=np.ones(3), layer=len(self._textures) - 1, colour=np.ones(3), gloss=0.0)

        def view() -> Mesh:
            return made

        emission = self._rng.uniform(0.3, 1.5) if self._rng.random() < 0.85 else 0.02
        window = CLASS_NAMES.index("window")
        self._placed.append(Placed(window, index, view, size_m, position, yaw, np.ones(3), emission))

    # -- people and lights -------------------------------------------------------------------------------------------

    def _add_movers(self) -> None:
        """People who walk, and now and then a thing that rolls about."""
        rng = self._rng
        for class_name in ["person"] * rng.integers(0, 2 + len(self._plan.rooms)) + ["other"] * rng.integers(0, 2):
            item = self._choose(class_name, _stands if class_name == "person" else _is_small)
            size_m = np.array(item.size_m) * rng.uniform(0.9, 1.1)
            points = self._grid.random_points(8, 0.4 * float(np.hypot(*size_m[:2])) + 0.05, rng)
            if not len(points) or item.elevation_m > 0.3:
                continue
            centres = np.array([room.centre for room in self._plan.rooms])
            room = int(np.linalg.norm(centres - points[0], axis=1).argmin())
            mover = self._add(room, item, size_m, np.array([*points[0], item.elevation_m]), 0.0)
            mover.heading = rng.uniform(0, 2 * np.pi)
            mover.yaw = mover.heading + np.pi / 2
            mover.speed_m = rng.uniform(0.3, 1.2) / self._rate_hz

    def _lights(self, room: Room) -> RoomLight:
        rng = self._rng
        strength = rng.uniform(0.7, 2.6)
        warmth = rng.uniform(0.7, 1.0)
        lamps = []
        for _ in range(rng.integers(1, 5)):
            x, y = room.centre + rng.uniform(-0.3, 0.3, 2) * room.size_m
            colour = strength * rng.uniform(0.5, 1.0) * np.array([1.0, 0.4 * (warmth + 1), warmth * 0.9])
            lamps.append(Light(np.array([x, y, self._plan.height_m - 0.15]), colour))
        return RoomLight(tuple(lamps), rng.uniform(0.25, 0.75) * rng.uniform(0.9, 1.05, 3))


def _upright(start: np.ndarray, end: np.ndarray, low: float, high: float) -> np.ndarray:
    """A vertical rectangle ``[4, 3]``, whose front is to the right of the way from start to end."""
    return np.array([(*start, low), (*end, low), (*end, high), (*start, high)])


def _stands(item: Furniture) -> bool:
    """Whether a model of a person stands; others sit."""
    return item.size_m[2] > MIN_STANDING_M


def _is_small(item: Furniture) -> bool:
    """Whether something can roll about in a room."""
    return max(item.size_m) < 0.8
