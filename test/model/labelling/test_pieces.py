"""Where key frames are due, told from stamps alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpvss_model import FrameError, StreamConfig, VideoSegmentor
from mpvss_model.labelling.pieces import due_key_frames
from mpvss_model.propagation.ways.copy import CopyPropagator
from test.brightness import BrightnessSegmentor

MS = 1_000_000
FRAME = np.zeros((32, 32, 3), np.uint8)
CONFIGS = (
    StreamConfig(max_interval_frames=1),
    StreamConfig(max_interval_frames=3, max_key_age_s=0.4),
    StreamConfig(max_interval_frames=100, max_interval_s=0.25),
    StreamConfig(max_interval_frames=2, max_interval_s=0.5, min_interval_s=0.15, max_key_age_s=1.0),
)


@pytest.mark.parametrize("config", CONFIGS)
@given(steps_ms=st.lists(st.sampled_from((0, 33, 50, 100, 250, 400, 401, 1500, -70)), max_size=30))
def test_key_frames_are_due_where_a_stream_makes_them(config, steps_ms):
    stamps = (np.cumsum([10_000, *steps_ms]) * MS).tolist()
    stream = VideoSegmentor(segmentor=BrightnessSegmentor(), propagator=CopyPropagator(), config=config)
    made = []
    for index, stamp_ns in enumerate(stamps):
        try:
            if stream.step(FRAME, stamp_ns=stamp_ns).is_key_frame:
                made.append(index)
        except FrameError:  # the stamp of the frame before
            continue
    assert due_key_frames(stamps, config) == made
