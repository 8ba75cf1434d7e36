"""The labelled videos of a study, wherever they come from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mpvss_model import ConfigError, DataError
from mpvss_model.data import Clip, in_classes_of
from mpvss_ros.bags.labelled_source import BagFrames, open_labelled_source

__all__ = ["Source", "open_source", "open_sources"]


@dataclass(frozen=True)
class Source:
    """Clips that are measured together.

    Attributes:
        name: In tables and plots.
        location: As the user gave it.
        clips: At least one frame of them is labelled.
        notes: What of it was left out and why.
    """

    name: str
    location: str
    clips: tuple[Clip, ...]
    notes: tuple[str, ...] = ()

    @property
    def slug(self) -> str:
        """The name, fit for a file."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


def open_sources(
    locations: Sequence[str], *, names: Sequence[str], topic: str | None, class_names: tuple[str, ...], model: str
) -> list[Source]:
    """Open everything that a study is to measure.

    Args:
        locations: See `open_source`.
        names: As many, or none to call them what their paths are called.
        topic: Of the bags' camera, if they have several.
        class_names: Of the model.
        model: Its name, for messages.

    Raises:
        DataError: If a source cannot be read, has no ground truth, or other classes than the model.
        ConfigError: If the names are not as many as the sources, or not different.
    """
    if names and len(names) != len(locations):
        raise ConfigError(f"got {len(names)} names ({', '.join(names)}) for {len(locations)} sources")
    sources = [
        open_source(location, name=name, topic=topic, class_names=class_names, model=model)
        for location, name in zip(locations, names or [None] * len(locations))
    ]
    slugs = [source.slug for source in sources]
    for source in sources:
        if not source.slug or slugs.count(source.slug) > 1:
            raise ConfigError(f"{source.name!r} names no source or several: give different --names, with letters or digits")
    return sources


def open_source(location: str, *, name: str | None, topic: str | None, class_names: tuple[str, ...], model: str) -> Source:
    """A bag, or the clips of a folder or data set; ``FOLDER:SPLIT`` takes one split of it."""
    path, split = Path(location), None
    if not path.exists() and ":" in location:
        folder, split = location.rsplit(":", 1)
        path = Path(folder)
    clips = in_classes_of(open_labelled_source(path, split=split, topic=topic), class_names, model).clips
    labelled_frames = sum(frame.is_labelled for clip in clips for frame in clip.frames)
    notes = tuple(note for clip in clips if isinstance(clip.frames, BagFrames) for note in clip.frames.counts.lines())
    if not labelled_frames:
        why = "".join(f"; {note}" for note in notes)
        raise DataError(f"{location} has no frame with ground truth, which a study compares with{why}")
    return Source(name or split or (path.stem if path.is_file() else path.resolve().name), location, clips, notes)
