"""Where a long bag is cut into pieces that several workers label."""

from __future__ import annotations

import itertools
import struct
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mpvss_model.config import DecodingConfig, StreamConfig
from mpvss_model.labelling.pieces import due_key_frames
from mpvss_ros.bags.bag import Bag
from mpvss_ros.bags.bag_storage import TimeRange
from mpvss_ros.bags.labelled_source import BagFrames

__all__ = ["Cut", "Piece", "cut_bag"]

# Of a serialized message that begins with a header; of the bytes before, the second says in which order bytes are.
STAMP_AT = 4


@dataclass(frozen=True)
class Piece:
    """Some messages of a camera, of which the last is the first of the next piece, too.

    Attributes:
        first: Number of its first message among the camera's.
        count: Of its messages.
        when: Times of recording.
        next_stamp_ns: Of the frame with which the next one begins; None for the last one.
    """

    first: int
    count: int
    when: TimeRange
    next_stamp_ns: int | None

    def with_next(self, following: Piece) -> Piece:
        """Both as one."""
        when = self.when[0], following.when[1]
        return Piece(self.first, self.count + following.count - 1, when, following.next_stamp_ns)

    def frames(self, bag: Path, topic: str, decoding: DecodingConfig) -> BagFrames:
        """Its frames."""
        return BagFrames(bag, topic, self.count, decoding, with_ground_truth=False, when=self.when)


@dataclass(frozen=True)
class Cut:
    """A bag in pieces.

    Attributes:
        topic: Of its camera.
        pieces: At least two.
        unread: Messages that the bag lists, but its files do not have.
    """

    topic: str
    pieces: tuple[Piece, ...]
    unread: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Cut:
        """From what `as_dict` returned."""
        pieces = tuple(Piece(**{**piece, "when": tuple(piece["when"])}) for piece in values["pieces"])
        return cls(values["topic"], pieces, values["unread"])


def cut_bag(bag: Bag, topic: str, *, piece_frames: int, config: StreamConfig) -> Cut | None:
    """Cut at key frames, after a look at all stamps; None for a bag that cannot be cut.

    A piece is found by times of recording, so one begins only with a message that was recorded after all before it, and
    before all after it.

    Args:
        bag: With an index.
        topic: Of its camera.
        piece_frames: Of each piece, about.
        config: Of a stream whose key frames depend on nothing but stamps.
    """
    times, stamps = array("q"), array("q")
    for raw in bag.raw_messages([topic]):
        times.append(raw.time_ns)
        stamps.append(_stamp_ns(raw.data, otherwise=stamps[-1] if stamps else 0))
    if not times:
        return None
    recorded = np.frombuffer(times, np.int64)
    latest, earliest = np.maximum.accumulate(recorded), np.minimum.accumulate(recorded[::-1])[::-1]
    starts = [0]
    for key in due_key_frames(stamps, config):
        is_far = key - starts[-1] >= piece_frames and len(times) - key >= piece_frames // 2
        if is_far and latest[key - 1] < recorded[key] and (key + 1 == len(times) or recorded[key] < earliest[key + 1]):
            starts.append(key)
    if len(starts) == 1:
        return None
    return Cut(topic, tuple(_pieces(starts, recorded, stamps)), max(0, bag.count(topic) - len(times)))


def _pieces(starts: Sequence[int], recorded: np.ndarray, stamps: Sequence[int]):
    for start, following in itertools.zip_longest(starts, starts[1:]):
        first_ns = int(recorded[start]) if start else None
        if following is None:
            yield Piece(start, len(recorded) - start, (first_ns, None), None)
        else:
            yield Piece(start, following + 1 - start, (first_ns, int(recorded[following]) + 1), stamps[following])


def _stamp_ns(data: bytes, *, otherwise: int) -> int:
    """The stamp in a serialized message; of a broken one, which is no frame, that of the message before."""
    if len(data) < STAMP_AT + 8:
        return otherwise
    sec, nanosec = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, STAMP_AT)
    return sec * 1_000_000_000 + nanosec
