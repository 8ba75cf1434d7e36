"""Draw the rooms of both packages and what they import, from the sources: ``python docs/draw_imports.py [OUT.svg]``.

A room is a folder right below a package; modules that lie loose in ``mpvss_model`` are its foundations. Arrows point from a
room to the rooms that it imports. One that other arrows imply is left out; one that is part of a circle is red.
"""

from __future__ import annotations

import ast
import sys
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("mpvss_ros", "mpvss_model")
FOUNDATIONS = "mpvss_model/*.py"

# Of the picture, in its own units: a tenth of an inch.
BOX_WIDTH, BOX_GAP, ROW_GAP = 25.0, 3.0, 5.5
LANE_WIDTH = 0.5
LINE_HEIGHT, TITLE_HEIGHT, PADDING = 1.7, 3.0, 1.0
CHARACTERS_IN_LINE = 31
COLOURS = {"mpvss_ros": ("#fdf1e3", "#c8741a"), "mpvss_model": ("#e8f0fa", "#2b62a8")}
ORDERING_ROUNDS = 12
ARROW, CIRCLE = "#5a6572", "#cc2222"


@dataclass(frozen=True)
class Imports:
    """Rooms and how they depend on each other.

    Attributes:
        modules: Names of the modules in each room, sorted; of folders inside it, only the folder's, as in ``rooms/``.
        edges: Pairs of a room and a room that it imports.
    """

    modules: dict[str, tuple[str, ...]]
    edges: frozenset[tuple[str, str]]

    def reachable(self, room: str, *, without: tuple[str, str] | None = None) -> set[str]:
        """All rooms that this one imports, itself or through others; ``without`` names an arrow not to follow."""
        found: set[str] = set()
        waiting = [room]
        while waiting:
            here = waiting.pop()
            new = {to for source, to in self.edges if source == here and (source, to) != without} - found
            found |= new
            waiting += sorted(new)
        return found

    @property
    def circular(self) -> frozenset[tuple[str, str]]:
        """The arrows that are part of a circle."""
        return frozenset((room, to) for room, to in self.edges if room in self.reachable(to))

    @property
    def drawn(self) -> list[tuple[str, str]]:
        """The arrows that no other arrows imply, and those of circles."""
        circular = self.circular
        return [
            edge for edge in sorted(self.edges) if edge in circular or edge[1] not in self.reachable(edge[0], without=edge)
        ]

    def rows(self) -> list[list[str]]:
        """Rooms from the top row to the bottom row: each stands above all that it imports, circles side by side.

        The rooms of one package stand together.
        """
        circular = self.circular
        height = dict.fromkeys(self.modules, 0)
        for _ in self.modules:
            for room, to in self.edges - circular:
                height[room] = max(height[room], height[to] + 1)
            for room, to in circular:
                height[room] = height[to] = max(height[room], height[to])
        self._lift(height)
        places = {room: (-PACKAGES.index(room.split("/")[0]), h) for room, h in height.items()}
        return [
            sorted(room for room in places if places[room] == place) for place in sorted(set(places.values()), reverse=True)
        ]

    def _lift(self, height: dict[str, int]) -> None:
        """Move rooms up to those of their package that import them, where that makes no more arrows longer than shorter."""
        circular = {room for edge in self.circular for room in edge}
        inner = [(room, to) for room, to in self.drawn if room.split("/")[0] == to.split("/")[0]]
        for room in sorted(height.keys() - circular, key=lambda room: (-height[room], room)):
            above = [source for source, to in inner if to == room]
            below = [to for source, to in inner if source == room]
            if above and len(above) >= len(below):
                height[room] = max(height[room], min(height[source] for source in above) - 1)


class Box(NamedTuple):
    """Where a room is drawn: left edge, top edge and height."""

    left: float
    top: float
    height: float


class Lane(NamedTuple):
    """Room for an arrow that passes a row."""

    edge: tuple[str, str]
    row: int


Point = tuple[float, float]


