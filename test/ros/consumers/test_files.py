"""The files for those who read the labels, read back as they read them."""

from pathlib import Path

import pytest
import yaml
from rclpy.node import Node

from mpvss_model import ConfigError
from mpvss_model.data.rooms.catalogue import CLASS_NAMES
from mpvss_model.overlay import PALETTE
from mpvss_ros.consumers.files import CONSUMERS
from mpvss_ros.consumers.label_space import ROLES, roles_of
from mpvss_ros.consumers.yaml_text import yaml_text

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


# Texts that YAML, C or the CSV would read as something else, each beside one that they would not.
STRANGE = ("on", "No", "y", "N", "null", "~", "1e3", "0x10", "0o7", "1_0", ".5", "inf", "-.Inf", "nan", "12:30", "=", "<<")
STRANGE += (
    "- a",
    "a: b",
    "# a",
    "&a",
    "*",
    "it's",
    'the "one"',
    "\u65e5\u672c \U0001f600",
    "tab\tx",
    "two\nlines",
    " blank ",
    "onion",
)


@pytest.fixture
def read_by_rcl(tmp_path):
    """The parameters of a file as rcl reads them for the nodes of others."""

    def read(text, name):
        (tmp_path / "their.yaml").write_text(text, encoding="utf-8")
        node = Node(
            name,
            cli_args=["--ros-args", "--params-file", str(tmp_path / "their.yaml")],
            automatically_declare_parameters_from_overrides=True,
        )
        values = {key: node.get_parameter(key).value for key in node._parameters}
        node.destroy_node()
        return values

    return read


def test_names_reach_the_nodes_of_others_as_texts(read_by_rcl):
    # Each in a list of its own: rcl refuses those of several types, but not one of another.
    lists = {f"list{i}": [name] for i, name in enumerate(STRANGE)}
    assert read_by_rcl(yaml_text({"/theirs": {"ros__parameters": lists}}), "theirs").items() >= lists.items()
    text = CONSUMERS["nav2"].files(STRANGE)["nav2_costmap.yaml"]
    indented = "\n".join("    " + line for line in text.splitlines())
    values = read_by_rcl(f"local_costmap:\n  ros__parameters:\n{indented}\n", "local_costmap")
    assert values["semantic_segmentation_layer.camera.obstacle.classes"] == [*STRANGE]
    assert values["semantic_segmentation_layer.camera.obstacle.max_cost"] == 254


def test_hydra_has_a_line_for_each_class_whatever_its_name():
    files = CONSUMERS["hydra"].files(STRANGE)
    assert [entry["name"] for entry in yaml.safe_load(files["label_space.yaml"])["label_names"]] == [*STRANGE]
    colors = read_csv(files["colors.csv"])
    assert [row["id"] for row in colors] == [str(i) for i in range(len(STRANGE))]
    assert colors[STRANGE.index("two\nlines")]["name"] == "two lines"


def test_a_data_set_of_many_classes_is_written_whole(read_by_rcl):
    names = tuple(f"class {i}, of many" for i in range(150))
    text = CONSUMERS["elevation_mapping"].files(names)["elevation_mapping.yaml"]
    assert read_by_rcl(text, "elevation_mapping_node")["subscribers.mpvss.channels"] == [*names]
    assert len(read_csv(CONSUMERS["hydra"].files(names)["colors.csv"])) == 150


def test_roles_name_classes_that_have_commas_and_blanks():
    names = {0: "door, double door", 1: "door", 2: "bed ", 3: "wall"}
    found = roles_of(names, {"objects": ("door", "double door", "bed"), "invalid": ("wall", "door")})
    assert (found["objects"], found["invalid"]) == ((0, 2), (1, 3))
    with pytest.raises(ConfigError, match="--objects names the class 'double door', which is not published"):
        roles_of(names, {"objects": ("double door",)})


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
