"""Pictures of the frames that a model labels worst."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mpvss_model.data import Clip, Frame
from mpvss_model.evaluation.study import ClipResult, ClipStudy, Run
from mpvss_model.evaluation.study.report.methods import method_named
from mpvss_model.evaluation.study.report.plots import add_legend, save_figure
from mpvss_model.evaluation.study.source import Source
from mpvss_model.overlay import PALETTE
from mpvss_model.semantics import UNLABELED

__all__ = ["Tile", "tile_figure", "worst_frames", "write_pictures"]

FRAMES_PER_PICTURE = 3
# Frames that are closer look alike.
MIN_FRAMES_APART = 20
# Failures of propagation are looked for at the longest interval up to this.
MAX_PICTURED_INTERVAL = 10
TILE_WIDTH_IN = 2.3


@dataclass(frozen=True)
class Tile:
    """One picture in a row.

    Attributes:
        pixels: uint8 ``[H, W, 3]`` RGB, or ``[H, W]`` class indices.
        caption: What stands below it.
    """

    pixels: np.ndarray
    caption: str = ""

    @property
    def is_label_map(self) -> bool:
        """Whether the pixels are class indices."""
        return self.pixels.ndim == 2


def write_pictures(out_dir: Path, study: ClipStudy, source: Source, results: Sequence[ClipResult]) -> dict[str, str]:
    """Write the frames on which segmentation, and those on which propagation does worst.

    Propagation is the model's own way (`auto`), and bad where it is right on fewer pixels than segmentation.

    Returns:
        Names of the files, by ``segmentation`` and ``propagation``; without those that would be empty.
    """
    per_frame, propagated = study.runs[0], _pictured_run(study)
    row = study.runs.index(propagated)
    chosen = {
        "segmentation": (worst_frames([1 - result.agreement[0] for result in results]), (per_frame,)),
        "propagation": (
            worst_frames([result.agreement[0] - result.agreement[row] for result in results]),
            (per_frame, propagated),
        ),
    }
    files = {}
    for kind, (frames, runs) in chosen.items():
        if frames:
            rows = {
                _row_title(source, clip, index): _tiles(study, source.clips[clip], results[clip], index, runs)
                for clip, index in frames
            }
            files[kind] = f"worst-{kind}-{source.slug}.png"
            columns = ["image", "ground truth", *(method_named(run.method).label for run in runs)]
            figure, seen = tile_figure(rows, columns, study.model.segmentor.class_names)
            save_figure(figure, out_dir / files[kind], kept_colors=PALETTE[seen])
    return files


def worst_frames(badness: Sequence[np.ndarray]) -> list[tuple[int, int]]:
    """The worst frames of some clips, as different as may be.

    Args:
        badness: For each clip one value per frame; nan and values up to 0 are never chosen.

    Returns:
        Up to 3 of clip and frame, the worst first: from as many clips as there are, and never close together.
    """
    per_clip = math.ceil(FRAMES_PER_PICTURE / len(badness))
    worst_first = sorted(
        (-value, clip, frame) for clip, values in enumerate(badness) for frame, value in enumerate(values) if value > 0
    )
    chosen: list[tuple[int, int]] = []
    for _, clip, frame in worst_first:
        same_clip = [other for other_clip, other in chosen if other_clip == clip]
        if len(same_clip) < per_clip and all(abs(frame - other) >= MIN_FRAMES_APART for other in same_clip):
            chosen.append((clip, frame))
        if len(chosen) == FRAMES_PER_PICTURE:
            break
    return chosen


def _pictured_run(study: ClipStudy) -> Run:
    intervals = study.config.intervals
    interval = max((i for i in intervals if i <= MAX_PICTURED_INTERVAL), default=intervals[0])
    return Run(study.model.propagation, interval)


def _row_title(source: Source, clip: int, index: int) -> str:
    return f"{source.clips[clip].name}\nframe {index}" if len(source.clips) > 1 else f"frame {index}"


def _tiles(study: ClipStudy, clip: Clip, result: ClipResult, index: int, runs: Sequence[Run]) -> list[Tile]:
    """Image, ground truth, and the labels of each run with how much of them is right."""
    frame = _frame_at(clip, index)
    tiles = [Tile(frame.read_image()), Tile(frame.read_label())]
    for run in runs:
        row = study.runs.index(run)
        distance = index - np.flatnonzero(result.is_key[row, : index + 1])[-1].item()
        caption = f"{100 * result.agreement[row, index]:.0f} % right"
        if distance:
            caption += f", {distance} frame{'s' * (distance > 1)} after the key frame"
        tiles.append(Tile(_labels(study, clip, run, index, distance), caption))
    return tiles


def _labels(study: ClipStudy, clip: Clip, run: Run, index: int, distance: int) -> np.ndarray:
    stream = study.stream(run)
    for frame in itertools.islice(clip.frames, index - distance, index + 1):
        labels = stream.step(frame.read_image(), stamp_ns=frame.stamp_ns).labels
    return labels


def _frame_at(clip: Clip, index: int) -> Frame:
    return next(itertools.islice(clip.frames, index, None))


def tile_figure(rows: dict[str, list[Tile]], columns: Sequence[str], class_names: Sequence[str]) -> tuple[Figure, list[int]]:
    """Pictures side by side, with a legend of the classes in them.

    Args:
        rows: By title, as many tiles as there are columns.
        columns: Their titles.
        class_names: By class index.

    Returns:
        The figure, and the class indices that are to be seen in it.
    """
    seen = _classes_in(itertools.chain(*rows.values()))
    height, width = next(iter(rows.values()))[0].pixels.shape[:2]
    row_height_in = TILE_WIDTH_IN * height / width + 0.25
    figure, axes = pyplot.subplots(
        len(rows),
        len(columns),
        figsize=(TILE_WIDTH_IN * len(columns) + 0.4, row_height_in * len(rows) + 0.5),
        squeeze=False,
        layout="constrained",
    )
    for row_axes, (title, tiles) in zip(axes, rows.items(), strict=True):
        row_axes[0].set_ylabel(title, fontsize=8)
        for axis, tile in zip(row_axes, tiles, strict=True):
            axis.imshow(PALETTE[tile.pixels] if tile.is_label_map else tile.pixels)
            axis.set(xticks=[], yticks=[])
            axis.set_xlabel(tile.caption, fontsize=8)
    for axis, column in zip(axes[0], columns, strict=True):
        axis.set_title(column, fontsize=9)
    legend = _legend(seen, class_names)
    add_legend(figure, legend, [str(patch.get_label()) for patch in legend], columns=6, fontsize=8)
    return figure, seen


def _classes_in(tiles: Iterable[Tile]) -> list[int]:
    return sorted(set().union(*(np.unique(tile.pixels).tolist() for tile in tiles if tile.is_label_map)))


def _legend(seen: Sequence[int], class_names: Sequence[str]) -> list[Patch]:
    """A box for each class that is to be seen."""
    names = {**dict(enumerate(class_names)), UNLABELED: "unlabeled"}
    return [Patch(facecolor=PALETTE[value] / 255, edgecolor="#888888", label=names[value]) for value in seen]
