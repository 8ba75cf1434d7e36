"""What there is to look at: the demo's launch file, and the views of rviz and Foxglove."""

import json

import pytest
import yaml

from mpvss_ros.bags.bag import Bag
from mpvss_ros.cloud.cloud_node import CloudNode
from mpvss_ros.cloud.layout import LAYOUT
from mpvss_ros.cloud.parameters import PARAMETERS as CLOUD_PARAMETERS
from mpvss_ros.cloud.parameters import CloudConfig
from mpvss_ros.node.parameters import PARAMETERS as NODE_PARAMETERS
from mpvss_ros.replay.replay_node import PARAMETERS as REPLAY_PARAMETERS

from .test_launch import LAUNCH_FILE, loaded, parameters, ros2_launch

DEMO = LAUNCH_FILE.with_name("demo.launch.py")
ROOT = LAUNCH_FILE.parents[1]
RVIZ = ROOT / "config" / "rviz" / "mpvss.rviz"
BAG = ROOT / "mpvss_ros" / "samples" / "rooms"
FOXGLOVE = ROOT / "config" / "foxglove" / "mpvss.json"
# Which messages each kind of display and panel shows, of those that are used.
IMAGES = {"sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"}
SHOWN = {
    "rviz_default_plugins/Image": IMAGES,
    "rviz_default_plugins/PointCloud2": {"sensor_msgs/msg/PointCloud2"},
    "Image": IMAGES,
    "3D": {"sensor_msgs/msg/PointCloud2"},
    "DiagnosticSummary": {"diagnostic_msgs/msg/DiagnosticArray"},
}


# -- what is shown ------------------------------------------------------------------------------------------------------------


def rviz_displays():
    return yaml.safe_load(RVIZ.read_text())["Visualization Manager"]["Displays"]


def rviz_topics():
    """Topic and kind of each display that has one."""
    return [(display["Topic"]["Value"], display["Class"]) for display in rviz_displays() if "Topic" in display]


def foxglove_topics():
    """Topic and kind of each panel, of the 3D panel for each layer."""
    found = []
    for name, panel in json.loads(FOXGLOVE.read_text())["configById"].items():
        topics = [*panel.get("topics", {}), panel.get("imageMode", {}).get("imageTopic"), panel.get("topicToRender")]
        found += [(topic, name.partition("!")[0]) for topic in topics if topic]
    return found


@pytest.fixture
def published(peer, start_node):
    """Types of all topics that the demo's nodes and the clip publish, by name."""
    start_node()
    cloud = CloudNode(cli_args=["--ros-args", "-r", "depth:=/d", "-r", "image:=/i", "-r", "camera_info_in:=/c"])
    names = {"/mpvss/points", "/mpvss/overlay", "/mpvss/camera_info"}
    try:
        peer.spin_until(lambda: all(peer.count_publishers(name) for name in names))
        topics = {name: types[0] for name, types in peer.get_topic_names_and_types() if peer.count_publishers(name)}
    finally:
        cloud.destroy_node()
    return topics | {name: topic.type_name for name, topic in Bag(BAG).topics.items()}


def test_everything_that_is_shown_is_published_and_of_a_type_that_can_be_shown(published):
    shown = [*rviz_topics(), *foxglove_topics()]
    assert {topic for topic, _ in rviz_topics()} >= {"/mpvss/color", "/mpvss/overlay", "/mpvss/confidence", "/mpvss/points"}
    assert {topic for topic, _ in foxglove_topics()} >= {"/mpvss/overlay", "/mpvss/points", "/diagnostics"}
    wrong = [(topic, kind) for topic, kind in shown if published.get(topic) not in SHOWN[kind]]
    assert not wrong


def test_frames_of_the_views_are_those_of_the_clip():
    clip = Bag(BAG)
    frames = {
        frame
        for topic in ("/tf", "/tf_static")
        for message in clip.messages(topic)
        for transform in message.transforms
        for frame in (transform.header.frame_id, transform.child_frame_id)
    }
    manager = yaml.safe_load(RVIZ.read_text())["Visualization Manager"]
    panel = json.loads(FOXGLOVE.read_text())["configById"]["3D!cloud"]
    used = {manager["Global Options"]["Fixed Frame"], manager["Views"]["Current"]["Target Frame"], panel["followTf"]}
    used |= {layer["frameId"] for layer in panel["layers"].values()}
    assert used <= frames


def test_each_panel_has_its_place_in_the_layout():
    contents = json.loads(FOXGLOVE.read_text())

    def places(node):
        if isinstance(node, str):
            return [node]
        assert node["direction"] in ("row", "column") and 0 < node["splitPercentage"] < 100
        return places(node["first"]) + places(node["second"])

    assert sorted(places(contents["layout"])) == sorted(contents["configById"])


def test_clouds_are_coloured_by_fields_that_they_have():
    fields = {name for name, *_ in LAYOUT}
    (cloud,) = json.loads(FOXGLOVE.read_text())["configById"]["3D!cloud"]["topics"].values()
    channels = {display["Channel Name"] for display in rviz_displays() if "Channel Name" in display}
    assert cloud["colorField"] in fields and channels == {"probability"} <= fields


