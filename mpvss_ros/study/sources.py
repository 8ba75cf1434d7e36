"""The labelled videos of a study, wherever they come from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mpvss_model import ConfigError, DataError
from mpvss_model.data import Clip, Frame, open_clips
from mpvss_ros.bag import Bag
from mpvss_ros.offline import is_bag

__all__ = ["Source", "open_source", "open_sources"]


@dataclass(frozen=True)
class BagFrames:
    """A bag's camera frames, read anew each time they are iterated over; can be sent to another process.

    Attributes:
        path: Of the bag.
        topic: Of its camera.
    """

    path: Path
    topic: str

    def __iter__(self) -> Iterator[Frame]:
        from mpvss_ros.evaluation import bag_frames  # needs ROS, which folders do not

        with Bag(self.path) as bag:
            yield from bag_frames(bag, self.topic)


@dataclass(frozen=True)
class Source:
    """Clips that are measured together.

    Attributes:
        name: In tables and plots.
        location: As the user gave it.
        clips: At least one frame of them is labelled.
    """

    name: str
    location: str
    clips: tuple[Clip, ...]

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
    if is_bag(path):
        with Bag(path) as bag:
            clips = (Clip(path.name, BagFrames(path, bag.image_topic(topic))),)
    else:
        opened = open_clips(path, split=split)
        opened.check_classes(class_names, model)
        clips = opened.clips
    if not any(frame.is_labelled for clip in clips for frame in clip.frames):
        raise DataError(f"{location} has no frame with ground truth, which a study compares with")
    return Source(name or split or (path.stem if path.is_file() else path.resolve().name), location, clips)
