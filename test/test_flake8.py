"""ROS 2's linter for the code, as `colcon test` runs it where ROS is installed."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CHECKED = ("benchmarks", "launch", "mpvss_model", "mpvss_ros", "setup.py", "test")

flake8 = pytest.importorskip("ament_flake8.main", reason="ament_flake8 comes with ROS, or with requirements-lint.txt")


def test_flake8():
    paths = [str(ROOT / name) for name in CHECKED]
    status, errors = flake8.main_with_errors(argv=["--config", str(ROOT / ".flake8"), *paths])
    assert status == 0, "\n".join(errors)
