"""The launch file: what it hands on to the node, and what it refuses."""

import importlib.util
import subprocess
import sys
import types
from pathlib import Path

import pytest
import yaml

from mpvss_ros.node.class_map import ClassMap
from mpvss_ros.node.parameters import PARAMETERS, checked_config
from mpvss_ros.process.parameter_files import matches, parameter_blocks

LAUNCH_FILE = Path(__file__).parents[2] / "launch" / "segment.launch.py"
STAND_INS = {
    "launch": ("LaunchDescription",),
    "launch.actions": ("DeclareLaunchArgument", "LogInfo", "OpaqueFunction", "Shutdown"),
    "launch.substitutions": (),
    "launch_ros": (),
    "launch_ros.actions": ("Node",),
    "launch_ros.parameter_descriptions": ("ParameterValue",),
}


class LaunchConfiguration:
    """Takes an argument's value from a dictionary."""

    def __init__(self, name):
        self.name = name

    def perform(self, context):
        return context[self.name]


def record(self, *args, **kwargs):
    self.__dict__.update(args=args, **kwargs)


def loaded(path, monkeypatch):
    """A launch file as a module, over classes that only note what they are given: ``launch`` is not on PyPI."""
    for name, classes in STAND_INS.items():
        module = types.ModuleType(name)
        module.__dict__.update({cls: type(cls, (), {"__init__": record}) for cls in classes})
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules["launch.substitutions"].LaunchConfiguration = LaunchConfiguration
    spec = importlib.util.spec_from_file_location(path.stem.replace(".", "_"), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def launch_file(monkeypatch):
    return loaded(LAUNCH_FILE, monkeypatch)


@pytest.fixture
def start(launch_file):
    """Call ``start_node`` with some arguments given; returns the node."""

    def start(*, outer_namespace="", outer_parameters=(), **given):
        values = {name: default for name, default, _ in launch_file.ARGUMENTS} | given
        return launch_file.start_node(values, outer_namespace=outer_namespace, outer_parameters=outer_parameters)[0]

    return start


def parameters(node):
    """What the node gets by name, the parameter files left out."""
    values = node.parameters[-1] if node.parameters and isinstance(node.parameters[-1], dict) else {}
    return {name: getattr(value, "args", (value,))[0] for name, value in values.items()}


def write(path, text):
    path.write_text(text)
    return str(path)


def test_what_is_not_given_is_left_to_the_node(start):
    node = start()
    assert node.parameters == []
    assert dict(node.remappings) == {"image": "/camera/image_raw", "camera_info_in": "/camera/camera_info"}
    assert node.ros_arguments == ["--log-level", "info"]
    assert not node.respawn


def test_arguments_that_are_given_come_after_the_parameter_file(start, tmp_path):
    file = write(tmp_path / "my.yaml", "/**: {ros__parameters: {use_sim_time: true, model: other}}")
    node = start(params_file=file, use_sim_time="False", autostart="true", model="rooms-lite", device="cpu")
    assert node.parameters[0] == file
    assert parameters(node) == {"use_sim_time": False, "autostart": True, "model": "rooms-lite", "device": "cpu"}


@pytest.mark.parametrize(
    ("image", "camera_info"),
    [
        ("/camera/color/image_raw", "/camera/color/camera_info"),
        ("/camera/color/image_rect_color", "/camera/color/camera_info"),
        ("/camera/color/image_raw/compressed", "/camera/color/camera_info"),
        ("/{camera}/rgb/image", "/camera/rgb/camera_info"),
        ("/image", "/camera_info"),
        ("image", "camera_info"),
    ],
)
def test_camera_info_is_beside_the_image(start, image, camera_info):
    assert dict(start(image=image).remappings)["camera_info_in"] == camera_info


def test_a_given_camera_info_is_taken(start):
    assert dict(start(image="/a/image_raw", camera_info="/b/camera_info").remappings)["camera_info_in"] == "/b/camera_info"


@pytest.mark.parametrize("text", ["['front','rear']", "[front, rear]", '["front", "", "rear"]'])
def test_each_camera_has_its_topics(start, text):
    node = start(cameras=text, image="/{camera}/color/image_raw")
    assert parameters(node) == {"cameras": ["front", "rear"]}
    assert dict(node.remappings) == {
        "front/image": "/front/color/image_raw",
        "rear/image": "/rear/color/image_raw",
        "front/camera_info_in": "/front/color/camera_info",
        "rear/camera_info_in": "/rear/color/camera_info",
    }


def test_cameras_whose_names_end_their_topics_keep_a_camera_info_each(start):
    node = start(cameras="[front, rear]", image="/images/{camera}")
    assert dict(node.remappings)["rear/camera_info_in"] == "/rear/camera_info"


@pytest.mark.parametrize(
    "text", ["front,rear", "front", "[1, 2]", "{a: 1}", "['front'", "[front cam]", "[a, a]", "['/a']", "[[a]]", "3", "true"]
)
def test_cameras_that_are_no_list_of_names_are_refused(start, text):
    with pytest.raises(ValueError, match="cameras must be a list of different names") as error:
        start(cameras=text)
    assert text in str(error.value) and "\n" not in str(error.value)


def test_several_cameras_need_topics_of_their_own(start):
    with pytest.raises(ValueError, match=r"^image:=/image_raw must contain \{camera\}, since there are 2 cameras$"):
        start(cameras="[front, rear]", image="/image_raw")


@pytest.mark.parametrize(
    "key",
    [
        "/**",
        "'**'",
        "/mpvss/segmentation",
        "mpvss/segmentation",
        "/mpvss/**",
        "/mpvss/*",
        "/*/segmentation",
        "/**/segmentation",
    ],
)
def test_cameras_of_a_parameter_file_get_their_topics(start, tmp_path, key):
    file = write(tmp_path / "my.yaml", f"{key}:\n  ros__parameters:\n    cameras: [front]\n")
    node = start(params_file=file)
    assert parameters(node) == {"cameras": ["front"]}
    assert dict(node.remappings) == {"front/image": "/front/image_raw", "front/camera_info_in": "/front/camera_info"}


def test_a_parameter_file_may_nest_namespaces(start, tmp_path):
    file = write(tmp_path / "my.yaml", "mpvss:\n  segmentation:\n    ros__parameters: {cameras: [front]}\n")
    assert "front/image" in dict(start(params_file=file).remappings)


@pytest.mark.parametrize("key", ["segmentation", "/segmentation", "/*", "/other/segmentation", "/mpvss/other", "/mpvss"])
def test_cameras_of_other_nodes_are_not_taken(start, tmp_path, key):
    file = write(tmp_path / "my.yaml", f"{key}:\n  ros__parameters:\n    cameras: [front]\n")
    assert "image" in dict(start(params_file=file).remappings)


@pytest.mark.parametrize(("namespace", "outer"), [("mpvss", "/robot1"), ("/robot1/mpvss", ""), ("robot1/mpvss/", "/")])
def test_a_parameter_file_names_the_node_with_its_namespace(start, tmp_path, namespace, outer):
    file = write(tmp_path / "my.yaml", "/robot1/mpvss/segmentation: {ros__parameters: {cameras: [front]}}")
    assert "front/image" in dict(start(params_file=file, namespace=namespace, outer_namespace=outer).remappings)


def test_a_node_without_namespace_is_found_in_a_parameter_file(start, tmp_path):
    file = write(tmp_path / "my.yaml", "segmentation: {ros__parameters: {cameras: [front]}}")
    assert "front/image" in dict(start(params_file=file, namespace="/").remappings)


def test_of_several_blocks_the_one_that_rcl_takes_counts(start, tmp_path):
    """The order in which keys appear for the first time decides, not how specific they are."""
    whole = "/mpvss/segmentation: {ros__parameters: {cameras: [whole]}}\n"
    wild = "/**: {ros__parameters: {cameras: [wild]}}\n"
    file = write(tmp_path / "my.yaml", whole + wild)
    assert parameters(start(params_file=file)) == {"cameras": ["wild"]}
    assert parameters(start(params_file=file, outer_parameters=(("cameras", ("outer",)),))) == {"cameras": ["whole"]}


def test_parameters_set_around_the_launch_file_count_like_those_of_a_file(start, tmp_path):
    outer = (write(tmp_path / "outer.yaml", "/**: {ros__parameters: {cameras: [front]}}"), ("cameras", ("rear", "top")))
    assert parameters(start(outer_parameters=outer)) == {"cameras": ["rear", "top"]}
    assert parameters(start(outer_parameters=outer[:1])) == {"cameras": ["front"]}


def test_the_argument_wins_over_cameras_of_a_parameter_file(start, tmp_path):
    file = write(tmp_path / "my.yaml", "/**: {ros__parameters: {cameras: [front]}}")
    assert parameters(start(params_file=file, cameras="[rear]")) == {"cameras": ["rear"]}
    node = start(params_file=file, cameras="[]")
    assert parameters(node) == {"cameras": [""]} and "image" in dict(node.remappings)


def test_the_shipped_parameter_file_is_for_one_camera(start):
    node = start(params_file=str(LAUNCH_FILE.parents[1] / "config" / "segment.yaml"))
    assert parameters(node) == {} and "image" in dict(node.remappings)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"params_file": "/no/such.yaml"}, r"params_file:=/no/such.yaml is not a file"),
        ({"use_sim_time": "maybe"}, r"use_sim_time:=maybe must be true or false"),
        ({"autostart": "1"}, r"autostart:=1 must be true or false"),
        ({"respawn": "often"}, r"respawn:=often must be true or false"),
        ({"log_level": "loud"}, r"log_level:=loud must be one of debug, info, warn, error, fatal.*"),
    ],
)
def test_wrong_values_end_with_one_line(start, given, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        start(**given)


@pytest.mark.parametrize(
    "text", ["/**: [", "/**: {ros__parameters: {cameras: front}}", "/**: {ros__parameters: {cameras: [1]}}"]
)
def test_a_parameter_file_that_cannot_be_used_ends_with_one_line(start, tmp_path, text):
    with pytest.raises(ValueError, match="cannot read parameter file|parameter cameras") as error:
        start(params_file=write(tmp_path / "my.yaml", text))
    assert "\n" not in str(error.value)


def test_a_level_for_one_logger(start):
    assert start(log_level="mpvss.segmentation:=debug").ros_arguments == ["--log-level", "mpvss.segmentation:=debug"]


def test_it_starts_again_where_that_is_asked_for(start):
    node = start(respawn="true")
    assert node.respawn and node.respawn_delay > 0.0


# -- profiles of those who read the labels ----------------------------------------------------------------------------------

PROFILES = LAUNCH_FILE.parents[1] / "config" / "profiles"
CONSUMERS = ("elevation_mapping", "hydra", "nav2", "nvblox")


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_a_profile_is_parameters_that_the_node_takes_and_topics_that_it_has(start, consumer):
    node = start(**{"for": consumer})
    contents = yaml.safe_load((PROFILES / f"{consumer}.yaml").read_text())
    assert set(contents) <= {"parameters", "remappings"}
    assert parameters(node) == contents["parameters"]
    defaults = {row.name: row.ros_default for row in PARAMETERS}
    config = checked_config(defaults | contents["parameters"])
    assert config.label_encoding == ("16SC1" if consumer == "hydra" else "mono8")
    # What only some models have is for all models.
    ClassMap(("background", "robot", "wall"), config.class_map_entries)
    outputs = {"labels", "labels/compressed", "color", "class_scores", "confidence", "overlay", "camera_info", "label_info"}
    assert set(contents.get("remappings", {})) <= outputs


def test_the_profiles_are_those_that_are_told_and_installed(launch_file):
    assert sorted(file.stem for file in PROFILES.glob("*.yaml")) == list(CONSUMERS)
    (told,) = [text for name, _, text in launch_file.ARGUMENTS if name == "for"]
    setup = (LAUNCH_FILE.parents[1] / "setup.py").read_text()
    for consumer in CONSUMERS:
        assert consumer in told and f'"{consumer}"' in setup
        assert (LAUNCH_FILE.parents[1] / "docs" / "consumers" / f"{consumer}.md").is_file()


def test_an_unknown_consumer_is_refused_with_the_known_ones(start):
    with pytest.raises(ValueError, match="^for:=kimera must be one of elevation_mapping, hydra, nav2, nvblox$"):
        start(**{"for": "kimera"})


def test_a_profile_sends_labels_where_they_are_read(start):
    assert dict(start(**{"for": "hydra"}).remappings) == {
        "image": "/camera/image_raw",
        "camera_info_in": "/camera/camera_info",
        "labels": "/hydra/input/camera/semantic/image_raw",
        "labels/compressed": "/hydra/input/camera/semantic/image_raw/compressed",
    }
    remappings = dict(start(cameras="[left, right]", **{"for": "nvblox"}).remappings)
    assert remappings["left/labels"] == "/camera_0/mask/image"
    assert remappings["right/labels"] == "/camera_1/mask/image"
    assert remappings["right/camera_info"] == "/camera_1/mask/camera_info"
    assert remappings["right/camera_info_in"] == "/right/camera_info"


@pytest.mark.parametrize("key", ["/**", "/mpvss/segmentation"])
def test_what_is_set_otherwise_wins_over_a_profile(start, tmp_path, key):
    file = write(tmp_path / "my.yaml", f"{key}: {{ros__parameters: {{unlabeled_id: 0, threads: 2}}}}")
    node = start(params_file=file, model="other", **{"for": "hydra"})
    assert node.parameters[0] == file
    assert parameters(node) == {"label_encoding": "16SC1", "class_map": [""], "output_size": [0, 0], "model": "other"}
    outer = (("label_encoding", "mono8"),)
    assert "label_encoding" not in parameters(start(outer_parameters=outer, **{"for": "hydra"}))


def test_parameters_of_other_nodes_do_not_count(start, tmp_path):
    file = write(tmp_path / "my.yaml", "/other: {ros__parameters: {unlabeled_id: 0}}")
    assert parameters(start(params_file=file, **{"for": "hydra"}))["unlabeled_id"] == -1


# -- with the real thing, where ROS is installed --------------------------------------------------------------------------

LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
service = LaunchService(argv=sys.argv[2:])
arguments = [argument.split(":=", 1) for argument in sys.argv[2:]]
source = PythonLaunchDescriptionSource(sys.argv[1])
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)]))
sys.exit(service.run())
"""
AROUND = f"""
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
def generate_launch_description():
    source = PythonLaunchDescriptionSource({str(LAUNCH_FILE)!r})
    return LaunchDescription([DeclareLaunchArgument("imag"), IncludeLaunchDescription(source)])
