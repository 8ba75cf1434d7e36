"""Recordings that are labelled by a fleet."""

import pytest

from mpvss_model import StreamConfig
from mpvss_model.config import DecodingConfig
from mpvss_model.labelling import LabellingConfig
from mpvss_ros.bags.fleet.label_work import LabellingTask


@pytest.fixture
def task(tiny_motion_checkpoint):
    """Labels with the tiny model, in pieces of about six frames."""

    def make(**changes):
        settings = {
            "model": tiny_motion_checkpoint,
            "config": LabellingConfig(interval=3, propagation="tracked"),
            "mapping": None,
            "stream": StreamConfig(),
            "topic": None,
            "split": None,
            "decoding": DecodingConfig(),
            "device": "cpu",
            "precision": "auto",
            "as_bag": False,
            "threads": 1,
            "piece_frames": 6,
            "has_memory": False,
        }
        return LabellingTask(**{**settings, **changes})

    return make
