"""Fewer frames of a clip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from mpvss_model.data import Clip, Frame
from mpvss_model.data.source_counts import CountedFrames, SourceCounts

__all__ = ["thinned"]


def thinned(clip: Clip, every: int) -> Clip:
    """A clip with each n-th of another one's frames, the first among them; a recording's are read as they are asked for."""
    if every == 1:
        return clip
    if isinstance(clip.frames, CountedFrames):
        return replace(clip, frames=_EveryNth(clip.frames, every))
    return replace(clip, frames=[clip.frames[i] for i in range(0, len(clip.frames), every)])


class _EveryNth:
    """Each n-th of a recording's frames; ``counts`` are those of all."""

    def __init__(self, frames: CountedFrames, every: int) -> None:
        self._frames = frames
        self._every = every
        self.listed = -(-frames.listed // every)

    @property
    def counts(self) -> SourceCounts:
        return self._frames.counts

    def __iter__(self) -> Iterator[Frame]:
        return islice(iter(self._frames), 0, None, self._every)
