"""The picture of the architecture shows what the sources import."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))
draw_imports = import_module("draw_imports")

SOURCES = {
    "mpvss_model/__init__.py": "from mpvss_model.stream.steps import step",
    "mpvss_model/errors.py": "",
    "mpvss_model/motion/__init__.py": "",
    "mpvss_model/motion/flow.py": "import numpy\nfrom mpvss_model.errors import Failed",
    "mpvss_model/motion/fast/graph.py": "from mpvss_model import errors",
    "mpvss_model/stream/steps.py": "def step():\n    from mpvss_model.motion.flow import flow\nimport mpvss_model.errors",
    "mpvss_ros/__init__.py": "",
    "mpvss_ros/cli/run.py": "from mpvss_model import step",
}


@pytest.fixture
def write(tmp_path):
    def write(sources):
        for name, text in sources.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return draw_imports.read_imports(tmp_path)

    return write


def test_a_room_is_a_folder_and_loose_modules_are_the_foundations(write):
    assert write(SOURCES).modules == {
        "mpvss_model/*.py": ("errors",),
        "mpvss_model/motion": ("fast/", "flow"),
        "mpvss_model/stream": ("steps",),
        "mpvss_ros/cli": ("run",),
    }


def test_a_name_from_a_package_counts_as_its_modules(write):
    assert ("mpvss_ros/cli", "mpvss_model/stream") in write(SOURCES).edges


def test_each_room_stands_above_what_it_imports_and_implied_arrows_are_left_out(write):
    imports = write(SOURCES)
    assert imports.rows() == [["mpvss_ros/cli"], ["mpvss_model/stream"], ["mpvss_model/motion"], ["mpvss_model/*.py"]]
    assert ("mpvss_model/stream", "mpvss_model/*.py") in imports.edges
    assert imports.drawn == [
        ("mpvss_model/motion", "mpvss_model/*.py"),
        ("mpvss_model/stream", "mpvss_model/motion"),
        ("mpvss_ros/cli", "mpvss_model/stream"),
    ]
    assert not imports.circular


def test_a_circle_is_told(write):
    imports = write({**SOURCES, "mpvss_model/motion/back.py": "import mpvss_model.stream.steps"})
    assert imports.circular == {("mpvss_model/motion", "mpvss_model/stream"), ("mpvss_model/stream", "mpvss_model/motion")}


def test_the_same_sources_give_the_same_picture(write, tmp_path):
    pictures = [tmp_path / "first.svg", tmp_path / "second.svg"]
    for picture in pictures:
        draw_imports.draw(write(SOURCES), picture)
    assert pictures[0].read_text() == pictures[1].read_text()
    assert "mpvss_model/stream" in pictures[0].read_text()