# -- the launch file ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def demo(monkeypatch):
    """The launch file over stand-ins of ``launch``; on a machine that has the viewers."""
    module = loaded(DEMO, monkeypatch)
    monkeypatch.setattr(module, "installed", lambda package: True)
    return module


def start(module, **given):
    """What is started, nodes by executable."""
    values = {name: default for name, default, _ in module.ARGUMENTS} | {"rviz": "false"} | given
    return {getattr(action, "executable", "hint"): action for action in module.start(values)}


def test_it_replays_the_shipped_clip_through_the_nodes(demo):
    actions = start(demo)
    assert set(actions) == {"segmentation_node", "cloud_node", "replay_node", "hint"}
    clip = Bag(parameters(actions["replay_node"])["bag"])
    remapped = dict(actions["cloud_node"].remappings)
    assert remapped["depth"] in clip.topics and remapped["camera_info_in"] in clip.topics
    assert dict(actions["segmentation_node"].remappings)["image"] == remapped["image"]
    assert remapped["image"] + "/compressed" == clip.image_topic(None)


def test_parameters_are_the_nodes_own_and_all_follow_the_clips_time(demo):
    actions = start(demo, model="rooms-lite", rate="2")
    known = {"segmentation_node": NODE_PARAMETERS, "cloud_node": CLOUD_PARAMETERS, "replay_node": REPLAY_PARAMETERS}
    for executable, table in known.items():
        given = {name for name in parameters(actions[executable]) if not name.startswith("qos_overrides.")}
        assert given <= {row.name for row in table} | {"use_sim_time"}
    assert parameters(actions["replay_node"])["publish_clock"] and parameters(actions["replay_node"])["rate"] == 2.0
    assert parameters(actions["segmentation_node"])["model"] == "rooms-lite"
    for executable in ("segmentation_node", "cloud_node"):
        assert parameters(actions[executable])["use_sim_time"]
    assert CloudConfig(colors=parameters(actions["cloud_node"])["colors"]).colors == "classes"


def test_the_replay_waits_for_the_node_that_listens_reliably(demo, start_node):
    actions = start(demo)
    node = actions["segmentation_node"]
    assert parameters(actions["replay_node"])["wait_for_node"] == f"/{node.namespace}/{node.name}"
    given = {name: value for name, value in parameters(node).items() if name not in ("use_sim_time", "model")}
    started = start_node("-r", "image:=" + dict(node.remappings)["image"], mode="realtime", **given)
    (image, _) = started._cameras[0]._subscriptions
    assert (image.topic_name, image.qos_profile.reliability.name) == (Bag(BAG).image_topic(None), "RELIABLE")


def test_viewers_are_started_with_what_is_shipped_for_them(demo):
    actions = start(demo, rviz="true", foxglove="true")
    assert actions["rviz2"].arguments == ["-d", str(RVIZ)] and parameters(actions["rviz2"])["use_sim_time"]
    assert "foxglove_bridge" in actions and "hint" not in actions


@pytest.mark.parametrize("loop", [True, False])
def test_the_clip_is_replayed_again_unless_that_is_not_wanted(demo, loop):
    assert parameters(start(demo, loop=str(loop))["replay_node"])["loop"] is loop


def test_everything_ends_with_the_labels_or_with_the_clip(demo):
    actions = start(demo)
    ending = {name for name, action in actions.items() if type(getattr(action, "on_exit", None)).__name__ == "Shutdown"}
    assert ending == {"segmentation_node", "replay_node"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rviz": "yes"}, "rviz:=yes must be true or false"),
        ({"loop": "3"}, "loop:=3 must be true or false"),
        ({"rate": "0"}, "rate:=0 must be a number above 0"),
        ({"rate": "fast"}, "rate:=fast must be a number above 0"),
    ],
)
def test_wrong_values_end_with_one_line(demo, given, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        start(demo, **given)


@pytest.mark.parametrize(("argument", "package"), [("rviz", "rviz2"), ("foxglove", "foxglove_bridge")])
def test_a_viewer_that_is_not_installed_is_one_line_with_the_way_out(demo, monkeypatch, argument, package):
    monkeypatch.setattr(demo, "installed", lambda package: False)
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    debian = f"ros-jazzy-{package.replace('_', '-')}"
    with pytest.raises(ValueError, match=f"^{argument}:=true needs {package}, .* sudo apt install {debian}$"):
        start(demo, **{argument: "true"})


def test_it_is_installed_with_its_views():
    setup = (ROOT / "setup.py").read_text()
    for name in ('"demo"', "config/rviz/mpvss.rviz", "config/foxglove/mpvss.json"):
        assert name in setup


def test_the_real_launch_library_takes_it_and_names_what_nobody_reads():
    exit_code, output = ros2_launch(DEMO, "lopp:=false", "rate:=fast")
    assert exit_code == 1 and "rate:=fast must be a number above 0" in output and "Traceback" not in output
    assert output.count("unknown launch argument 'lopp' has no effect: did you mean 'loop'?") == 1
