"""What the student learns from: the teacher's labels where they can be relied on, as a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from mpvss_model.adaptation.agreement import REACH, agrees, carried_labels
from mpvss_model.adaptation.split import HELD_BACK, TAUGHT, split_frames
from mpvss_model.data import Frame
from mpvss_model.errors import DataError
from mpvss_model.labelling import LabelFolder
from mpvss_model.labelling.label_folder import CONFIDENCE_LEVELS
from mpvss_model.semantics import UNLABELED

__all__ = ["LabelledClip", "TeachingSet", "write_teaching_set"]


@dataclass(frozen=True)
class LabelledClip:
    """A clip as the teacher labelled it.

    Attributes:
        name: Unique among all clips.
        frames: With labels in the order of the student's classes, their images as files.
        others: For photographs, another view of each as the teacher labelled it, likewise, by the name of its file without
            suffix; None for video.
    """

    name: str
    frames: Sequence[Frame]
    others: Mapping[str, Frame] | None = None


@dataclass
class TeachingSet:
    """What `write_teaching_set` made.

    Attributes:
        frames: By part, see `mpvss_model.adaptation.split`.
        pixels: All of these frames.
        taught_pixels: Those of them that have a label.
    """

    frames: dict[str, int] = field(default_factory=lambda: {TAUGHT: 0, HELD_BACK: 0})
    pixels: int = 0
    taught_pixels: int = 0


def write_teaching_set(
    clips: Sequence[LabelledClip],
    folder: LabelFolder,
    *,
    min_confidence: float,
    on_frame: Callable[[int, int], None] = lambda done, total: None,
) -> TeachingSet:
    """Write the labels that teach, and of the frames that are held back; both parts are listed as splits.

    A pixel keeps the teacher's label if the teacher is sure of it, or if the frames before and after, carried to this one by
    tracked flow, say the same; for photographs, another view of the same one. All else becomes unlabeled.

    Args:
        clips: As the teacher labelled them.
        folder: Prepared; frames that it has are left as they are.
        min_confidence: From which the teacher is sure, 0..1.
        on_frame: Called with the frames done and their total.

    Raises:
        DataError: If there are too few frames, or one cannot be read.
    """
    result, total, done = TeachingSet(), sum(len(clip.frames) for clip in clips), 0
    names: dict[str, list[str]] = {TAUGHT: [], HELD_BACK: []}
    for clip, parts in zip(clips, split_frames([len(clip.frames) for clip in clips]), strict=True):
        outputs = {part: folder.clip(f"{clip.name}-{part}") for part in names if part in parts}
        known = {part: {row.name for row in output.rows} for part, output in outputs.items()}
        for part in outputs:
            names[part].append(f"{clip.name}-{part}")
        for i, part in enumerate(parts):
            if part is not None:
                frame, name = clip.frames[i], clip.frames[i].name
                if name not in known[part]:
                    labels, confidence = _reliable(clip, i, min_confidence)
                    outputs[part].add(frame, name, labels, confidence, key_stamp_ns=frame.stamp_ns)
                else:
                    labels = _pixels(outputs[part].path / "labels" / f"{name}.png")
                result.frames[part] += 1
                result.pixels += labels.size
                result.taught_pixels += int((labels != UNLABELED).sum())
            done += 1
            on_frame(done, total)
    for part, listed in names.items():
        folder.list_clips(part, listed)
    return result


def _pixels(path: Path) -> np.ndarray:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise DataError(f"{path} is missing or broken: delete {path.parents[1]}, and the same command makes it anew")
    return pixels


def _reliable(clip: LabelledClip, index: int, min_confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels uint8 ``[H, W]`` that teach, and the teacher's confidence float32 ``[H, W]`` in all."""
    frame = clip.frames[index]
    labels = frame.read_label()
    confidence = _pixels(_beside(frame, "confidence")) / np.float32(CONFIDENCE_LEVELS)
    if clip.others is None:
        others = list(_carried(clip.frames, index))
    else:
        others = [clip.others[name].read_label() for name in [frame.name] if name in clip.others]
    is_reliable = (confidence >= min_confidence) | agrees(labels, others)
    return np.where(is_reliable, labels, np.uint8(UNLABELED)), confidence


def _carried(frames: Sequence[Frame], index: int) -> Iterator[np.ndarray]:
    """The labels of a frame before and one after, carried to a frame; of those that the clip has."""
    for step in (-1, 1):
        place = index + step * REACH
        if 0 <= place < len(frames):
            between = range(place, index - step, -step)
            yield carried_labels([frames[i].read_image() for i in between], frames[place].read_label())


def _beside(frame: Frame, kind: str) -> Path:
    return frame.image_file.parents[1] / kind / f"{frame.name}.png"
