"""The packages depend on each other in one direction only, and heavy libraries stay where they belong."""

import ast
import subprocess
import sys
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
