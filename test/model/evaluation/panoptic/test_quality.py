"""Panoptic and video panoptic quality, and id switches, against values found by hand."""

import numpy as np
import pytest

from mpvss_model.evaluation.panoptic.id_switches import IdSwitches
from mpvss_model.evaluation.panoptic.overlaps import VOID, Overlaps
from mpvss_model.evaluation.panoptic.panoptic_evaluation import PanopticEvaluation, mean_figures, true_segments
from mpvss_model.evaluation.panoptic.quality import PanopticQuality
from mpvss_model.instances.panoptic import Panoptic

WALL, CUP, PLATE = 0, 1, 2


def segments(*runs):
    """One row of segments: class, instance and number of pixels each; class 255 is void."""
    numbers, pixels = zip(*((class_index << 16 | instance, pixels) for class_index, instance, pixels in runs), strict=True)
    return np.repeat(np.array(numbers, np.int32), pixels)[None]


def quality_of(found, truth, classes=(WALL, CUP, PLATE)):
    quality = PanopticQuality(3)
    quality.update(Overlaps.of_frame(found, truth))
    return quality.of(classes)


def test_a_perfect_answer_has_quality_1_whatever_its_ids_are():
    truth = segments((WALL, 0, 10), (CUP, 7, 5), (CUP, 9, 5))
    found = segments((WALL, 0, 10), (CUP, 1, 5), (CUP, 2, 5))
    assert quality_of(found, truth) == quality_of(truth, truth)
    assert quality_of(found, truth).pq == quality_of(found, truth).sq == quality_of(found, truth).rq == 1.0


def test_quality_is_the_sum_of_iou_by_matches_and_half_of_all_else():
    truth = segments((WALL, 0, 10), (CUP, 1, 8), (CUP, 2, 2))
    found = segments((WALL, 0, 12), (CUP, 1, 6), (PLATE, 1, 2))
    # Wall: 10 of 12 pixels; one cup: 6 of 8, the other is missing; a plate too many.
    assert quality_of(found, truth, [WALL]).pq == pytest.approx(10 / 12)
    cups = quality_of(found, truth, [CUP])
    assert (cups.pq, cups.sq, cups.rq) == pytest.approx((0.75 / 1.5, 0.75, 1 / 1.5))
    assert quality_of(found, truth, [PLATE]).pq == 0.0
    assert quality_of(found, truth).pq == pytest.approx((10 / 12 + 0.5 + 0.0) / 3)
    assert np.isnan(quality_of(segments((WALL, 0, 4)), segments((WALL, 0, 4)), [PLATE]).pq)


def test_an_iou_of_half_is_no_match():
    truth, found = segments((WALL, 0, 6), (CUP, 1, 6)), segments((WALL, 0, 9), (CUP, 1, 3))
    assert quality_of(found, truth, [CUP]).pq == 0.0


def test_what_is_not_labelled_does_not_count():
    truth = segments((WALL, 0, 10), (255, 0, 10))
    # The wall goes on there, and a cup lies mostly there: neither is wrong. A plate lies half there: it is.
    found = segments((WALL, 0, 9), (CUP, 1, 1), (WALL, 0, 2), (CUP, 1, 8))
    assert quality_of(found, truth, [WALL]).pq == pytest.approx(9 / 10)
    assert np.isnan(quality_of(found, truth, [CUP]).pq)
    half = segments((WALL, 0, 8), (PLATE, 1, 4), (WALL, 0, 8))
    assert quality_of(half, truth, [PLATE]).pq == 0.0
    nothing = segments((255, 0, 20))
    assert quality_of(nothing, truth, [WALL]).pq == 0.0  # missing


def test_over_several_frames_a_thing_must_keep_its_id():
    truth = [segments((WALL, 0, 4), (CUP, 5, 4))] * 4
    kept = [segments((WALL, 0, 4), (CUP, 1, 4))] * 4
    changed = kept[:2] + [segments((WALL, 0, 4), (CUP, 2, 4))] * 2

    def vpq(frames, window):
        quality = PanopticQuality(3, window)
        for found, true in zip(frames, truth, strict=True):
            quality.update(Overlaps.of_frame(found, true))
        return quality.of([CUP]).pq

    assert [vpq(kept, n) for n in (1, 2, 4)] == [1.0, 1.0, 1.0]
    # Of three windows of two frames, the middle one has two halves: IoU 0.5 each, no match; one missing and two wrong.
    assert vpq(changed, 1) == 1.0
    assert vpq(changed, 2) == pytest.approx(2 / (2 + 0.5 + 1.0))
    assert vpq(changed, 4) == 0.0
    assert np.isnan(vpq(kept, 5))


def test_windows_do_not_span_videos():
    quality = PanopticQuality(3, window=2)
    frame = Overlaps.of_frame(segments((CUP, 1, 4)), segments((CUP, 1, 4)))
    quality.update(frame)
    quality.start_video()
    quality.update(frame)
    assert np.isnan(quality.of([CUP]).pq)


def test_id_switches_are_counted_from_one_time_that_a_thing_is_found_to_the_next():
    switches = IdSwitches()
    truth = segments((WALL, 0, 4), (CUP, 8, 4), (PLATE, 9, 4))

    def see(cup, plate):
        switches.update(Overlaps.of_frame(segments((WALL, 0, 4), (CUP, cup, 4), (PLATE, plate, 4)), truth))

    see(1, 2)
    see(1, 3)  # the plate's
    switches.update(Overlaps.of_frame(segments((WALL, 0, 8), (CUP, 3, 4)), truth))  # no cup; the plate by another class
    see(4, 3)  # the cup's
    assert (switches.switches, switches.tracks, switches.found) == (2, 2, 7)
    switches.start_video()
    see(7, 7)
    assert (switches.switches, switches.tracks) == (2, 4)


def test_a_thing_without_a_number_is_not_labelled():
    label, instances = np.array([[0, 1, 1, 255]], np.uint8), np.array([[3, 4, 0, 5]], np.uint16)
    assert true_segments(label, instances, {1}).tolist() == [[0, 1 << 16 | 4, VOID, VOID]]


def test_figures_are_of_things_and_stuff_and_means_over_windows_and_repeats():
    evaluation = PanopticEvaluation(3, {CUP, PLATE})
    label, instances = np.array([[0] * 4 + [1] * 4], np.uint8), np.array([[9] * 4 + [5] * 4])
    for i in range(5):
        evaluation.update(Panoptic(segments((WALL, 0, 4), (CUP, 1 + i // 4, 4)), ()), label, instances)
    figures = evaluation.figures()
    assert (figures.pq, figures.pq_things, figures.pq_stuff) == (1.0, 1.0, 1.0)
    # In the one window of five frames, the first id has 16 of 20 pixels; the second is one too many.
    assert figures.vpq_by_window == {1: 1.0, 5: pytest.approx((1 + 0.8 / 1.5) / 2), 10: None, 15: None}
    assert (figures.vpq, figures.id_switches, figures.tracks, figures.id_switches_per_track) == (None, 1, 1, 1.0)
    assert mean_figures([figures, figures]).id_switches == 2 and mean_figures([figures, figures]).pq == 1.0
    assert mean_figures([]) is None
