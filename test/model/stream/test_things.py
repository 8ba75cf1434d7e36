"""Ids of things that live on from key frame to key frame."""

from dataclasses import replace

import numpy as np
import pytest

from mpvss_model import ConfigError, StreamConfig, VideoSegmentor
from mpvss_model.instances import merging
from mpvss_model.propagation.registry import make_propagator
from test.thing_segmentor import ThingSegmentor, frame_with

RATE_HZ = 10
# Two cups and a plate: to the right, to the left, and at rest.
GRAYS = (200, 150, 201)


def moment(i):
    return frame_with({200: (8 + 3 * i, 8), 150: (96 - 3 * i, 40), 201: (52, 68)})


def stream(propagation="copy", segmentor=None, **settings):
    return VideoSegmentor(
        segmentor=segmentor or ThingSegmentor(),
        propagator=make_propagator(propagation, motion=None),
        config=StreamConfig(**{"max_interval_frames": 2, **settings}),
        things={1, 2},
    )


def ids_of(segmentation, frame):
    """The id that most pixels of each gray value have, by that; 0 for none."""
    instances = segmentation.panoptic().instances
    return {value: int(np.bincount(instances[frame[..., 0] == value]).argmax()) for value in GRAYS if value in frame[..., 0]}


def followed(segmentor, count=9):
    """Ids in each frame of a video."""
    return [ids_of(segmentor.step(moment(i), i / RATE_HZ), moment(i)) for i in range(count)]


@pytest.mark.parametrize("history_weight", [0.0, 0.5])
@pytest.mark.parametrize("propagation", ["copy", "dense", "tracked"])
def test_things_keep_their_ids_over_key_frames_however_masks_are_carried(propagation, history_weight):
    first, *others = followed(stream(propagation, history_weight=history_weight))
    assert sorted(first.values()) == [1, 2, 3]
    assert all(ids == first for ids in others)


def test_segments_have_class_score_box_and_area_and_nothing_is_counted_twice():
    found = stream().step(moment(0), 0.0).panoptic()
    boxes = {(s.class_index, s.box_px, s.area_px) for s in found.things}
    assert boxes == {(1, (8, 8, 24, 24), 572), (1, (96, 40, 24, 24), 572), (2, (52, 68, 24, 24), 572)}  # rounded corners
    (stuff,) = [s for s in found.segments if s.instance_id == 0]
    assert stuff.class_index == 0 and stuff.score > 0.99
    assert (
        found.encoded[20, 20] >> 16 == 1 == found.classes[20, 20] and found.encoded[20, 20] & 0xFFFF == found.instances[20, 20]
    )
    assert sum(s.area_px for s in found.segments) == found.encoded.size


def test_a_thing_that_one_key_frame_misses_is_the_same_when_it_is_back_unless_it_was_away_too_long():
    def ids(max_lost_s, missed_key_frames=2):
        segmentor = ThingSegmentor()
        video = stream(segmentor=segmentor, max_lost_s=max_lost_s)
        before = ids_of(video.step(moment(0), 0.0), moment(0))
        segmentor.missed = {200}
        for i in range(1, 1 + 2 * missed_key_frames):
            away = ids_of(video.step(moment(i // 2), i / RATE_HZ), moment(i // 2))
        assert away[200] == 0 and away[150] == before[150]
        segmentor.missed = set()
        i = 2 + 2 * missed_key_frames
        video.step(moment(i // 2), (i - 1) / RATE_HZ)
        after = ids_of(video.step(moment(i // 2), i / RATE_HZ), moment(i // 2))
        assert after[150] == before[150]
        return before[200], after[200]

    before, after = ids(max_lost_s=2.0)
    assert before == after
    before, after = ids(max_lost_s=0.1)  # two key frames are 0.2 s apart
    assert after == 4
    before, after = ids(max_lost_s=0.0, missed_key_frames=1)
    assert after == 4


def test_ids_are_the_same_with_key_frames_in_the_background():
    video = stream(key_frames="async", propagation="tracked")
    ids = []
    for i in range(9):
        ids.append(ids_of(video.step(moment(i), i / RATE_HZ), moment(i)))
        if (job := video._state.job) is not None:
            job.result()
    assert all(later == ids[0] for later in ids)


def test_ids_begin_anew_with_the_stream_and_other_streams_have_their_own():
    video = stream()
    video.step(moment(0), 0.0)
    video.reset()
    assert set(followed(video, 3)[-1].values()) == {1, 2, 3}
    assert set(followed(video.new_stream(), 3)[-1].values()) == {1, 2, 3}


def test_following_can_be_switched_off_and_new_ids_are_given_when_it_is_on_again():
    video = stream()
    video.follows_things = False
    with pytest.raises(ConfigError, match="thing_classes"):
        video.step(moment(0), 0.0).panoptic()
    video.follows_things = True  # in the middle of an interval
    first = video.step(moment(1), 0.1)
    assert not first.is_key_frame and set(ids_of(first, moment(1)).values()) == {1, 2, 3}


def test_kept_results_show_the_same_things_at_any_time():
    video = stream()
    kept = [video.step(moment(i), i / RATE_HZ) for i in range(6)]
    asked = [followed(stream(), 6)[i] for i in range(6)]
    assert [ids_of(result, moment(i)) for i, result in enumerate(kept)] == asked
    assert kept[0].panoptic().segments == stream().step(moment(0), 0.0).panoptic().segments


@pytest.mark.parametrize("propagation", ["segment", "tracked"])
@pytest.mark.parametrize("history_weight", [0.0, 0.5])
def test_labels_are_those_without_following(tiny_motion_checkpoint, propagation, history_weight, monkeypatch):
    for threshold in ("MIN_SCORE", "MIN_PROBABILITY", "MIN_LEFT"):
        monkeypatch.setattr(merging, threshold, 0.1)  # a random network is not sure of anything
    rng = np.random.default_rng(0)
    config = StreamConfig(max_interval_frames=2, history_weight=history_weight, max_lost_s=10.0)
    video = VideoSegmentor.from_pretrained(
        tiny_motion_checkpoint, propagation=propagation, config=config, thing_classes=("background", "robot", "wall")
    )
    plain = video.new_stream()
    plain.follows_things = False
    most = 0
    for i in range(8):
        frame = rng.integers(0, 255, (64, 96, 3), np.uint8)
        followed = video.step(frame, i / RATE_HZ)
        assert np.array_equal(followed.labels, plain.step(frame, i / RATE_HZ).labels)
        most = max(most, len(video._state.instances.masks) - len(video._state.instances.ids))
    assert most > 0  # something was looked for, beside the key frame's own masks


def test_ids_of_a_smaller_inference_size_come_at_the_size_of_the_frame():
    video = stream()
    video.config = replace(video.config, inference_size=64)
    result = video.step(moment(0), 0.0)
    assert result.panoptic().encoded.shape == (96, 128) == result.labels.shape
