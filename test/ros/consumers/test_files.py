"""The files for those who read the labels, read back as they read them."""

from pathlib import Path

import pytest
import yaml

from mpvss_model import ConfigError
from mpvss_model.data.rooms.catalogue import CLASS_NAMES
from mpvss_model.overlay import PALETTE
from mpvss_ros.consumers.files import CONSUMERS
from mpvss_ros.consumers.label_space import ROLES, roles_of

ROOT = Path(__file__).parents[3]
PROFILES = ROOT / "config" / "profiles"
PAGES = ROOT / "docs" / "consumers"
CLASSES = ("wall", "floor", "ceiling", "door, double door", "person", "chair")


def read_csv(text):
    """As Hydra's CsvReader does: split at commas, the first line names the columns."""
    rows = [line.split(",") for line in text.splitlines()]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


@pytest.mark.parametrize("name", CONSUMERS)
def test_files_are_about_the_label_images_of_the_profile(name):
    profile = yaml.safe_load((PROFILES / f"{name}.yaml").read_text())["parameters"]
    consumer = CONSUMERS[name]
    assert [*consumer.class_map] == [entry for entry in profile["class_map"] if entry]
    assert (consumer.label_encoding, consumer.unlabeled_id) == (
        profile.get("label_encoding", "mono8"),
        profile.get("unlabeled_id", 255),
    )


def test_hydra_gets_a_label_space_of_all_classes():
    files = CONSUMERS["hydra"].files(CLASSES, roles={"invalid": ("ceiling",)})
    space = yaml.safe_load(files["label_space.yaml"])
    assert space == {
        "total_semantic_labels": 6,
        "dynamic_labels": [4],
        "invalid_labels": [2],
        "object_labels": [3, 5],
        "surface_places_labels": [1],
        "label_names": [{"label": i, "name": name} for i, name in enumerate(CLASSES)],
    }
    assert "surface_places_labels: [1]\n" in files["label_space.yaml"]
    colors = read_csv(files["colors.csv"])
    assert list(colors[0]) == ["name", "red", "green", "blue", "alpha", "id"]
    assert [int(row["id"]) for row in colors] == list(range(6)) and colors[3]["name"] == "door; double door"
    for row in colors:
        assert [int(row[c]) for c in ("red", "green", "blue")] == PALETTE[int(row["id"])].tolist() and row["alpha"] == "255"


def test_hydra_knows_pixels_without_a_class_where_they_have_an_id_of_their_own():
    files = CONSUMERS["hydra"].files(CLASSES, class_map=("?floor=ground", "*=other"), unlabeled_id=0)
    space = yaml.safe_load(files["label_space.yaml"])
    assert space["total_semantic_labels"] == 3
    assert {entry["label"]: entry["name"] for entry in space["label_names"]} == {0: "unlabeled", 1: "other", 2: "ground"}
    assert (space["object_labels"], space["surface_places_labels"]) == ([], [2])
    black, *others = read_csv(files["colors.csv"])
    assert black == {"name": "unlabeled", "red": "0", "green": "0", "blue": "0", "alpha": "255", "id": "0"}
    # The first class has the overlay's first colour, whatever its id.
    assert [int(others[0][c]) for c in ("red", "green", "blue")] == PALETTE[0].tolist()


def test_nav2_finds_each_class_in_one_type_and_nothing_overhead():
    layer = yaml.safe_load(CONSUMERS["nav2"].files(CLASSES)["nav2_costmap.yaml"])["semantic_segmentation_layer"]
    assert layer["plugin"] == "semantic_segmentation_layer::SemanticSegmentationLayer"
    camera = layer[layer["observation_sources"]]
    assert (camera["segmentation_topic"], camera["labels_topic"]) == ("/mpvss/labels", "/mpvss/label_info")
    types = {name: camera[name] for name in camera["class_types"]}
    assert {name: values["classes"] for name, values in types.items()} == {
        "traversable": ["floor"],
        "obstacle": ["wall", "door, double door", "chair"],
        "moving": ["person"],
    }
    for values in types.values():
        costs = [values[key] for key in ("base_cost", "max_cost", "mark_confidence", "samples_to_max_cost")]
        assert all(isinstance(cost, int) and 0 <= cost <= 255 for cost in costs) and isinstance(
            values["dominant_priority"], bool
        )


def test_nav2_gets_no_type_without_classes():
    layer = yaml.safe_load(CONSUMERS["nav2"].files(("wall", "floor"))["nav2_costmap.yaml"])["semantic_segmentation_layer"]
    assert layer["camera"]["class_types"] == ["traversable", "obstacle"] and "moving" not in layer["camera"]


def test_elevation_mapping_gets_a_channel_for_each_class_in_order():
    text = CONSUMERS["elevation_mapping"].files(CLASSES)["elevation_mapping.yaml"]
    parameters = yaml.safe_load(text)["/elevation_mapping_node"]["ros__parameters"]
    subscriber = parameters["subscribers"]["mpvss"]
    assert subscriber == {
        "topic_name": "/mpvss/class_scores",
        "camera_info_topic_name": "/mpvss/camera_info",
        "channels": list(CLASSES),
        "data_type": "image",
    }


@pytest.mark.parametrize("name", ["nav2", "elevation_mapping"])
def test_the_page_shows_what_is_written_for_the_shipped_model(name):
    (text,) = CONSUMERS[name].files(CLASS_NAMES).values()
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    shown = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    if name == "nav2":
        layer = shown["local_costmap"]["local_costmap"]["ros__parameters"]["semantic_segmentation_layer"]
        assert layer == yaml.safe_load(text)["semantic_segmentation_layer"]
    else:
        subscribers = (
            tree["/elevation_mapping_node"]["ros__parameters"]["subscribers"]["mpvss"]
            for tree in (shown, yaml.safe_load(text))
        )
        assert next(subscribers) == next(subscribers)


def test_roles_are_guessed_only_where_they_are_not_given():
    names = dict(enumerate(CLASSES))
    guessed = roles_of(names, {})
    assert set(guessed) == set(ROLES) and guessed["invalid"] == ()
    assert roles_of(names, {"objects": ("person",), "dynamic": ()}) == guessed | {"objects": (4,), "dynamic": ()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"roles": {"objects": ("lawn",)}}, "--objects names the class 'lawn', which is not published; .* wall, floor"),
        ({"class_map": ("lawn=x",)}, "names the class 'lawn', which the model does not have"),
        ({"unlabeled_id": 70_000}, "'unlabeled_id' must be in"),
    ],
)
def test_what_is_not_there_is_refused_by_name(options, message):
    with pytest.raises(ConfigError, match=message):
        CONSUMERS["hydra"].files(CLASSES, **options)
