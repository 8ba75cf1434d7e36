from mpvss_model.class_names import distinct_names


def test_only_names_that_repeat_are_changed():
    assert distinct_names(("wall", "floor")) == ("wall", "floor")
    assert distinct_names(("door", "wall", "door")) == ("door [0]", "wall", "door [2]")
