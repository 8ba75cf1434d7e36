"""ROS 2's linter for docstrings, as `colcon test` runs it where ROS is installed."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CHECKED = ("benchmarks", "docs", "launch", "mpvss_model", "mpvss_ros", "setup.py")
# Arguments of __init__ are documented with the class, what __len__ and the like do Python says, and names such as OpenGL are
# spelled right.
LEFT_OUT = ("D105", "D107", "D403")

pep257 = pytest.importorskip("ament_pep257.main", reason="ament_pep257 comes with ROS, or with requirements-lint.txt")


def test_pep257(capsys):
    paths = [str(ROOT / name) for name in CHECKED]
    status = pep257.main(argv=["--convention", "google", "--add-ignore", *LEFT_OUT, "--", *paths])
    assert status == 0, capsys.readouterr().err
