"""Where the time of frames goes, on a stream whose parts are known."""

import time

import pytest
import torch

from mpvss_model.evaluation.benchmark import parts_of_frames
from mpvss_model.propagation.optical_flow import TrackedFlowPropagator
from mpvss_model.runtime.frame_parts import REST, FrameParts, frame_part
from test.brightness import make_segmentor, scene

CPU = torch.device("cpu")


def test_parts_count_their_own_time_and_sum_up_to_all_of_it():
    started_s = time.perf_counter()
    with FrameParts(CPU) as parts:
        with frame_part("outer"):
            time.sleep(0.002)
            with frame_part("inner"):
                time.sleep(0.02)
        with pytest.raises(ValueError), frame_part("outer"):
            raise ValueError
    whole_s = time.perf_counter() - started_s
    assert set(parts.seconds) == {"outer", "inner", REST}
    assert 0.002 <= parts.seconds["outer"] <= whole_s - 0.02 and parts.seconds["inner"] >= 0.02
    assert sum(parts.seconds.values()) <= whole_s
    with frame_part("outer"):  # nobody measures any more
        time.sleep(0.002)
    assert sum(parts.seconds.values()) <= whole_s


def test_optical_flow_is_a_part_of_propagated_frames_alone(monkeypatch):
    flow_to_earlier = TrackedFlowPropagator._flow_to_earlier

    def slow(self, *arguments):
        time.sleep(0.02)
        return flow_to_earlier(self, *arguments)

    monkeypatch.setattr(TrackedFlowPropagator, "_flow_to_earlier", slow)
    stream = make_segmentor(max_interval_frames=3)
    key, propagated = parts_of_frames(stream, [scene(3 * i) for i in range(6)], rounds=2, device=CPU)
    assert (key.name, propagated.name) == ("mpvss, key frame", "mpvss, propagated frame")
    assert set(key.parts_ms) == {"labels", "download", "rest"}
    assert list(propagated.parts_ms) == ["flow", "upload", "graph", "labels", "download", "rest"]
    assert 20 <= propagated.parts_ms["flow"] <= propagated.frame_ms
    assert all(part_ms >= 0 for part_ms in propagated.parts_ms.values())


def test_parts_may_be_measured_by_another_clock():
    ticks = iter(range(100))
    with FrameParts(CPU, clock=lambda: float(next(ticks))) as parts:
        with frame_part("one"):
            pass
        with frame_part("two"), frame_part("inner"):
            pass
    assert parts.seconds == {REST: 3.0, "one": 1.0, "two": 2.0, "inner": 1.0}