"""


def ros2_launch(file, *arguments):
    """Launch like ``ros2 launch FILE ARGUMENTS``; returns exit code and output."""
    pytest.importorskip("launch_ros")
    command = [sys.executable, "-c", LAUNCH, str(file), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_unknown_arguments_are_named_and_wrong_ones_end_the_launch():
    exit_code, output = ros2_launch(LAUNCH_FILE, "imag:=/x", "launch-prefix:=time", "cameras:=front")
    assert exit_code == 1
    assert "unknown launch argument 'imag' has no effect: did you mean 'image'?" in output
    assert "cameras:=front: cameras must be a list" in output
    assert "Traceback" not in output and output.count("unknown launch argument") == 1


def test_arguments_of_a_launch_file_around_it_are_not_unknown(tmp_path):
    around = write(tmp_path / "around.launch.py", AROUND)
    exit_code, output = ros2_launch(around, "imag:=/x", "cameras:=front")
    assert exit_code == 1 and "cameras must be a list" in output and "unknown" not in output


SHOW = f"""
import sys
from launch import LaunchContext
from launch.launch_description_sources import get_launch_description_from_python_launch_file as read
context = LaunchContext(argv=sys.argv[1:])
for argument in sys.argv[1:]:
    name, _, value = argument.partition(":=")
    context.launch_configurations[name] = value
