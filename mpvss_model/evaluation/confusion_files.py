"""A confusion matrix as a file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mpvss_model.errors import ConfigError
from mpvss_model.files import write_whole

__all__ = ["CONFUSION_SUFFIXES", "check_confusion_file", "write_confusion"]

CONFUSION_SUFFIXES = (".csv", ".png")
CELL_IN = 0.28
MARGIN_IN = 2.2
# Shares are written into the cells of matrices that are not larger.
MOST_WRITTEN = 30
MOST_SIDE_IN = 30.0
DPI = 100


def check_confusion_file(path: Path) -> None:
    """Raise `ConfigError` if a file's name does not say what to write."""
    if path.suffix.lower() not in CONFUSION_SUFFIXES:
        raise ConfigError(f"a confusion matrix is written as {' or '.join(CONFUSION_SUFFIXES)}, got {str(path)!r}")


def write_confusion(path: Path, counts: Sequence[Sequence[int]], class_names: Sequence[str]) -> None:
    """Write counts as CSV, or a picture of the shares of each class as PNG, whole or not at all.

    Args:
        path: Ends with one of `CONFUSION_SUFFIXES`.
        counts: ``[C, C + 1]``, pixels by ground truth and label; a last column counts pixels without a label.
        class_names: By class index.

    Raises:
        ConfigError: If the path ends with something else.
    """
    check_confusion_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write = _write_csv if path.suffix.lower() == ".csv" else _write_png
    write_whole(path, lambda unfinished: write(unfinished, counts, class_names))


def _write_csv(path: Path, counts: Sequence[Sequence[int]], class_names: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["ground truth", *class_names, "unlabeled"])
        writer.writerows([name, *row] for name, row in zip(class_names, counts, strict=True))


def _write_png(path: Path, counts: Sequence[Sequence[int]], class_names: Sequence[str]) -> None:
    """Each row is a class of the ground truth, and sums to 1."""
    pixels = np.array(counts, float)[:, :-1]
    totals = np.array(counts).sum(axis=1, keepdims=True)
    shares = np.where(totals > 0, pixels / np.maximum(totals, 1), np.nan)
    side_in = min(MARGIN_IN + CELL_IN * len(class_names), MOST_SIDE_IN)
    figure = Figure(figsize=(side_in + 0.8, side_in), layout="constrained")
    axis = figure.add_subplot()
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    size = 7 if len(class_names) <= MOST_WRITTEN else 5
    axis.set_xticks(range(len(class_names)), class_names, rotation=90, fontsize=size)
    axis.set_yticks(range(len(class_names)), class_names, fontsize=size)
    axis.set(xlabel="label", ylabel="ground truth")
    if len(class_names) <= MOST_WRITTEN:
        for (row, column), share in np.ndenumerate(shares):
            if share >= 0.005:
                color = "black" if share < 0.6 else "white"
                axis.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=6, color=color)
    figure.colorbar(image, ax=axis, label="share of the class's pixels", shrink=0.6)
    figure.savefig(path, dpi=DPI, format="png")
