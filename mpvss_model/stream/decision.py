"""Whether the frame at hand is to become a key frame."""

from __future__ import annotations

from mpvss_model.stream.change import SCENE_CUT, is_cut
from mpvss_model.stream.schedule import KeyFrameReason, KeyFrameSchedule
from mpvss_model.stream.seen_frame import SeenFrame
from mpvss_model.stream.state import StreamState

__all__ = ["key_frame_reason"]


def key_frame_reason(state: StreamState, seen: SeenFrame, schedule: KeyFrameSchedule) -> KeyFrameReason | None:
    """Why the frame must be a key frame, or None if it is to be propagated; to be asked once for each frame.

    Args:
        state: Of the stream, with no key frame on its way; what motion does not explain is added up there.
        seen: The frame at hand, beside the last good key frame of the stream.
        schedule: Decides where neither the user nor a failure does.
    """
    if state.key_frame_requested:
        return state.first_key_frame_reason if state.reference is None else KeyFrameReason.REQUEST
    if state.failure is not None:
        return state.failure.reason if state.failure.is_over(seen.stamp_ns) else None
    if state.reference is None:
        return state.first_key_frame_reason
    scene_is_cut = schedule.needs_motion and _add_motion(state, seen)
    return schedule.reason(
        frames_since_key=state.frames_since_key,
        key_age_s=seen.key_age_s,
        unexplained_s=state.unexplained_s,
        is_cut=scene_is_cut,
    )


def _add_motion(state: StreamState, seen: SeenFrame) -> bool:
    """Add up what motion does not explain; returns whether the frame shows another scene than the one before."""
    unexplained = seen.comparison.change().share
    state.unexplained_s += unexplained * state.elapsed_s
    assert state.compared_frame is not None  # the key frame itself was the first
    # A frame that the key frame explains needs no second look.
    scene_is_cut = unexplained >= SCENE_CUT and is_cut(state.compared_frame, seen.image)
    state.scene_is_cut |= scene_is_cut
    state.compared_frame = seen.image
    return scene_is_cut
