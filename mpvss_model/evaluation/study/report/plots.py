"""A study's plots."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from mpvss_model.evaluation.study import NO_CORRUPTION, PER_FRAME
from mpvss_model.evaluation.study.report.methods import method_named, run_label
from mpvss_model.evaluation.study.study_report import SourceReport, StudyReport
from mpvss_model.files import write_whole

__all__ = ["add_legend", "save_figure", "write_plots"]

matplotlib.use("Agg")

DPI = 100
PANEL_SIZE_IN = (3.7, 3.0)
PANELS_PER_ROW = 3
# About as many characters fit, so that longer texts are broken.
TITLE_CHARACTERS_PER_IN = 9
LEGEND_CHARACTERS_PER_IN = 10
SOURCE_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")


def write_plots(out_dir: Path, report: StudyReport) -> None:
    """Write ``miou_over_interval.png``, ``miou_over_distance.png`` and ``robustness.png``."""
    plots = {
        "miou_over_interval.png": _panels(report.sources, _draw_intervals, "key-frame interval [frames]"),
        "miou_over_distance.png": _panels(report.sources, _draw_distances, "frames since the key frame"),
        "robustness.png": _robustness_bars(report.sources),
    }
    for name, figure in plots.items():
        save_figure(figure, out_dir / name)


def save_figure(figure: Figure, path: Path, kept_colors: np.ndarray | None = None) -> None:
    """Write a figure as a PNG file and close it.

    Args:
        figure: Of ``matplotlib``.
        path: Of the file.
        kept_colors: uint8 ``[N, 3]`` RGB; if given, the file is made small, of 256 colours, among them these.
    """
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=DPI, format="png")
    pyplot.close(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.open(drawn).convert("RGB")
    if kept_colors is not None:
        others = picture.quantize(256 - len(kept_colors)).getpalette()
        palette = Image.new("P", (1, 1))
        palette.putpalette([*kept_colors.ravel().tolist(), *others])
        picture = picture.quantize(palette=palette, dither=Image.Dither.NONE)
    write_whole(path, lambda unfinished: picture.save(unfinished, format="png", optimize=True))


def add_legend(
    figure: Figure, handles: Sequence[Artist], labels: Sequence[str], *, columns: int, fontsize: float | None = None
) -> None:
    """Make a figure taller by a legend below its axes, none of it cut off.

    Args:
        figure: With constrained layout, on a canvas that draws pixels.
        handles: A line, bar or patch for each entry.
        labels: Of the entries; those that are wider than the figure get several lines.
        columns: At most; fewer where the figure is too narrow for so many.
        fontsize: In points.
    """
    labels = [textwrap.fill(label, int(LEGEND_CHARACTERS_PER_IN * figure.get_figwidth())) for label in labels]
    for ncols in range(columns, 0, -1):
        legend = figure.legend(handles, labels, loc="outside lower center", ncols=ncols, fontsize=fontsize, frameon=False)
        if ncols == 1 or legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()
    figure.set_figheight(figure.get_figheight() + legend.get_window_extent().height / figure.dpi)


def _panels(sources: Sequence[SourceReport], draw: Callable[[Axes, SourceReport], None], xlabel: str) -> Figure:
    """One panel for each source, with a common legend below."""
    columns = min(len(sources), PANELS_PER_ROW)
    rows = math.ceil(len(sources) / columns)
    # A single panel is as wide as the legend.
    width_in, height_in = max(columns * PANEL_SIZE_IN[0], 2 * PANEL_SIZE_IN[0]), rows * PANEL_SIZE_IN[1]
    figure, axes = pyplot.subplots(rows, columns, figsize=(width_in, height_in), squeeze=False, layout="constrained")
    for axis in axes.flat[len(sources) :]:
        axis.set_axis_off()
    for axis, source in zip(axes.flat, sources, strict=False):
        draw(axis, source)
        title = textwrap.fill(source.name, int(TITLE_CHARACTERS_PER_IN * width_in / columns))
        axis.set(title=title, xlabel=xlabel, ylabel="mIoU [%]")
        axis.grid(alpha=0.3)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    add_legend(figure, handles, labels, columns=3)
    return figure


def _draw_intervals(axis: Axes, source: SourceReport) -> None:
    per_frame, *propagated = source.figures.grid
    axis.axhline(_percent(per_frame.miou), **_line(PER_FRAME))
    by_motion = [run for run in propagated if run.motion_threshold]
    timed = [run for run in propagated if not run.motion_threshold]
    intervals = sorted({run.interval for run in timed})
    position = partial(np.interp, xp=intervals, fp=range(len(intervals)))
    for way in dict.fromkeys(run.way for run in timed):
        runs = [run for run in timed if run.way == way]
        line = _line(runs[0].method) | {"label": run_label(runs[0])}
        if runs[0].history_weight:
            line |= {"linestyle": "-.", "markerfacecolor": "white"}
        axis.plot(position([run.interval for run in runs]), [_percent(run.miou) for run in runs], **line)
    if by_motion:
        line = _line(by_motion[0].method)
        line |= {"label": f"{run_label(by_motion[0])}, by motion", "linestyle": ":", "markersize": 9, "marker": "*"}
        means = [source.figures.frames / run.key_frames for run in by_motion]
        axis.plot(position(means), [_percent(run.miou) for run in by_motion], **line)
    axis.set_xticks(range(len(intervals)), intervals)


def _draw_distances(axis: Axes, source: SourceReport) -> None:
    for method, values in source.figures.miou_by_distance.items():
        axis.plot(range(len(values)), [_percent(value) for value in values], markersize=3.5, **_line(method))
    axis.xaxis.get_major_locator().set_params(integer=True)


def _robustness_bars(sources: Sequence[SourceReport]) -> Figure:
    corruptions = list(sources[0].figures.robustness)
    figure, axis = pyplot.subplots(figsize=(8.2, 3.3), layout="constrained")
    width = 0.8 / len(sources)
    for i, source in enumerate(sources):
        positions = np.arange(len(corruptions)) + (i - (len(sources) - 1) / 2) * width
        values = [_percent(source.figures.robustness[name]) for name in corruptions]
        color = SOURCE_COLORS[i % len(SOURCE_COLORS)]
        # Those of what is not random are 0, and not drawn.
        deviations = [_percent(source.figures.robustness_deviation[name] or None) for name in corruptions]
        bars = axis.bar(positions, values, width * 0.92, label=source.name, color=color, yerr=deviations, capsize=2)
        axis.bar_label(bars, fmt="%.0f", fontsize=8, padding=1)
    labels = ["unchanged" if name == NO_CORRUPTION else name for name in corruptions]
    axis.set_xticks(range(len(corruptions)), labels, fontsize=8)
    axis.set(ylabel="mIoU per frame [%]", ylim=(0, 100))
    axis.grid(axis="y", alpha=0.3)
    axis.set_axisbelow(True)
    add_legend(figure, *axis.get_legend_handles_labels(), columns=4)
    return figure


def _line(method: str) -> dict[str, object]:
    style = method_named(method)
    line = "--" if method == PER_FRAME else "-"
    return {"label": style.label, "color": style.color, "marker": style.marker, "linestyle": line, "linewidth": 1.6}


def _percent(value: float | None) -> float:
    return math.nan if value is None else 100 * value
