"""Class maps: those that ship, and what is wrong with others."""

import re
from pathlib import Path

import pytest
import torch
import yaml

from mpvss_model import ConfigError
from mpvss_model.labelling import ClassMapping
from mpvss_model.labelling.class_mapping import shipped_mappings
from mpvss_model.segmentor.config_file import read_config
from mpvss_model.segmentor.shipped_models import model_location

# What several libraries call some of ADE20K's classes.
ADE_VARIANTS = {
    "windowpane": "window ",
    "bathtub": "tub",
    "railing": "rail",
    "television receiver": "tv",
    "airplane": "plane",
    "apparel": "clothes",
    "swimming pool": "pool",
    "waterfall": "falls",
    "ashcan": "trash can",
    "streetlight": "street lamp",
    "road": "road, route",
    "screen door": "screen door, screen",
    "blind": "blind, screen",
    "toilet": "toilet, can, commode, crapper, pot, potty, stool, throne",
}


def first_names(name):
    return [key.split(",")[0] for key in ClassMapping.open(name).sources]


@pytest.mark.parametrize(("name", "count"), [("ade20k-rooms", 150), ("coco-rooms", 133)])
def test_a_shipped_map_names_each_class_of_its_data_set_once(name, count):
    mapping = ClassMapping.open(name)
    assert len(mapping.sources) == count
    targets = {target for target in mapping.sources.values() if target}
    rooms = read_config(model_location("rooms-lite"))["segmentor"]["id2label"]
    assert mapping.classes == tuple(rooms.values())
    assert targets == set(mapping.classes)
    assert len(mapping.indices(first_names(name), "teacher")) == count


def test_the_shipped_maps_are_those_of_the_folder():
    assert shipped_mappings() == ("ade20k-rooms", "coco-rooms")


def test_classes_of_ade20k_are_known_by_all_of_their_names():
    mapping = ClassMapping.open("ade20k-rooms")
    names = first_names("ade20k-rooms")
    variants = [ADE_VARIANTS.get(name, name.upper().replace(" ", "_")) for name in names]
    assert mapping.indices(variants, "teacher") == mapping.indices(names, "teacher")


@pytest.mark.parametrize(
    ("name", "theirs", "ours"),
    [
        ("ade20k-rooms", "swivel chair", "seat"),
        ("ade20k-rooms", "chest of drawers", "storage"),
        ("ade20k-rooms", "blind", "window"),
        ("ade20k-rooms", "curtain", "other"),
        ("ade20k-rooms", "pillow", None),
        ("ade20k-rooms", "sky", None),
        ("coco-rooms", "couch", "seat"),
        ("coco-rooms", "wall-tile", "wall"),
        ("coco-rooms", "door-stuff", "door"),
        ("coco-rooms", "potted plant", "plant"),
    ],
)
def test_shipped_maps_follow_the_labels_of_photographs(name, theirs, ours):
    mapping = ClassMapping.open(name)
    (index,) = [i for key, i in zip(first_names(name), mapping.indices(first_names(name), "t"), strict=True) if key == theirs]
    assert index == (None if ours is None else mapping.classes.index(ours))


def test_scores_of_merged_classes_add_up_and_the_last_column_is_what_is_left_out():
    mapping = ClassMapping("m", ("seat", "other"), {"chair": "seat", "sofa": "seat", "sky": None, "*": "other"})
    matrix = mapping.matrix(("sofa", "lamp", "chair", "sky"), "teacher")
    assert (torch.tensor([0.1, 0.2, 0.3, 0.4]) @ matrix).tolist() == pytest.approx([0.4, 0.2, 0.4])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes: [a]\nfrom: {background: a, robot: a, wal: a}", "names wal, which model 'tiny' does not have"),
        ("classes: [a]\nfrom: {background: a}", "does not say what becomes of robot, wall of model 'tiny'"),
        ("classes: [a]\nfrom: {'background, robot': a, robot: a, wall: a}", "names 'robot' twice"),
        ("classes: [a]\nfrom: {background: b, '*': a}", "'background' becomes 'b', which is none of its classes (a)"),
        ("classes: [a, a]\nfrom: {'*': a}", "1 to 255 different names"),
        ("classes: a\nfrom: {'*': a}", "classes must be a list of names, got 'a'"),
        ("classes: [a]\nfrom: {no: a}", "from must lead from names to names or null, got False: 'a'; quote"),
        ("classes: [a]", "must have the two entries classes, a list, and from, a mapping"),
        ("classes: [a", "is no valid YAML file"),
    ],
)
def test_what_is_wrong_with_a_map_is_said_in_one_line(tmp_path, text, message):
    path = tmp_path / "map.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        ClassMapping.open(path).indices(("background", "robot", "wall"), "tiny")
    assert "\n" not in str(caught.value)


def test_a_map_that_does_not_exist_names_those_that_ship():
    with pytest.raises(ConfigError, match="no class map 'rooms'.* ade20k-rooms, coco-rooms"):
        ClassMapping.open("rooms")


def test_shipped_maps_are_yaml_that_people_can_copy():
    for name in shipped_mappings():
        path = Path(__file__).parents[3] / "mpvss_model" / "labelling" / "class_maps" / f"{name}.yaml"
        assert set(yaml.safe_load(path.read_text())) == {"classes", "from"}
