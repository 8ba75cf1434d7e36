"""The labelled videos of a study, wherever they come from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mpvss_model.data import Clip, ClipSet, in_classes_of
from mpvss_model.data.source_counts import CountedFrames
from mpvss_model.errors import ConfigError, DataError

__all__ = ["Source", "check_names"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Clips that are measured together.

    Attributes:
        name: In tables and plots.
        location: As the user gave it, with the split that is measured.
        clip_set: The clips, and what their classes are called.
        notes: What of it was left out and why, as far as the clips were read.
        frames_of_clips: How many each clip has, once they were read.
        labelled_frames: How many of all frames have ground truth, likewise.
    """

    name: str
    location: str
    clip_set: ClipSet
    notes: tuple[str, ...] = ()
    frames_of_clips: tuple[int, ...] = ()
    labelled_frames: int = 0

    @property
    def clips(self) -> tuple[Clip, ...]:
        """The clips, in a fixed order."""
        return self.clip_set.clips

    @property
    def slug(self) -> str:
        """The name, fit for a file."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

    def labelled_for(self, class_names: tuple[str, ...], model_name: str) -> Source:
        """The same with labels that are a model's class indices, read through once to see what there is.

        Args:
            class_names: By class index of the model.
            model_name: For messages.

        A clip that cannot be read through is said to have no frames, and fails when it is measured.

        Raises:
            DataError: If all clips can be read and no frame has ground truth, or source and model have other classes.
        """
        clip_set = in_classes_of(self.clip_set, class_names, model_name)
        is_labelled = [_is_labelled(clip) for clip in clip_set.clips]
        labelled_frames = sum(map(sum, is_labelled))
        notes = tuple(
            note for clip in clip_set.clips if isinstance(clip.frames, CountedFrames) for note in clip.frames.counts.lines()
        )
        if not labelled_frames and all(is_labelled):
            why = "".join(f"; {note}" for note in notes)
            raise DataError(f"{self.location} has no frame with ground truth, which a study compares with{why}")
        frames_of_clips = tuple(map(len, is_labelled))
        return replace(self, clip_set=clip_set, notes=notes, frames_of_clips=frames_of_clips, labelled_frames=labelled_frames)

    def of_clips(self, indices: Sequence[int]) -> Source:
        """The same with some of its clips only; ``notes`` tell which are missing, the counts stay."""
        clips = tuple(self.clips[index] for index in indices)
        missing = [clip.name for index, clip in enumerate(self.clips) if index not in indices]
        notes = (*self.notes, *([f"Left out, since they could not be measured: {', '.join(missing)}"] if missing else []))
        return replace(self, clip_set=replace(self.clip_set, clips=clips), notes=notes)


def check_names(sources: Sequence[Source]) -> None:
    """Raise `ConfigError` if sources cannot be told apart by their names, or files cannot be named after them."""
    slugs = [source.slug for source in sources]
    for source in sources:
        if not source.slug or slugs.count(source.slug) > 1:
            raise ConfigError(f"{source.name!r} names no source or several: give different --names, with letters or digits")


def _is_labelled(clip: Clip) -> list[bool]:
    """Whether each frame has ground truth; empty if the clip cannot be read through."""
    try:
        return [frame.is_labelled for frame in clip.frames]
    except DataError:
        return []
