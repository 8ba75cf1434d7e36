"""The table that a configuration class is."""

from dataclasses import dataclass

import pytest

from mpvss_model import ConfigError, StreamConfig
from mpvss_model.config import DecodingConfig
from mpvss_model.settings import changed_settings, check_settings, described, setting, settings_of


@described
@dataclass(frozen=True, kw_only=True)
class Camera:
    """A camera."""

    mode: str = setting("day", "When it sees", choices=("day", "night"), live=True)
    rows: int = setting(4, "Rows of pixels", details="Not more than ten.", unit="PIXELS", minimum=1, maximum=10)
    gain: float = setting(1.0, "Brightness", minimum=0.0, above=True)
    bits: int = setting(0, "Bits; 0: unknown", minimum=8, maximum=16, special=(0,))
    topic: str = setting("", "Where its images are")

    def __post_init__(self):
        check_settings(self)


def test_a_row_is_the_field_with_all_that_users_have_to_know():
    mode, rows, *_ = settings_of(Camera)
    assert (mode.name, mode.default, mode.choices, mode.live) == ("mode", "day", ("day", "night"), True)
    assert (rows.name, rows.default, rows.unit, rows.minimum, rows.maximum) == ("rows", 4, "PIXELS", 1, 10)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mode": "dusk"}, "mode must be one of day, night, got 'dusk'"),
        ({"rows": 0}, "rows must be a whole number of at least 1 and at most 10, got 0"),
        ({"rows": True}, "rows must be a whole number"),
        ({"rows": 2.0}, "rows must be a whole number"),
        ({"gain": 0.0}, "gain must be a finite number above 0.0, got 0.0"),
        ({"gain": float("inf")}, "gain must be a finite number above 0.0, got inf"),
        ({"gain": "much"}, "gain must be a finite number above 0.0, got 'much'"),
        ({"bits": 7}, "bits must be 0 or a whole number of at least 8 and at most 16, got 7"),
        ({"topic": 7}, "topic must be text, got 7"),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_the_range(values, message):
    with pytest.raises(ConfigError) as refusal:
        Camera(**values)
    assert str(refusal.value).startswith(message)


def test_values_at_the_ends_of_a_range_and_the_special_one_are_allowed():
    for rows, bits, gain in ((1, 8, 1), (10, 16, 1e-9), (4, 0, 1e9)):
        assert Camera(rows=rows, bits=bits, gain=gain).bits == bits
    assert Camera(topic="/front").topic == "/front"


def test_what_differs_from_the_defaults_is_told():
    assert changed_settings(Camera()) == {}
    assert changed_settings(Camera(rows=5, bits=0)) == {"rows": 5}
    recommended = StreamConfig(motion_threshold=0.03, history_weight=0.5)
    assert changed_settings(recommended) == {"motion_threshold": 0.03, "history_weight": 0.5}


@pytest.mark.parametrize("config", [Camera, StreamConfig, DecodingConfig])
def test_the_docstring_describes_each_setting(config):
    for row in settings_of(config):
        assert f"        {row.name}: {row.description}." in config.__doc__
        assert row.details in config.__doc__
