"""Things and stuff of one frame: which class and which instance each pixel belongs to."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["CLASS_SHIFT", "MAX_INSTANCE_ID", "LazyPanoptic", "Panoptic", "Segment"]

# Above the bits of the instance lie those of the class.
CLASS_SHIFT = 16
MAX_INSTANCE_ID = (1 << CLASS_SHIFT) - 1
# Of zlib: higher ones take several times as long.
FASTEST = 1


@dataclass(frozen=True)
class Segment:
    """One thing, or all stuff of a class.

    Attributes:
        class_index: Of the model.
        instance_id: From 1 on, the same as long as the thing is followed; 0 for stuff.
        score: Of the class, 0..1; of stuff in several masks, the highest.
        box_px: The smallest box around its pixels: left, top, width, height.
        area_px: Number of its pixels.
    """

    class_index: int
    instance_id: int
    score: float
    box_px: tuple[int, int, int, int]
    area_px: int


@dataclass(frozen=True)
class Panoptic:
    """The segments of a frame, which do not overlap.

    Attributes:
        encoded: int32 ``[H, W]``, ``class << 16 | instance``: the instance is 0 for stuff, the class 255 where no segment is.
        segments: All of them, in the order of the network's queries.
    """

    encoded: np.ndarray
    segments: tuple[Segment, ...]

    @property
    def classes(self) -> np.ndarray:
        """uint8 ``[H, W]``, the class index of each pixel; 255 where no segment is."""
        return (self.encoded >> CLASS_SHIFT).astype(np.uint8)

    @property
    def instances(self) -> np.ndarray:
        """uint16 ``[H, W]``, the instance of each pixel; 0 for stuff, and where no segment is."""
        return (self.encoded & MAX_INSTANCE_ID).astype(np.uint16)

    @property
    def things(self) -> tuple[Segment, ...]:
        """The segments that are instances."""
        return tuple(segment for segment in self.segments if segment.instance_id)


class LazyPanoptic:
    """A frame's segments, found when first asked for; from little memory once it is packed.

    Threads may ask while another one packs.

    Args:
        find: Finds them.
    """

    def __init__(self, find: Callable[[], Panoptic]) -> None:
        self._find = find
        self._found: Panoptic | None = None

    def __call__(self) -> Panoptic:
        """The segments."""
        found = self._found
        if found is None:
            found = self._found = self._find()
        return found

    def pack(self) -> None:
        """Go on without masks, and with the image compressed."""
        found = self()
        data, shape = zlib.compress(found.encoded.data, FASTEST), found.encoded.shape

        def unpacked() -> Panoptic:
            return Panoptic(np.frombuffer(zlib.decompress(data), np.int32).reshape(shape), found_segments)

        found_segments = found.segments
        self._find, self._found = unpacked, None
