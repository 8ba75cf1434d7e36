"""Labels in the order of one list of classes -> in the order of another, by the classes' names."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from mpvss_model.data.clip import Clip, ClipSet, Frame
from mpvss_model.errors import DataError
from mpvss_model.semantics import UNLABELED

__all__ = ["comparable_name", "in_classes_of", "indices_by_name"]

SHOWN_CHARACTERS = 300
# What transformers calls a class that has no name.
NO_NAME = re.compile(r"LABEL_\d+")


class TranslatedFrames(Sequence[Frame]):
    """The frames of a clip, their labels translated; can be sent to another process where the frames can.

    Args:
        frames: Of the clip.
        index_of: uint8 ``[256]``, the new class index of each label.
    """

    def __init__(self, frames: Sequence[Frame], index_of: np.ndarray) -> None:
        self._frames = frames
        self._index_of = index_of

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Frame:
        frame = self._frames[index]
        if frame.read_label is None:
            return frame
        return replace(frame, read_label=partial(_translated, frame.read_label, self._index_of))


def in_classes_of(clips: ClipSet, model_class_names: tuple[str, ...], model_name: str) -> ClipSet:
    """A set of clips with labels that are a model's class indices.

    Classes are matched by name; upper and lower case, spaces, ``_`` and ``-`` make no difference. Where the set or the model
    has no names, labels are taken for class indices as they are.

    Args:
        clips: A set in any order of classes.
        model_class_names: By class index of the model.
        model_name: For messages.

    Raises:
        DataError: If set and model have other classes; shows both.
    """
    clips.check_classes(model_class_names, model_name)
    if clips.class_names is None:
        return clips
    indices = indices_by_name(clips.class_names, model_class_names)
    if indices == [*range(len(clips.class_names))]:
        return clips
    if indices is None:
        raise DataError(
            f"{clips.name} and model {model_name!r} have other classes, so labels cannot be matched by name: "
            f"{_shown(clips.class_names)} and {_shown(model_class_names)}; rename those in classes.txt or in id2label of the "
            "model's config.json"
        )
    index_of = np.arange(UNLABELED + 1, dtype=np.uint8)
    index_of[: len(indices)] = indices
    translated = tuple(Clip(clip.name, TranslatedFrames(clip.frames, index_of)) for clip in clips.clips)
    return replace(clips, class_names=model_class_names, clips=translated)


def indices_by_name(class_names: Sequence[str], model_class_names: Sequence[str]) -> list[int] | None:
    """The model's class index of each of some classes; None if the model has others.

    Classes are matched as by `in_classes_of`.

    >>> indices_by_name(["wall", "traffic light"], ["Traffic_Light", "wall"])
    [1, 0]
    """
    if len(class_names) != len(model_class_names):
        return None
    ours, theirs = ([comparable_name(name) for name in names] for names in (class_names, model_class_names))
    if ours == theirs or all(NO_NAME.fullmatch(name) for name in model_class_names):
        return [*range(len(ours))]
    if set(ours) != set(theirs) or len(set(ours)) < len(ours):
        return None
    return [theirs.index(key) for key in ours]


def _translated(read_label: Callable[[], np.ndarray], index_of: np.ndarray) -> np.ndarray:
    return index_of[read_label()]


def comparable_name(name: str) -> str:
    """A class name without what makes no difference: upper and lower case, spaces, ``_`` and ``-``."""
    return " ".join(re.split(r"[\s_-]+", unicodedata.normalize("NFKC", name).casefold())).strip()


def _shown(names: Sequence[str]) -> str:
    return "(" + textwrap.shorten(", ".join(names), SHOWN_CHARACTERS, placeholder=" ...") + ")"
