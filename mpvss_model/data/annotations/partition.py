"""Images as clips, and clips as parts of a data set: neighbouring frames never fall into two parts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mpvss_model.data.annotations.annotation_set import AnnotatedImage
from mpvss_model.data.annotations.masks import IMAGE_FOLDERS
from mpvss_model.data.annotations.pixels import oriented_size
from mpvss_model.errors import ConfigError

__all__ = ["CLIPS_BY", "SPLIT_BY", "PlannedClip", "clips_of", "with_validation"]

CLIPS_BY = ("names", "folders")
SPLIT_BY = ("auto", "clips", "runs")
# With fewer, one clip says too little about all.
MANY_CLIPS = 5
# Left out where a clip is cut: a second, but no more than this share of the clip.
GAP_FRAMES = 15
GAP_SHARE = 0.05
# What Roboflow puts behind the name of an image.
ROBOFLOW_ENDING = re.compile(r"_(jpe?g|png|bmp)\.rf\.[0-9A-Za-z]+$")
# Name, split, and height and width.
Key = tuple[str, "str | None", tuple[int, int]]


@dataclass(frozen=True)
class PlannedClip:
    """One clip of the data set to be.

    Attributes:
        name: Of its folder.
        split: ``train``, ``val`` or ``test``; None if that is not yet decided.
        images: Its frames, in their order, all of one size.
    """

    name: str
    split: str | None
    images: tuple[AnnotatedImage, ...]

    @property
    def labelled(self) -> int:
        """How many frames have labels."""
        return sum(image.read_label is not None for image in self.images)


def clips_of(images: Sequence[AnnotatedImage], clips_by: str = "names") -> list[PlannedClip]:
    """Images of one folder, size and split as clips, in the order of the images.

    Args:
        images: In natural order.
        clips_by: ``names`` makes a clip of those whose names are the same up to their last number, ``folders`` of all in a
            folder.

    Raises:
        DataError: If an image cannot be read.
    """
    groups: dict[Key, list[AnnotatedImage]] = {}
    for image in images:
        name = _clip_name(image, clips_by)
        groups.setdefault((name, image.split, oriented_size(image.path)), []).append(image)
    return [PlannedClip(_unique_name(key, groups), key[1], tuple(members)) for key, members in groups.items()]


def with_validation(clips: Sequence[PlannedClip], share: float, split_by: str = "auto") -> list[PlannedClip]:
    """Clips with their splits decided. Where the source has validation data, that is it.

    Args:
        clips: As `clips_of` returns them.
        share: Of the labelled frames that are not for tests, about as many for validation; 0 for none.
        split_by: ``clips`` takes whole clips, ``runs`` the last part of each, ``auto`` clips if there are five with labels.

    Raises:
        ConfigError: If nothing would be left to train or to validate on.
    """
    undecided = [clip for clip in clips if clip.split != "test"]
    if not share or any(clip.split == "val" for clip in clips):
        return [replace(clip, split=clip.split or "train") for clip in clips]
    labelled = [clip for clip in undecided if clip.labelled]
    by_clips = split_by == "clips" or (split_by == "auto" and len(labelled) >= MANY_CLIPS)
    parts = _whole_clips(undecided, share) if by_clips else [part for clip in undecided for part in _cut(clip, share)]
    frames = {split: sum(clip.labelled for clip in parts if clip.split == split) for split in ("train", "val")}
    if not all(frames.values()):
        raise ConfigError(
            f"{len(labelled)} clips with {sum(clip.labelled for clip in labelled)} labelled frames cannot be divided by "
            f"{'clips' if by_clips else 'runs'} with a share of {share:g} for validation: label more, divide them in another "
            "way, or take the share 0"
        )
    return parts + [clip for clip in clips if clip.split == "test"]


def _whole_clips(clips: Sequence[PlannedClip], share: float) -> list[PlannedClip]:
    """Evenly spread: a clip is for validation when that brings the share of all before closer to what it should be."""
    parts, seen, taken = [], 0, 0
    for clip in clips:
        seen += clip.labelled
        is_taken = clip.labelled > 0 and taken + clip.labelled / 2 <= share * seen
        taken += clip.labelled * is_taken
        parts.append(replace(clip, split="val" if is_taken else "train"))
    if not taken:  # all clips are large: the smallest one that has labels
        last = min((i for i, clip in enumerate(clips) if clip.labelled), key=lambda i: clips[i].labelled, default=None)
        parts = [replace(clip, split="val") if i == last else clip for i, clip in enumerate(parts)]
    return parts


def _cut(clip: PlannedClip, share: float) -> list[PlannedClip]:
    """All but the last labelled frames to train on, and, after a gap, those; a clip of one labelled frame stays whole."""
    labelled = [i for i, image in enumerate(clip.images) if image.read_label is not None]
    wanted = max(1, round(share * len(labelled)))
    if wanted >= len(labelled):
        return [replace(clip, split="train")]
    last, first = labelled[-wanted - 1 :][:2]
    gap = min(GAP_FRAMES, int(GAP_SHARE * len(clip.images)))
    if first - last > gap:  # frames without labels are gap enough, and those behind it lead up to the first with one
        end, start = last + 1, last + 1 + gap
    else:
        end, start = max(first - gap, labelled[0] + 1), first
    halves = (("train", clip.images[:end]), ("val", clip.images[start:]))
    return [PlannedClip(f"{clip.name}-{split}", split, images) for split, images in halves]


def _unique_name(key: Key, keys: Iterable[Key]) -> str:
    name, split, (height, width) = key
    others = [other for other in keys if other[0] == name]
    if len({other_split for _, other_split, _ in others}) > 1:
        name += f"-{split or 'other'}"
    if sum(other_split == split for _, other_split, _ in others) > 1:
        name += f"-{width}x{height}"
    return name


def _clip_name(image: AnnotatedImage, clips_by: str) -> str:
    parts = [part for part in image.folder.parts if part.lower() not in IMAGE_FOLDERS]
    if clips_by == "names":
        stem = ROBOFLOW_ENDING.sub("", image.path.stem)
        before = re.match(r"(.*?)\d+\D*$", stem)
        parts.append((before[1] if before else stem).strip(" _-."))
    return "-".join(part.strip() for part in parts if part.strip()) or "clip"
