import json
from dataclasses import asdict

import pytest

from mpvss_model.errors import ConfigError
from mpvss_model.motion.config import MotionConfig


def test_survives_json():
    config = MotionConfig(hidden_size=96, num_heads=4, encoder_channels=(16, 32, 64, 128, 128, 256))
    assert MotionConfig.from_dict(json.loads(json.dumps(asdict(config)))) == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_layers": 0}, "num_layers must be a whole number of at least 1, got 0"),
        ({"ffn_size": True}, "ffn_size must be a whole number of at least 1, got True"),
        ({"hidden_size": 100}, r"hidden_size must be a multiple of 4 and of num_heads \(8\), got 100"),
        ({"hidden_size": 6, "num_heads": 2}, "hidden_size must be a multiple of 4"),
        ({"encoder_channels": [1, 2, 3]}, r"encoder_channels must be a tuple of 6 numbers, got \(1, 2, 3\)"),
        ({"upsampled_channels": [8, 8, 8, -8]}, r"upsampled_channels\[3\] must be a whole number of at least 1, got -8"),
        ({"layers": 3}, "unknown motion settings layers; known are encoder_channels"),
    ],
)
def test_rejects_what_makes_no_network(settings, message):
    with pytest.raises(ConfigError, match=message):
        MotionConfig.from_dict(settings)
