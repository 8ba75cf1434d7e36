import pytest

from mpvss_model import ConfigError, StreamConfig


@pytest.mark.parametrize(
    "name, value",
    [
        ("max_interval_frames", 0),
        ("max_interval_frames", -3),
        ("max_interval_frames", 2.5),
        ("max_interval_frames", True),
        ("max_interval_s", -1.0),
        ("max_interval_s", float("nan")),
        ("max_key_age_s", 0.0),
        ("max_key_age_s", float("inf")),
        ("query_tolerance", -0.1),
        ("history_weight", -0.1),
        ("history_weight", 10.5),
        ("key_frames", "sometimes"),
        ("min_interval_s", -0.1),
        ("min_interval_s", 3.5),
        ("motion_threshold", -0.1),
        ("motion_threshold", 1.1),
        ("motion_threshold", float("nan")),
        ("retry_initial_s", 0.0),
        ("retry_max_s", 0.25),
    ],
)
def test_values_out_of_range_are_named(name, value):
    with pytest.raises(ConfigError, match=f"{name} must be .*{value}"):
        StreamConfig(**{name: value})
