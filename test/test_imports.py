"""The packages depend on each other in one direction only, and heavy libraries stay where they belong."""

import ast
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROS_MODULES = {"mpvss_ros", "rclpy", "cv_bridge", "sensor_msgs", "std_msgs", "std_srvs", "diagnostic_msgs", "rosbags"}


def imports_of(path):
    """All modules that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize("path", sorted((ROOT / "mpvss_model").rglob("*.py")), ids=lambda path: path.name)
def test_the_model_knows_nothing_of_ros(path):
    assert not {name.split(".")[0] for name in imports_of(path)} & ROS_MODULES


@pytest.mark.parametrize("path", sorted((ROOT / "mpvss_model").rglob("*.py")), ids=lambda path: path.name)
def test_only_the_segmentors_know_transformers(path):
    assert path.parent.name == "segmentor" or "transformers" not in {name.split(".")[0] for name in imports_of(path)}


@pytest.mark.parametrize("path", sorted((ROOT / "mpvss_ros").rglob("*.py")), ids=lambda path: path.name)
def test_the_ros_side_does_not_reach_around_the_model(path):
    assert "transformers" not in {name.split(".")[0] for name in imports_of(path)}


def test_help_needs_neither_torch_nor_ros():
    code = (
        "import sys; from mpvss_ros.cli import main; sys.argv = ['mpvss', '--help']\n"
        "try: main()\n"
        "except SystemExit: print(sorted({'torch', 'rclpy', 'numpy', 'cv2'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout.strip().endswith("[]"), result.stdout + result.stderr
    assert "evaluate" in result.stdout


# Runs a module's `main` where some packages are missing: ``python -c WITHOUT package,package module argument...``.
WITHOUT = """
import importlib, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

missing = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Missing())
module = importlib.import_module(sys.argv[2])
sys.argv = sys.argv[2:]
module.main()
"""
ROS = "rclpy,cv_bridge,sensor_msgs,std_msgs,std_srvs,builtin_interfaces,rcl_interfaces,diagnostic_msgs,rosgraph_msgs"
# What the commands that touch no message import when they run, beside `mpvss evaluate`; those of training and rendering, where
# their packages are installed.
MESSAGE_FREE = [
    "mpvss_ros.study.command",
    "mpvss_ros.video",
    "mpvss_model.benchmark",
    "mpvss_model.checkpoint",
    "mpvss_model.flops",
    "mpvss_model.parity",
    *(["mpvss_model.training"] if find_spec("accelerate") else []),
    *(["mpvss_ros.rooms_bag"] if find_spec("moderngl") and find_spec("trimesh") else []),
]


def run_without(missing, module, *arguments, script=WITHOUT):
    """Run a program where packages are missing."""
    command = [sys.executable, "-c", script, missing, module, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_what_touches_no_message_works_without_ros(small_clips, tiny_checkpoint, tmp_path):
    report = tmp_path / "report.json"
    script = WITHOUT.replace("module.main()", f"for name in {MESSAGE_FREE}: importlib.import_module(name)\nmodule.main()")
    arguments = ("evaluate", small_clips, "--model", tiny_checkpoint, "--split", "first", "--out", report)
    done = run_without(ROS, "mpvss_ros.cli", *arguments, script=script)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(report.read_text())["frames"] == 18


@pytest.mark.parametrize(
    ("missing", "module", "arguments", "line"),
    [
        (ROS, "mpvss_ros.cli", ("run",), "mpvss: ROS 2's Python package"),
        ("rclpy", "mpvss_ros.segmentation_main", (), "segmentation_node: ROS 2's Python package rclpy is missing"),
        ("torch", "mpvss_ros.segmentation_main", (), "segmentation_node: Python package torch is missing"),
        ("rosbags", "mpvss_ros.replay_main", (), "replay_node: Python package rosbags is missing"),
        ("zstandard", "mpvss_ros.replay_main", (), "replay_node: Python package zstandard is missing"),
        ("transformers", "mpvss_ros.segmentation_main", (), "segmentation_node: Python package transformers is missing"),
        ("torch", "mpvss_ros.cli", ("flops",), "mpvss: Python package torch is missing"),
        ("typer", "mpvss_ros.cli", ("--help",), "mpvss: Python package typer is missing"),
    ],
)
def test_a_missing_package_ends_with_one_line_that_names_the_command(missing, module, arguments, line):
    done = run_without(missing, module, *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith(line) and "pip install" in done.stderr
