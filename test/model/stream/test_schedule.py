import pytest

from mpvss_model import StreamConfig
from mpvss_model.stream.schedule import KeyFrameReason, KeyFrameSchedule


@pytest.mark.parametrize(
    "frames_since_key, key_age_s, reason",
    [
        (1, 0.1, None),
        (4, 0.4, None),
        (5, 0.5, KeyFrameReason.INTERVAL),
        (1, 0.99, None),
        (1, 1.0, KeyFrameReason.TIME),
        (5, 2.0, KeyFrameReason.INTERVAL),
    ],
)
def test_count_and_age_decide(frames_since_key, key_age_s, reason):
    schedule = KeyFrameSchedule(max_interval_frames=5, max_interval_s=1.0)
    assert schedule.reason(frames_since_key=frames_since_key, key_age_s=key_age_s) == reason


@pytest.mark.parametrize(
    "key_age_s, unexplained_s, is_cut, reason",
    [
        (0.4, 0.049, False, None),
        (0.4, 0.05, False, KeyFrameReason.MOTION),
        (0.2, 0.05, False, None),
        (0.2, 0.0, True, KeyFrameReason.MOTION),
    ],
)
def test_motion_decides_after_the_shortest_interval_and_a_cut_at_once(key_age_s, unexplained_s, is_cut, reason):
    schedule = KeyFrameSchedule(max_interval_frames=50, max_interval_s=5.0, min_interval_s=0.3, motion_threshold=0.05)
    decided = schedule.reason(frames_since_key=3, key_age_s=key_age_s, unexplained_s=unexplained_s, is_cut=is_cut)
    assert decided == reason


def test_without_a_threshold_motion_decides_nothing():
    schedule = KeyFrameSchedule(max_interval_frames=50, max_interval_s=5.0)
    assert not schedule.needs_motion
    assert schedule.reason(frames_since_key=3, key_age_s=0.3, unexplained_s=9.0, is_cut=True) is None


def test_the_shortest_interval_holds_for_count_and_time():
    schedule = KeyFrameSchedule(max_interval_frames=2, max_interval_s=0.5, min_interval_s=0.5)
    assert schedule.reason(frames_since_key=9, key_age_s=0.49) is None
    assert schedule.reason(frames_since_key=9, key_age_s=0.5) is KeyFrameReason.INTERVAL


@pytest.mark.parametrize(
    "mode, max_interval_s, expected_s", [("sync", 0.0, 2.0), ("async", 0.0, 1.0), ("async", 1.5, 1.5), ("sync", 9.0, 2.0)]
)
def test_a_key_frame_is_replaced_before_its_masks_are_too_old(mode, max_interval_s, expected_s):
    config = StreamConfig(key_frames=mode, max_interval_s=max_interval_s, max_key_age_s=2.0)
    assert KeyFrameSchedule.from_config(config).max_interval_s == expected_s
