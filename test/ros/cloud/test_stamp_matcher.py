import pytest

from mpvss_ros.cloud.stamp_matcher import PATIENCE, StampMatcher

MS = 1_000_000


def matcher(**options):
    settings = {"required": ("depth",), "optional": ("confidence",), "slop_ns": 20 * MS, "size": 5}
    return StampMatcher("labels", **(settings | options))


def feed(matcher, *messages):
    """Add messages, each named by topic and milliseconds; returns the matches as triples of milliseconds."""
    found = []
    for name, ms in messages:
        found += matcher.add(name, ms * MS, ms)
    return [tuple(match.get(name) for name in ("labels", "depth", "confidence")) for match in found]


def test_labels_that_come_late_are_answered_at_once():
    assert feed(matcher(), ("depth", 0), ("depth", 66), ("depth", 133), ("labels", 66)) == [(66, 66, None)]


def test_depth_of_the_same_stamp_may_come_after_the_labels():
    assert feed(matcher(), ("labels", 0), ("depth", 0), ("labels", 66), ("depth", 66)) == [(0, 0, None), (66, 66, None)]


def test_the_nearest_is_taken_once_no_nearer_one_can_come():
    late = matcher()
    assert feed(late, ("depth", 90), ("labels", 100)) == []
    assert feed(late, ("depth", 104)) == [(100, 104, None)]
    assert feed(matcher(), ("depth", 97), ("depth", 130), ("labels", 100)) == [(100, 97, None)]


def test_what_is_further_apart_than_the_slop_is_no_match_and_counted():
    apart = matcher()
    assert feed(apart, ("depth", 0), ("depth", 50), ("labels", 25), ("labels", 50)) == [(50, 50, None)]
    assert apart.unmatched == {"depth": 1}
    assert abs(apart.furthest_ns["depth"]) == 25 * MS


def test_confidence_is_waited_for_only_when_there_is_one():
    with_confidence = matcher()
    assert feed(with_confidence, ("confidence", 0), ("depth", 0), ("labels", 0)) == [(0, 0, 0)]
    assert feed(with_confidence, ("depth", 66), ("labels", 66)) == []
    assert feed(with_confidence, ("confidence", 66)) == [(66, 66, 66)]
    assert feed(with_confidence, ("depth", 133), ("labels", 133), ("confidence", 200)) == [(133, 133, None)]
    expecting = matcher()
    expecting.expected = {"confidence"}
    assert feed(expecting, ("depth", 0), ("labels", 0)) == []
    assert feed(expecting, ("confidence", 0)) == [(0, 0, 0)]


def test_an_optional_topic_that_falls_silent_is_waited_for_no_more_until_it_speaks_again():
    silent = matcher(size=30)
    feed(silent, ("confidence", 0), ("depth", 0), ("labels", 0))
    silent.expected = {"confidence"}
    frames = [(name, 66 * i) for i in range(1, 13) for name in ("depth", "labels")]
    found = feed(silent, *frames)
    assert found == [(66 * i, 66 * i, None) for i in range(1, 13)]
    assert feed(silent, ("confidence", 900), ("depth", 900), ("labels", 900)) == [(900, 900, 900)]
    assert feed(silent, ("depth", 966), ("labels", 966)) == []


def test_labels_that_wait_for_depth_do_not_give_up_confidence():
    late = matcher(size=30)
    late.expected = {"confidence"}
    assert feed(late, *[("labels", 66 * i) for i in range(2 * PATIENCE)]) == []
    both = [(name, 66 * i) for i in range(2 * PATIENCE) for name in ("confidence", "depth")]
    assert feed(late, *both) == [(66 * i, 66 * i, 66 * i) for i in range(2 * PATIENCE)]


def test_labels_that_nothing_comes_for_make_room():
    silent = matcher(size=3)
    assert feed(silent, *[("labels", 66 * i) for i in range(10)]) == []
    assert silent.unmatched == {"depth": 7} and silent.furthest_ns == {}


@pytest.mark.parametrize("name", ["labels", "depth"])
def test_stamps_that_go_back_begin_anew(name):
    looped = matcher()
    feed(looped, ("depth", 5000), ("labels", 5000), ("labels", 5066))
    second_pass = [("labels", 0), ("depth", 0)] if name == "labels" else [("depth", 0), ("labels", 0)]
    assert feed(looped, *second_pass) == [(0, 0, None)]
    assert feed(looped, ("depth", 66), ("labels", 66)) == [(66, 66, None)]
