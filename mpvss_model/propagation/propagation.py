"""One way to carry masks, as a row of the registry describes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpvss_model.propagation.propagator import Propagator

__all__ = ["Propagation"]


@dataclass(frozen=True, kw_only=True)
class Propagation:
    """All that settings, studies and plots know of one way of propagation.

    Attributes:
        name: What users write, and the name of its propagators.
        description: What it does with the masks, in a few words that go on after "it".
        rank: Studies compare ways in the order of their ranks, the simplest first, the most able last.
        needs_motion: Whether it works only with a trained motion module.
        build: Makes a propagator. Called without arguments; where ``needs_motion``, with the motion module and, as
            ``released_grid``, the grid that it was trained on, see `mpvss_model.warp.backward_warp`.
        label: What it is called in tables and plots.
        color: Of its line in plots, as ``matplotlib`` takes it.
        marker: Of the points of its line, as ``matplotlib`` takes it.
    """

    name: str
    description: str
    rank: int
    needs_motion: bool = False
    build: Callable[..., Propagator]
    label: str
    color: str
    marker: str
