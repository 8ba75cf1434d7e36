"""Which classes are things: given, or known from the data sets that models are trained on."""

import pytest

from mpvss_model import CheckpointError, ConfigError
from mpvss_model.instances.thing_classes import thing_classes
from mpvss_model.segmentor.config_file import listed_things

COCO = ("person", "bicycle", *(f"class {i}" for i in range(131)))
ADE20K = ("wall", *(f"class {i}" for i in range(148)), "flag")
CITYSCAPES = (
    *(
        "road",
        "sidewalk",
        "building",
        "wall",
        "fence",
        "pole",
        "traffic light",
        "traffic sign",
        "vegetation",
        "terrain",
        "sky",
    ),
    *("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
)


@pytest.mark.parametrize(
    ("names", "model_name", "things"),
    [
        (COCO, "my-model", set(range(80))),
        (COCO[:80], "facebook/mask2former-swin-tiny-coco-instance", set(range(80))),
        (CITYSCAPES, "facebook/mask2former-swin-tiny-cityscapes-panoptic", set(range(11, 19))),
        (CITYSCAPES, "facebook/mask2former-swin-tiny-cityscapes-semantic", set()),
        (CITYSCAPES[11:], "facebook/mask2former-swin-tiny-cityscapes-instance", set(range(8))),
        (ADE20K, "facebook/mask2former-swin-large-ade-semantic", set()),
        (("wall", "person"), "my-panoptic-model", set()),
    ],
)
def test_things_of_known_data_sets(names, model_name, things):
    assert thing_classes(names, model_name=model_name) == things


def test_a_hundred_of_the_classes_of_ade20k_are_things():
    things = thing_classes(ADE20K, model_name="facebook/mask2former-swin-large-ade-panoptic")
    assert len(things) == 100 and {7, 12, 19} <= things and not {0, 3, 5, 28} & things  # bed, person, chair; wall, floor, ...


def test_what_is_given_counts_by_name_or_index_and_a_name_for_all_classes_that_have_it():
    assert thing_classes(("wall", "door", "seat", "door"), ("door", 2)) == {1, 2, 3}
    assert thing_classes(COCO, ("person",)) == {0}
    for unknown in ("lamp", 4, -1, True):
        with pytest.raises(ConfigError, match=f"names the class {unknown!r}.*wall, door, seat, door"):
            thing_classes(("wall", "door", "seat", "door"), (unknown,))


def test_a_configuration_says_which_classes_are_things():
    assert listed_things({"thing_classes": ["seat", 3]}, "m") == ("seat", 3)
    assert listed_things({}, "m") == listed_things({"thing_classes": None}, "m") == ()
    for wrong in ("seat", [1.5], [True], {"seat": 1}):
        with pytest.raises(CheckpointError, match="thing_classes must be a list of names or indices"):
            listed_things({"thing_classes": wrong}, "m")
