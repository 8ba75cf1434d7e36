"""What the node says of its arguments before it works, and what managers wait for."""

import signal
import subprocess
import sys

import pytest
import torch
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from mpvss_model import VideoSegmentor
from mpvss_ros.overrides import unused_overrides
from mpvss_ros.parameter_files import files_without_effect
from mpvss_ros.parameters import PARAMETERS
from mpvss_ros.segmentation_node import SegmentationNode

# Takes a directory and argument lists; prints what is wrong with each of them there.
REFUSALS = """
import os
import sys
from mpvss_model import ConfigError
from mpvss_ros.ros_arguments import start_ros
import rclpy

os.chdir(sys.argv[1])
for line in sys.argv[2:]:
    try:
        start_ros(line.split())
    except ConfigError as error:
        print(error)
    else:
        print("nothing")
    rclpy.try_shutdown()
"""
HELP = """
import sys
from mpvss_ros.segmentation_main import main

main(["--help"])
assert not {"torch", "transformers"} & set(sys.modules)
"""
LEAVE = """
import os, signal
from mpvss_ros.quit_signals import QuitSignals

signals = QuitSignals()
signals.before_leaving(lambda: print("left the graph", flush=True))
os.kill(os.getpid(), signal.{})
"""
TOPIC = "/camera/image_raw"


def run(program, *arguments):
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    """What is said of each argument list, by its text; parameter files are written where the program runs."""
    directory = tmp_path_factory.mktemp("parameters")
    for name, content in FILES.items():
        (directory / name).write_bytes(content)
    (directory / "directory.yaml").mkdir()
    lines = [line for line, _ in REFUSED + [(line, None) for line in ACCEPTED]]
    return dict(zip(lines, run(REFUSALS, str(directory), *lines).splitlines(), strict=True))


FILES = {
    "bad.yaml": b"/**:\n  ros__parameters:\n   mode: lossless\n  x: [\n",
    "tabs.yaml": b"/**:\n\tros__parameters:\n\t\tmode: lossless\n",
    "flat.yaml": b"mode: lossless\n",
    "list.yaml": b"- a\n- b\n",
    "mixed.yaml": b"/**:\n  ros__parameters:\n    output_size: [1, two]\n",
    "latin.yaml": b"/**:\n  ros__parameters:\n    mode: k\xe4se\n",
    "good.yaml": b"/**:\n  ros__parameters:\n    mode: lossless\n",
}
REFUSED = [
    ("--ros-args --params-file /nowhere.yaml", "/nowhere.yaml"),
    ("--ros-args --params-file bad.yaml", "bad.yaml"),
    ("--ros-args --params-file tabs.yaml", "tabs.yaml"),
    ("--ros-args --params-file flat.yaml", "flat.yaml"),
    ("--ros-args --params-file list.yaml", "list.yaml"),
    ("--ros-args --params-file mixed.yaml", "mixed.yaml"),
    ("--ros-args --params-file directory.yaml", "directory.yaml"),
    ("--ros-args --params-file latin.yaml", "'latin.yaml' is not UTF-8: byte 0xe4 in line 3"),
    ("--ros-args --params-file", "--params-file"),
    ("--ros-args --bogus", "unknown ROS argument '--bogus'"),
    ("--ros-args -r image:=/camera//raw", "/camera//raw"),
    ("--ros-args -p mode=lossless", "mode=lossless"),
    ("--ros-args -p mode:=[1,two]", "mode:=[1,two]"),
    ("--ros-args --log-level loud", "loud"),
    ("--model rooms-lite", "unknown argument '--model'"),
]
ACCEPTED = ["--ros-args --params-file good.yaml -p mode:=lossless --log-level warn -r image:=/camera/image_raw", "--ros-args"]


@pytest.mark.parametrize("line, words", REFUSED, ids=[line for line, _ in REFUSED])
def test_an_argument_that_cannot_be_used_is_named_in_one_line(refusals, line, words):
    assert words in refusals[line]
    assert "/src/" not in refusals[line] and "error not set" not in refusals[line]


@pytest.mark.parametrize("line", ACCEPTED)
def test_arguments_that_can_be_used_are_accepted(refusals, line):
    assert refusals[line] == "nothing"


def test_a_process_with_a_wrong_argument_ends_with_code_2(start_process):
    node = start_process("--bogus")
    assert node.process.wait(60) == 2
    assert "segmentation_node: unknown ROS argument '--bogus'" in node.log() and "Traceback" not in node.log()


def test_help_lists_all_parameters_without_loading_the_models_libraries():
    text = run(HELP)
    assert text.startswith("usage: ros2 run mpvss_ros segmentation_node")
    for parameter in PARAMETERS:
        assert f"{parameter.name}:=" in text and parameter.description.split()[0] in text


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_the_node_starts_makes_it_leave_the_graph(signal_number):
    assert run(LEAVE.format(signal_number.name)) == "left the graph\n"


@pytest.mark.parametrize(
    "given, words",
    [
        ("modle", ["'modle' is unknown", "did you mean 'mode' or 'model'?"]),
        ("max-interval-frames", ["did you mean 'max_interval_frames'"]),
        ("Model", ["did you mean 'model'"]),
        ("max_interval_frames.a", ["did you mean 'max_interval_frames'"]),
        ("zzz", ["'zzz' is unknown", "--help"]),
        ("qos_overrides./camera/image.subscription.depth", ["qos_overrides of /camera/image have no effect", TOPIC]),
        (f"qos_overrides.{TOPIC}.subscription.reliabilty", ["no 'subscription.reliabilty'", "subscription.reliability"]),
        (f"qos_overrides.{TOPIC}.publisher.depth", ["no 'publisher.depth'"]),
    ],
)
def test_a_parameter_that_has_no_effect_is_named(given, words):
    (text,) = unused_overrides([given], declared=[p.name for p in PARAMETERS], image_topics=[TOPIC])
    assert all(word in text for word in words), text


