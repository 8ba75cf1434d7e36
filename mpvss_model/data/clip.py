"""The interface that every source of labelled video has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpvss_model.errors import DataError
from mpvss_model.images.reduced_image import NeededSize, ReducedImage
from mpvss_model.stamps import seconds

__all__ = ["Clip", "ClipSet", "Frame"]


@dataclass(frozen=True)
class Frame:
    """One camera frame, read from its source each time it is asked for.

    >>> frame = Frame(stamp_ns=0, read_image=lambda: np.zeros((48, 64, 3), np.uint8))
    >>> frame.read_image().shape, frame.is_labelled
    ((48, 64, 3), False)

    Attributes:
        stamp_ns: When it was taken, in nanoseconds of any clock; increases within a clip.
        read_image: Returns uint8 RGB ``[H, W, 3]``, or raises `DataError`.
        read_label: Returns uint8 ``[H, W]``, class indices and 255 for unlabeled, or raises `DataError`; None if the frame
            has no ground truth.
        image_file: Where the image lies, if it is a file.
        read_encoded: Returns a JPEG or PNG file's content that is decoded to the very image, or None if the source stores it
            in another way; None if the source stores no encoded images.
        read_instances: Returns ``[H, W]``, the number that a single thing has in all frames of its clip and 0 where none is
            known, or raises `DataError`; None if the frame has no such ground truth. Of stuff, numbers mean nothing.
        read_reduced: Returns the image decoded no larger than it is needed, as the node would; None where it is always whole.
    """

    stamp_ns: int
    read_image: Callable[[], np.ndarray]
    read_label: Callable[[], np.ndarray] | None = None
    image_file: Path | None = None
    read_encoded: Callable[[], bytes | None] | None = None
    read_instances: Callable[[], np.ndarray] | None = None
    read_reduced: Callable[[NeededSize], ReducedImage] | None = None

    @property
    def name(self) -> str:
        """Of its file, without suffix; empty where it has none."""
        return "" if self.image_file is None else self.image_file.stem

    def reduced_image(self, needed_size: NeededSize) -> ReducedImage:
        """What a node with this source's images would show to the network.

        Args:
            needed_size: Tells the height and width that are enough, such as `VideoSegmentor.inference_size`.
        """
        return ReducedImage(self.read_image()) if self.read_reduced is None else self.read_reduced(needed_size)

    @property
    def stamp_s(self) -> float:
        """When it was taken, in seconds."""
        return seconds(self.stamp_ns)

    @property
    def is_labelled(self) -> bool:
        """Whether the frame has ground truth."""
        return self.read_label is not None


@dataclass(frozen=True)
class Clip:
    """One uninterrupted video.

    Attributes:
        name: How to call it in reports.
        frames: In order of their stamps, all of one size.
    """

    name: str
    frames: Sequence[Frame]


@dataclass(frozen=True)
class ClipSet:
    """Clips that share their classes.

    Attributes:
        name: How to call the set in messages: where it lies and which part of it this is.
        class_names: By class index; None if the source does not say.
        clips: In a fixed order.
        split: Which part of a data set this is; None where it has no parts.
    """

    name: str
    class_names: tuple[str, ...] | None
    clips: tuple[Clip, ...]
    split: str | None = None

    def check_classes(self, model_class_names: tuple[str, ...], model_name: str) -> None:
        """Raise `DataError` if a model has another number of classes than the set."""
        if self.class_names is not None and len(self.class_names) != len(model_class_names):
            raise DataError(
                f"{self.name} has {len(self.class_names)} classes ({_first_names(self.class_names)}) but model {model_name!r} "
                f"has {len(model_class_names)} ({_first_names(model_class_names)}); choose a model that has these classes"
            )


def _first_names(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + ", ..." * (len(names) > 3)
