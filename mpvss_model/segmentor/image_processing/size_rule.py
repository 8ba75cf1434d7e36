"""The sizes that a checkpoint's image processor brings images to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mpvss_model.config import FRAME_SIZE
from mpvss_model.segmentor.image_processing.entries import IMAGE_PROCESSOR, processor_entries

if TYPE_CHECKING:
    from mpvss_model.segmentor.image_processing.entries import Entries

__all__ = ["PADDING_MULTIPLE", "SizeRule", "size_rule"]

# Frames are padded to a multiple of this, see `mpvss_model.image.FramePadding`.
PADDING_MULTIPLE = 32
# By which image processors call the multiple that they pad or resize to.
MULTIPLES = ("size_divisor", "size_divisibility", "ensure_multiple_of")
# Of ``size``: names of the shorter side's length, or of both sides'.
SIDES = ({"shortest_edge"}, {"shortest_edge", "longest_edge"}, {"height", "width"})
# Others than SIDES, which give an image a size that depends on its shape.
LIMITS = ({"longest_edge"}, {"max_height", "max_width"})


@dataclass(frozen=True)
class SizeRule:
    """To what size images are brought before the network sees them.

    Attributes:
        shorter_side_px: Of the resized image; 0 where no entry says so. Of images that are made square it is the side: frames
            keep their shape here, as the crops had that networks are trained with.
        is_split: Whether the resized image is then split into squares, as the processor of EoMT does it.
    """

    shorter_side_px: int = FRAME_SIZE
    is_split: bool = False


def size_rule(name_or_dir: str, *, processor: str = IMAGE_PROCESSOR) -> SizeRule:
    """What the processor of a checkpoint does, by the files that `processor_entries` reads.

    What limits the longer side is not read: it is for panoramas. ``do_reduce_labels`` is not either, since it concerns the
    labels of training alone.

    Args:
        name_or_dir: A checkpoint directory, or the id of a model of the hub.
        processor: ``image_processor`` or ``video_processor``.

    Raises:
        CheckpointError: If a file is broken or asks for what cannot be done; names the file, the entry and its value.
    """
    entries = processor_entries(name_or_dir, processor)
    if entries is None:
        return SizeRule()
    if entries.flag("do_center_crop", False):
        raise entries.refusal("do_center_crop", "false, since every pixel of a frame gets a label")
    for name in MULTIPLES:
        multiple = entries.value(name)
        if multiple and not (_is_length(multiple) and PADDING_MULTIPLE % multiple == 0):
            raise entries.refusal(name, f"a divisor of {PADDING_MULTIPLE}, the multiple that frames are padded to")
    side_px = _shorter_side_px(entries) if entries.flag("do_resize", True) else FRAME_SIZE
    return SizeRule(side_px, entries.flag("do_split_image", False))


def _shorter_side_px(entries: Entries) -> int:
    size = entries.value("size")
    if size is None:
        return FRAME_SIZE
    if _is_length(size):  # as older versions of transformers wrote it
        return int(size)
    given = {name: side for name, side in size.items() if side is not None} if isinstance(size, dict) else {}
    if not all(map(_is_length, given.values())) or given.keys() not in (*SIDES, *LIMITS):
        raise entries.refusal("size", 'sides in pixels, such as {"shortest_edge": 512} or {"height": 512, "width": 512}')
    return FRAME_SIZE if given.keys() in LIMITS else int(given.get("shortest_edge") or min(given.values()))


def _is_length(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
