"""What the ways of labelling a video are called and drawn like."""

from __future__ import annotations

from dataclasses import dataclass

from mpvss_model.evaluation.study import PER_FRAME
from mpvss_model.evaluation.study.study_report import RunFigures

__all__ = ["METHODS", "Method", "run_label"]


@dataclass(frozen=True)
class Method:
    """Name, colour and marker of a way of labelling."""

    label: str
    color: str
    marker: str


# Colours of Okabe and Ito, which colour-blind readers can tell apart.
METHODS = {
    PER_FRAME: Method("per frame", "#333333", ""),
    "copy": Method("copy", "#E69F00", "v"),
    "dense": Method("dense flow (DIS)", "#0072B2", "s"),
    "tracked": Method("tracked flow (DIS)", "#56B4E9", "^"),
    "pixel": Method("pixel-wise learned flow", "#CC79A7", "D"),
    "segment": Method("segment-aware flow", "#009E73", "o"),
}


def run_label(run: RunFigures) -> str:
    """What an entry of a study's grid is called."""
    return METHODS[run.method].label + (", with history" if run.history_weight else "")
