import pytest

from mpvss_model.schedule import KeyFrameReason, KeyFrameSchedule


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
