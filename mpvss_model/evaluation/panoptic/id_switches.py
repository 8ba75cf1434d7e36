"""How often a thing gets another id."""

from __future__ import annotations

from mpvss_model.evaluation.panoptic.overlaps import MIN_IOU, Overlaps
from mpvss_model.instances.panoptic import MAX_INSTANCE_ID

__all__ = ["IdSwitches"]


class IdSwitches:
    """Counts frames in which a thing of the ground truth is found under another id than when it was last found.

    That is the identity switch of multi-object tracking (Bernardin and Stiefelhagen, CLEAR MOT, 2008; Voigtlaender et al.,
    MOTS, CVPR 2019): a thing is found where a segment with an id has an IoU above 0.5 with it, of whatever class.

    Attributes:
        switches: So far.
        tracks: Things that were found in at least one frame.
        found: Frames in which a thing was found, over all things.
    """

    def __init__(self) -> None:
        self.switches = 0
        self.tracks = 0
        self.found = 0
        self._last_ids: dict[int, int] = {}

    def start_video(self) -> None:
        """Say that the next frame does not follow on the last one."""
        self._last_ids = {}

    def update(self, frame: Overlaps) -> None:
        """Count the next frame of the video."""
        found = frame.ious() > MIN_IOU
        for thing, segment in zip(frame.truth[found].tolist(), frame.found[found].tolist(), strict=True):
            number, instance_id = thing & MAX_INSTANCE_ID, segment & MAX_INSTANCE_ID
            if not number or not instance_id:
                continue
            self.found += 1
            self.tracks += number not in self._last_ids
            self.switches += self._last_ids.get(number, instance_id) != instance_id
            self._last_ids[number] = instance_id
