"""Which frames teach, and which are held back to decide by."""

from __future__ import annotations

from collections.abc import Sequence

from mpvss_model.errors import DataError

__all__ = ["HELD_BACK", "TAUGHT", "split_frames", "split_names"]

TAUGHT, HELD_BACK = "train", "val"
# With so many clips or more, whole ones are held back.
WHOLE_CLIPS = 5
# One clip of so many, or this part of each.
ONE_OF = 5
# Of a clip's frames, those between the two parts, which are used for neither: neighbours look alike.
GAP_ONE_OF = 20
LEAST_FRAMES = 10


def split_frames(counts: Sequence[int]) -> list[list[str | None]]:
    """Which part each frame of each clip belongs to: `TAUGHT`, `HELD_BACK`, or None for neither.

    Every fifth clip is held back; where there are fewer than five, the last fifth of each.

    Args:
        counts: Frames of each clip.

    Raises:
        DataError: If there are too few to divide.
    """
    if len(counts) >= WHOLE_CLIPS:
        return [[HELD_BACK if i % ONE_OF == ONE_OF // 2 else TAUGHT] * count for i, count in enumerate(counts)]
    if max(counts, default=0) < LEAST_FRAMES:
        raise DataError(
            f"{sum(counts)} frames are too few to teach with some and judge by others: give {LEAST_FRAMES} frames in a row, "
            f"or {WHOLE_CLIPS} clips"
        )
    parts: list[list[str | None]] = []
    for count in counts:
        held_back = count // ONE_OF if count >= LEAST_FRAMES else 0
        gap = max(1, count // GAP_ONE_OF) if held_back else 0
        parts.append([TAUGHT] * (count - held_back - gap) + [None] * gap + [HELD_BACK] * held_back)
    return parts


def split_names(names: Sequence[str], one_of: int = 10) -> tuple[list[str], list[str]]:
    """Clips to teach with, and every tenth, at least one, to hold back.

    Raises:
        DataError: If there are fewer than two.
    """
    if len(names) < 2:
        raise DataError(f"the data set to mix in has {len(names)} labelled clips: it needs two, one of them to judge by")
    held_back = list(names[one_of // 2 :: one_of]) or [names[-1]]
    return [name for name in names if name not in held_back], held_back
