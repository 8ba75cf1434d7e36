"""Long recordings in pieces, each labelled by itself, whose labels together are those of the recording in one piece.

A stream that begins with a key frame goes on as if it had seen all before, unless key frames depend on earlier ones. So
pieces begin where a key frame is due. Each goes on to the first frame of the next: if that is a key frame there, too, all that
follows is the same.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from mpvss_model.config import StreamConfig
from mpvss_model.errors import DataError
from mpvss_model.labelling.label_folder import ClipLabels, LabelFolder
from mpvss_model.stamps import seconds
from mpvss_model.stream.schedule import KeyFrameSchedule

__all__ = ["dependence", "due_key_frames", "join_pieces"]

KINDS = {"images": (".jpg", ".png"), "confidence": (".png",), "labels": (".png",)}


def dependence(config: StreamConfig, *, has_memory: bool) -> str | None:
    """Why key frames of a stream, or where they are, depend on more than the stamps of earlier frames; None if they do not.

    Args:
        config: Of the stream.
        has_memory: Of the segmentor, see `KeyFrame.memory`.
    """
    if has_memory:
        return "each key frame takes something from the one before"
    if config.history_weight:
        return "key frames have a history"
    if config.motion_threshold:
        return "motion decides where key frames are"
    if config.key_frames == "async":
        return "the speed of the machine decides where key frames are"
    return None


def due_key_frames(stamps_ns: Iterable[int], config: StreamConfig) -> list[int]:
    """Which frames of a stream are key frames if all can be used, by their index.

    >>> due_key_frames([0, 1, 2, 3, 4, 5 * 10**9, 6 * 10**9], StreamConfig(max_interval_frames=3))
    [0, 3, 5]

    Args:
        stamps_ns: Of its frames; one with the stamp of the frame before is none.
        config: Of a stream whose key frames depend on nothing else, see `dependence`.
    """
    schedule = KeyFrameSchedule.from_config(config)
    due: list[int] = []
    last_ns = key_ns = frames_since_key = 0
    for index, stamp_ns in enumerate(stamps_ns):
        if due and stamp_ns == last_ns:
            continue
        frames_since_key += 1
        is_break = not due or stamp_ns < last_ns or seconds(stamp_ns - last_ns) > config.max_key_age_s
        if is_break or schedule.reason(frames_since_key=frames_since_key, key_age_s=seconds(stamp_ns - key_ns)):
            due.append(index)
            key_ns, frames_since_key = stamp_ns, 0
        last_ns = stamp_ns
    return due


def join_pieces(pieces: Sequence[Path], name: str, root: Path) -> ClipLabels:
    """Move the labels of all pieces of a clip into one folder; goes on where it was stopped.

    Args:
        pieces: Folders of `LabelFolder`, each with the part of one clip, made with the same settings, in their order. The last
            frame of each is the first of the next.
        name: Of the clip.
        root: The folder, on the disk of the pieces.

    Raises:
        DataError: If a file is missing.
    """
    root.mkdir(parents=True, exist_ok=True)
    for file in pieces[0].iterdir():
        if file.is_file():
            shutil.copyfile(file, root / file.name)
    joined = LabelFolder(root).clip(name)
    is_joined = {row.name for row in joined.rows}
    first = 0
    for piece in pieces:
        labels = LabelFolder(piece).clip(name)
        rows = labels.rows if piece == pieces[-1] else labels.rows[:-1]
        # Names are the numbers of frames, of which some may have no labels.
        renamed = [(row.name, replace(row, name=f"{first + int(row.name):06d}")) for row in rows]
        new = [(old_name, row) for old_name, row in renamed if row.name not in is_joined]
        for old_name, row in new:
            _move(labels.path, old_name, joined.path, row.name)
        if new:
            joined.list_frames([row for _, row in new])
        first += int(labels.rows[-1].name)
    return joined


def _move(source: Path, name: str, target: Path, new_name: str) -> None:
    """All files of a frame; those that are not there any more must be where they were to be moved to."""
    for kind, suffixes in KINDS.items():
        if not (source / kind).is_dir():
            continue
        (target / kind).mkdir(parents=True, exist_ok=True)
        for suffix in suffixes:
            if (source / kind / (name + suffix)).exists():
                os.replace(source / kind / (name + suffix), target / kind / (new_name + suffix))
        if not any((target / kind / (new_name + suffix)).exists() for suffix in suffixes):
            raise DataError(f"{source / kind} lacks the file of frame {name}: delete {source}, and it is made again")