def read_imports(root: Path) -> Imports:
    """Read the rooms and their imports from the sources below a directory that has both packages."""
    sources = {_module_name(root, path): path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))}
    # What a package exports is found where it is defined: the front door belongs to no room.
    front_doors = {name: dict(_exports(sources[name])) for name in PACKAGES if name in sources}
    modules: dict[str, set[str]] = {}
    edges = set()
    for name, path in sources.items():
        if name in PACKAGES:
            continue
        room = _room(root, name)
        inside = path.relative_to(root).parts[1 if room.endswith("*.py") else 2 :]
        modules.setdefault(room, set()).add(inside[0] + "/" if len(inside) > 1 else path.stem)
        for target in _imported(path):
            package, _, rest = target.partition(".")
            target = front_doors.get(package, {}).get(rest, target)
            if package in PACKAGES and target not in PACKAGES:
                edges.add((room, _room(root, target)))
    return Imports(
        modules={room: tuple(sorted(names - {"__init__"})) for room, names in sorted(modules.items())},
        edges=frozenset((room, to) for room, to in edges if room != to and to in modules),
    )


def _module_name(root: Path, path: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _room(root: Path, module: str) -> str:
    package, first = module.split(".")[:2]
    return f"{package}/{first}" if (root / package / first).is_dir() else f"{package}/*.py"


def _imported(path: Path) -> Iterator[str]:
    """Full names of what a file imports, wherever in the file: of modules, or of names in modules."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _exports(path: Path) -> Iterator[tuple[str, str]]:
    """What an ``__init__.py`` exports, each with the full name under which it imports it."""
    for full_name in _imported(path):
        yield full_name.rsplit(".", 1)[1], full_name


def draw(imports: Imports, out: Path) -> None:
    """Write the picture; the same sources give the same file.

    Args:
        imports: What to draw.
        out: An ``.svg`` or ``.png`` file.
    """
    # The tests of what is read above need no plots.
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams |= {
        "svg.hashsalt": "mpvss_ros",
        "svg.fonttype": "none",  # text stays text, so that the file is small and its changes can be read
        "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    }
    from matplotlib import pyplot as plt

    boxes, ways = _layout(imports)
    width = max(box.left for box in boxes.values()) + BOX_WIDTH
    bottom = min(box.top - box.height for box in boxes.values())
    for x in (point[0] for way in ways.values() for point in way):
        width = max(width, x)
    figure, axes = plt.subplots(figsize=((width + 2 * BOX_GAP) / 10, (2 * BOX_GAP - bottom) / 10), dpi=110)
    axes.set(xlim=(-BOX_GAP, width + BOX_GAP), ylim=(bottom - BOX_GAP, BOX_GAP))
    axes.axis("off")
    figure.subplots_adjust(0, 0, 1, 1)
    circular = imports.circular
    for edge, way in ways.items():
        _draw_arrow(axes, boxes[edge[0]], boxes[edge[1]], way, is_circular=edge in circular)
    for room, box in boxes.items():
        _draw_box(axes, room, box, imports.modules[room])
    figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)
    plt.close(figure)


def _lines(modules: tuple[str, ...]) -> list[str]:
    return textwrap.wrap(", ".join(modules), CHARACTERS_IN_LINE, break_long_words=False)


def _layout(imports: Imports) -> tuple[dict[str, Box], dict[tuple[str, str], list[Point]]]:
    """Boxes of the rooms, and the points that each arrow passes between its two boxes."""
    rows = _untangled(imports)
    widths = {slot: LANE_WIDTH if isinstance(slot, Lane) else BOX_WIDTH for row in rows for slot in row}
    row_widths = [sum(widths[slot] + BOX_GAP for slot in row) - BOX_GAP for row in rows]
    boxes, ways, top = {}, {edge: [] for edge in imports.drawn}, 0.0
    for row, row_width in zip(rows, row_widths, strict=True):
        left = (max(row_widths) - row_width) / 2
        tall = max(_height(imports.modules[slot]) for slot in row if not isinstance(slot, Lane))
        for slot in row:
            if isinstance(slot, Lane):
                x = left + LANE_WIDTH / 2
                ways[slot.edge] += [(x, top), (x, top - tall)]
            else:
                boxes[slot] = Box(left, top, _height(imports.modules[slot]))
            left += widths[slot] + BOX_GAP
        top -= tall + ROW_GAP
    return boxes, ways


def _height(modules: tuple[str, ...]) -> float:
    return TITLE_HEIGHT + PADDING + LINE_HEIGHT * len(_lines(modules))


def _untangled(imports: Imports) -> list[list[str | Lane]]:
    """The rows with a lane wherever an arrow passes, each ordered by where its neighbours in other rows stand."""
    rows: list[list[str | Lane]] = [list(row) for row in imports.rows()]
    row_of = {room: i for i, row in enumerate(rows) for room in row}
    neighbours: dict[str | Lane, set[str | Lane]] = {room: set() for room in row_of}
    for edge in imports.drawn:
        lanes = [Lane(edge, i) for i in range(row_of[edge[0]] + 1, row_of[edge[1]])]
        for lane in lanes:
            rows[lane.row].append(lane)
        for one, other in pairwise([edge[0], *lanes, edge[1]]):
            neighbours.setdefault(one, set()).add(other)
            neighbours.setdefault(other, set()).add(one)
    for _ in range(ORDERING_ROUNDS):
        for row in rows:
            place = {slot: (i + 0.5) / len(other) for other in rows for i, slot in enumerate(other)}
            row.sort(key=lambda slot, place=place: (_mean(place[n] for n in neighbours[slot]) or place[slot], str(slot)))
    return rows


def _mean(values: Iterable[float]) -> float | None:
    values = list(values)
    return sum(values) / len(values) if values else None


def _draw_arrow(axes, start: Box, end: Box, way: list[Point], *, is_circular: bool) -> None:
    """An arrow down from box to box past its way's points; sideways in an arc, if the boxes stand side by side."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Line

    look = {
        "arrowstyle": "-|>",
        "color": CIRCLE if is_circular else ARROW,
        "linewidth": 1.4,
        "mutation_scale": 11,
        "zorder": 1,
    }
    if start.top == end.top:
        y = start.top - TITLE_HEIGHT / 2
        tail, head = (start.left, end.left + BOX_WIDTH) if end.left < start.left else (start.left + BOX_WIDTH, end.left)
        patch = FancyArrowPatch((tail, y), (head, y), connectionstyle="arc3,rad=-0.35", shrinkA=0, shrinkB=1, **look)
    else:
        points = [(start.left + BOX_WIDTH / 2, start.top - start.height), *way, (end.left + BOX_WIDTH / 2, end.top)]
        patch = FancyArrowPatch(path=Line(points), **look)
    axes.add_patch(patch)


def _draw_box(axes, room: str, box: Box, modules: tuple[str, ...]) -> None:
    from matplotlib.patches import FancyBboxPatch

    left, top = box.left, box.top
    fill, line = COLOURS[room.split("/")[0]]
    outline = FancyBboxPatch(
        (left, top - box.height),
        BOX_WIDTH,
        box.height,
        boxstyle="round,pad=0,rounding_size=0.8",
        facecolor=fill,
        edgecolor=line,
        linewidth=1.2,
        zorder=2,
    )
    axes.add_patch(outline)
    title = "mpvss_model: foundations" if room == FOUNDATIONS else room
    axes.text(left + PADDING, top - 0.8, title, fontsize=9.5, fontweight="bold", color=line, va="top", zorder=3)
    for i, text in enumerate(_lines(modules)):
        y = top - TITLE_HEIGHT - LINE_HEIGHT * i
        axes.text(left + PADDING, y, text, fontsize=8, color="#333333", va="top", zorder=3)


def main(arguments: list[str]) -> None:
    """Draw this repository's packages into the given file, else into the one that the documents show."""
    out = Path(arguments[0]) if arguments else ROOT / "docs" / "imports.svg"
    draw(read_imports(ROOT), out)


if __name__ == "__main__":
    main(sys.argv[1:])