def test_parameters_that_have_an_effect_are_not_named():
    given = ["mode", f"qos_overrides.{TOPIC}.subscription.reliability", f"qos_overrides.{TOPIC}.subscription.depth"]
    assert unused_overrides(given, declared=["mode"], image_topics=[TOPIC]) == []


def test_each_topic_of_unknown_overrides_is_named_once():
    given = [f"qos_overrides./x.subscription.{policy}" for policy in ("depth", "reliability", "history")]
    assert len(unused_overrides(given, declared=[], image_topics=[TOPIC])) == 1


def test_the_node_warns_of_what_has_no_effect_and_of_nothing_else(start_node, capfd):
    qos = {f"qos_overrides.{TOPIC}.subscription.depth": 3, "qos_overrides./camera/other.subscription.depth": 3}
    start_node(autostart=False, use_sim_time=True, modle="x", **qos)
    warnings = [line for line in capfd.readouterr().err.splitlines() if "have no effect" in line or "has no effect" in line]
    assert len(warnings) == 2 and "'modle'" in warnings[0] and "/camera/other" in warnings[1]


KEYS_OF_THE_NODE = [
    '"/**"',
    '"**"',
    "/mpvss/segmentation",
    "mpvss/segmentation",
    "/*/segmentation",
    "/mpvss/**",
    "other: {ros__parameters: {}}, mpvss/segmentation",
]


@pytest.mark.parametrize("key", KEYS_OF_THE_NODE)
def test_parameter_files_that_have_an_effect_are_not_named(tmp_path, key):
    path = tmp_path / "a.yaml"
    path.write_text(f"{{{key}: {{ros__parameters: {{mode: lossless}}}}}}")
    assert files_without_effect([str(path)], "/mpvss/segmentation") == []


@pytest.mark.parametrize("key", ["segmentation", "*", "/mpvss", "/mpvss/segmentation/front", "robot/mpvss/segmentation"])
def test_a_parameter_file_for_other_nodes_is_named_with_the_key_that_would_match(tmp_path, key):
    path = tmp_path / "a.yaml"
    path.write_text(f'"{key}": {{ros__parameters: {{mode: lossless}}}}')
    (text,) = files_without_effect([str(path)] * 2, "/mpvss/segmentation")
    assert str(path) in text and f"those of '{key.strip('/')}'" in text and "is '/mpvss/segmentation'" in text


def test_the_node_warns_of_a_parameter_file_for_other_nodes(start_process, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("segmentation: {ros__parameters: {mode: lossless}}")
    node = start_process("--params-file", str(path), model="/no/such/model")
    assert node.process.wait(60) == 2
    assert node.log().count(f"parameter file '{path}' has no effect on this node") == 1


@pytest.fixture
def early_node(tiny_checkpoint):
    """Makes nodes that load their model early; returns the node and what was there at each load."""
    made = []

    def make(**values):
        loads = []

        def load_model(*args, **kwargs):
            loads.append((args[0], [s.srv_name for s in made[-1].services if s.srv_name.endswith("change_state")]))
            return VideoSegmentor.from_pretrained(*args, **kwargs)

        values = {"model": tiny_checkpoint, "threads": 1, "autostart": False, **values}
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        node = SegmentationNode(load_model=load_model, load_early=True, on_created=made.append, parameter_overrides=overrides)
        return node, loads

    yield make
    for node in made:
        node.release()
        node.destroy_node()


def test_a_manager_that_finds_the_lifecycle_services_finds_the_model_loaded(early_node, tiny_checkpoint):
    node, loads = early_node()
    assert loads == [(tiny_checkpoint, [])]
    for _ in range(2):
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    assert len(loads) == 2, "the second time the model is loaded anew"


def test_parameters_that_change_after_an_early_load_count(early_node, tiny_checkpoint):
    node, loads = early_node(model="/no/such/model")
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert node.set_parameters_atomically([Parameter("model", value=tiny_checkpoint)]).successful
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert [model for model, _ in loads] == ["/no/such/model", "/no/such/model", tiny_checkpoint]


@pytest.mark.parametrize("device, count", [("cpu", 1), ("cuda", 3)])
def test_on_a_gpu_the_stream_of_each_camera_captures_its_graphs_before_the_first_frame(early_node, monkeypatch, device, count):
    load, warmed = VideoSegmentor.from_pretrained, []

    def load_as_if_on(*args, **kwargs):
        model = load(*args, **kwargs)
        model.segmentor.device = torch.device(device)
        return model

    monkeypatch.setattr(VideoSegmentor, "from_pretrained", load_as_if_on)
    monkeypatch.setattr(VideoSegmentor, "warm_up", lambda stream: warmed.append(stream.propagator))
    node, _ = early_node(cameras=["front", "rear"])
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert len(set(map(id, warmed))) == len(warmed) == count


def test_a_node_that_starts_by_itself_loads_its_model_once(early_node):
    node, loads = early_node(autostart=True)
    assert loads == []
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert len(loads) == 1
