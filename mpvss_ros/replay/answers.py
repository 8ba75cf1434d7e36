"""The labels of a replay, of any length."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Answers", "LabelledFrame", "PackedAnswer", "match_in_order"]


@dataclass(frozen=True)
class LabelledFrame:
    """The answer to one camera frame.

    Attributes:
        stamp_ns: Of the camera frame.
        labels: uint8 ``[H, W]``.
        is_key_frame: Whether it was segmented rather than propagated.
        latency_ms: From the frame to its labels.
    """

    stamp_ns: int
    labels: np.ndarray
    is_key_frame: bool
    latency_ms: float


@dataclass(frozen=True)
class PackedAnswer:
    """A label map as it is kept: it shrinks a hundredfold, so that hours of recording fit into memory.

    Attributes:
        stamp_ns: Of its camera frame.
        packed: Compressed labels.
        shape: Height and width.
        received_s: When it came, on the system's clock.
    """

    stamp_ns: int
    packed: bytes
    shape: tuple[int, int]
    received_s: float

    @classmethod
    def from_labels(cls, labels: np.ndarray, *, stamp_ns: int, received_s: float) -> PackedAnswer:
        """Pack uint8 labels ``[H, W]``."""
        return cls(stamp_ns, zlib.compress(np.ascontiguousarray(labels), 1), labels.shape, received_s)

    @property
    def labels(self) -> np.ndarray:
        """uint8 ``[H, W]``."""
        return np.frombuffer(zlib.decompress(self.packed), np.uint8).reshape(self.shape)


class Answers(Mapping[int, LabelledFrame]):
    """The answered frames of a recording by their number, from 0; each label map is unpacked when it is looked up.

    Args:
        sent: Stamp in nanoseconds of each camera frame of the recording, and when it was sent, on the system's clock.
        packed: The answers in the order in which they came, which is that of their frames.
        kinds: Stamp in nanoseconds of each answer, in the same order, and whether it was segmented rather than propagated.
    """

    def __init__(
        self, *, sent: Sequence[tuple[int, float]], packed: Sequence[PackedAnswer], kinds: Sequence[tuple[int, bool]]
    ) -> None:
        self._sent = sent
        numbers = match_in_order([answer.stamp_ns for answer in packed], [stamp for stamp, _ in sent])
        self._packed = {number: answer for number, answer in zip(numbers, packed, strict=True) if number is not None}
        numbers = match_in_order([stamp for stamp, _ in kinds], [stamp for stamp, _ in sent])
        self._key_frames = {number for number, (_, is_key_frame) in zip(numbers, kinds, strict=True) if is_key_frame}

    def __getitem__(self, number: int) -> LabelledFrame:
        answer = self._packed[number]
        latency_ms = (answer.received_s - self._sent[number][1]) * 1000
        return LabelledFrame(answer.stamp_ns, answer.labels, number in self._key_frames, latency_ms)

    def __iter__(self) -> Iterator[int]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


def match_in_order(stamps: Sequence[int], among: Sequence[int]) -> list[int | None]:
    """Where each stamp is in a longer sequence of the same order; None for one that is not.

    Stamps repeat and go back in the recording of a bag that was played in a loop, so that a stamp alone says nothing.
    """
    places: list[int | None] = []
    following = 0
    for stamp in stamps:
        try:
            place = among.index(stamp, following)
        except ValueError:
            places.append(None)
            continue
        places.append(place)
        following = place + 1
    return places