arguments, start = [], None
for entity in read({str(LAUNCH_FILE)!r}).entities:
    (node,) = entity.execute(context) or (None,)
node._perform_substitutions(context)
for part in node.cmd[1:]:
    print("".join(text.perform(context) for text in part if hasattr(text, "text")))
"""


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_the_real_launch_hands_a_profile_on_as_it_is_written(consumer):
    pytest.importorskip("launch_ros")
    command = [sys.executable, "-c", SHOW, f"for:={consumer}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    contents = yaml.safe_load((PROFILES / f"{consumer}.yaml").read_text())
    (file,) = [words[i + 1] for i, word in enumerate(words) if word == "--params-file"]
    ((key, handed_on),) = parameter_blocks(yaml.safe_load(Path(file).read_text()))
    assert matches(key, "/mpvss/segmentation") and handed_on == contents["parameters"]
    remapped = [words[i + 1] for i, word in enumerate(words) if word == "-r"]
    for name, topic in contents.get("remappings", {}).items():
        assert f"{name}:={topic.format(camera='camera', index=0)}" in remapped


def test_the_real_launch_ends_at_an_unknown_consumer_with_one_line():
    exit_code, output = ros2_launch(LAUNCH_FILE, "for:=kimera")
    assert exit_code == 1 and "for:=kimera must be one of elevation_mapping, hydra, nav2, nvblox" in output
    assert "Traceback" not in output and "unknown launch argument" not in output
