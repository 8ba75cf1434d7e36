import numpy as np
import pytest

from mpvss_model import ConfigError
from mpvss_ros.node.class_map import ClassMap, parse_entries

CLASSES = ("wall", "floor", "chair", "person")
ALL_LABELS = np.array([[0, 1, 2, 3, 255]], np.uint8)


@pytest.mark.parametrize(
    "entries, names, labels",
    [
        ((), CLASSES, [0, 1, 2, 3, 255]),
        (("floor=ground",), ("wall", "ground", "chair", "person"), [0, 1, 2, 3, 255]),
        (("wall=obstacle", "chair=obstacle"), ("obstacle", "floor", "person"), [0, 1, 0, 2, 255]),
        (("wall=chair",), ("chair", "floor", "person"), [0, 1, 0, 2, 255]),
        (("floor=ground", "*=obstacle"), ("obstacle", "ground"), [0, 1, 0, 0, 255]),
        (("person=", "wall=b"), ("b", "floor", "chair"), [0, 1, 2, 255, 255]),
        (("floor = free space", "*="), ("free space",), [255, 0, 255, 255, 255]),
        (("wall=floor", "floor=wall"), ("floor", "wall", "chair", "person"), [0, 1, 2, 3, 255]),
        (("?person=human", "?rider=human", "*="), ("human",), [255, 255, 255, 0, 255]),
        (("?rider=human", "*="), (), [255, 255, 255, 255, 255]),
        (("?wall=", "? floor = ground"), ("ground", "chair", "person"), [255, 0, 1, 2, 255]),
    ],
)
def test_classes_are_merged_renamed_and_left_out(entries, names, labels):
    class_map = ClassMap(CLASSES, entries)
    assert class_map.names == names
    mapped = class_map(ALL_LABELS)
    assert mapped.tolist() == [labels] and mapped.dtype == np.uint8


def test_each_published_index_is_that_of_its_name():
    class_map = ClassMap(CLASSES, ("chair=thing", "person=thing", "wall=thing"))
    for index, name in enumerate(CLASSES):
        (published,) = class_map(np.array([index], np.uint8))
        assert class_map.names[published] == ("floor" if name == "floor" else "thing")


@pytest.mark.parametrize(
    ("entries", "names", "labels"),
    [
        ((), ("door", "wall", "door"), [0, 1, 2]),
        (("wall=barrier",), ("door", "barrier", "door"), [0, 1, 2]),
        (("wall=door",), ("door",), [0, 0, 0]),
        (("door=exit",), ("exit", "wall"), [0, 1, 0]),
        (("wall=", "*=other"), ("other",), [0, 255, 0]),
    ],
)
def test_classes_of_one_name_stay_apart_unless_an_entry_merges_them(entries, names, labels):
    class_map = ClassMap(("door", "wall", "door"), entries)
    assert class_map.names == names
    assert class_map(np.array([[0, 1, 2]], np.uint8)).tolist() == [labels]


@pytest.mark.parametrize(
    ("classes", "entries", "names"),
    [
        (("wall", "window "), ("window =glass",), ("wall", "glass")),
        (("wall", "window "), ("window=glass",), ("wall", "glass")),
        (("window", "window "), ("window =glass", "window=opening"), ("opening", "glass")),
        (("wall", "a=b"), ("a=b=x",), ("wall", "x")),
        (("wall", "a=b", "a=c"), ("a=b = x", "a=c = y"), ("wall", "x", "y")),
        (("a", "b"), ("a=b=x",), ("b=x", "b")),
        (("a", "a=b"), ("a=b=x", "a=y"), ("y", "x")),
        (("a=", "b"), ("a==x", " * =y"), ("x", "y")),
    ],
)
def test_names_of_the_model_may_hold_blanks_and_equals_signs(classes, entries, names):
    assert parse_entries(entries)  # as the parameter is checked before there is a model
    assert ClassMap(classes, entries).names == names


def test_a_class_whose_name_begins_with_a_question_mark_is_meant_itself():
    assert ClassMap(("?", "?a", "a"), ("?a=b",)).names == ("?", "b", "a")


@pytest.mark.parametrize(
    ("entries", "names", "groups"),
    [
        ((), (), np.eye(4)),
        ((), ("person", "wall"), [[0, 1], [0, 0], [0, 0], [1, 0]]),
        (("chair=thing", "person=thing", "wall="), (), [[0, 0], [1, 0], [0, 1], [0, 1]]),
        (("chair=thing", "person=thing", "wall="), ("thing",), [[0], [0], [1], [1]]),
        (("*=",), (), np.empty((4, 0))),
    ],
)
def test_it_tells_which_classes_of_the_model_make_up_the_published_ones(entries, names, groups):
    np.testing.assert_array_equal(ClassMap(CLASSES, entries).groups(names), np.float32(groups))


def test_classes_of_one_name_have_their_scores_together():
    class_map = ClassMap(("door", "wall", "door"))
    assert class_map.groups(("door",)).tolist() == [[1], [0], [1]]
    assert class_map.groups().tolist() == np.eye(3).tolist()


def test_scores_of_what_is_not_published_are_refused_with_what_is():
    with pytest.raises(ConfigError, match="'score_classes' names the class 'chair', which is not published.* wall, floor$"):
        ClassMap(CLASSES, ("chair=", "person=")).groups(("floor", "chair"))


@pytest.mark.parametrize(
    "entries, message",
    [
        (("ground=floor",), "the class 'ground', which the model does not have; its classes are wall, floor, chair, person"),
        (("wall",), "must be a list of 'class=name', got 'wall'"),
        (("=wall",), "must be a list of 'class=name', got '=wall'"),
        (("wall=a", "wall=b"), "must name each class once, got 'wall=b' after wall=a"),
    ],
)
def test_wrong_entries_are_refused_by_name(entries, message):
    with pytest.raises(ConfigError, match=message):
        ClassMap(CLASSES, entries)
