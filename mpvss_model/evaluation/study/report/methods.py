"""What the ways of labelling a video are called and drawn like."""

from __future__ import annotations

from dataclasses import dataclass

from mpvss_model.evaluation.study import PER_FRAME
from mpvss_model.evaluation.study.study_report import RunFigures
from mpvss_model.propagation.registry import propagation_named

__all__ = ["Method", "method_named", "run_label"]


@dataclass(frozen=True)
class Method:
    """How a way of labelling appears in tables and plots; see `mpvss_model.propagation.propagation.Propagation`."""

    label: str
    color: str
    marker: str


# Colours are those of Okabe and Ito, which colour-blind readers can tell apart.
EVERY_FRAME = Method("per frame", "#333333", "")


def method_named(name: str) -> Method:
    """The appearance of a way of propagation, or of `PER_FRAME`.

    Raises:
        ConfigError: If there is no such way.
    """
    if name == PER_FRAME:
        return EVERY_FRAME
    row = propagation_named(name)
    return Method(row.label, row.color, row.marker)


def run_label(run: RunFigures) -> str:
    """What an entry of a study's grid is called."""
    return method_named(run.method).label + (", with history" if run.history_weight else "")
