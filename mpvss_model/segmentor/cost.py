"""What a segmentor costs, part by part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["PartCost", "SegmentorCost"]


@dataclass(frozen=True)
class PartCost:
    """Cost of one part, each time it runs.

    Attributes:
        gflops: Multiply-adds, in 1e9.
        parameters: Learned numbers.
        runs_on: ``key`` frames, ``propagated`` frames or ``all``.
    """

    gflops: float
    parameters: int
    runs_on: str


@dataclass(frozen=True)
class SegmentorCost:
    """Cost of a key frame.

    Attributes:
        parts: By name, such as ``backbone``, in the order in which they run; all of them run on ``key`` frames.
        num_queries: Masks of a key frame, which decide what it costs to warp them and to make labels of them.
    """

    parts: Mapping[str, PartCost]
    num_queries: int
