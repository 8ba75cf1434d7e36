"""The commands of docs/labelling.md."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from mpvss_model.labelling import ClassMapping
from mpvss_ros.cli.app import app

TEXT = (Path(__file__).parents[3] / "docs" / "labelling.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^mpvss (\w+) (.*)$", TEXT, re.MULTILINE)


def test_there_are_commands():
    assert {name for name, _ in COMMANDS} == {"label", "adapt", "evaluate"}


@pytest.mark.parametrize(("name", "arguments"), COMMANDS)
def test_commands_have_the_options_that_they_are_given(name, arguments):
    context = get_command(app).commands[name].make_context(name, shlex.split(arguments))
    mapping = context.params.get("classes")
    assert mapping is None or ClassMapping.open(mapping).classes[0] == "wall"


def test_options_in_the_text_exist():
    known = {option for name in ("label", "adapt") for p in get_command(app).commands[name].params for option in p.opts}
    named = set(re.findall(r"`(--[a-z-]+)", TEXT))
    assert len(named) > 10 and named <= known


def test_the_map_in_the_text_is_one(tmp_path):
    (example,) = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert set(yaml.safe_load(example)) == {"classes", "from"}
    (tmp_path / "map.yaml").write_text(example)
    assert ClassMapping.open(tmp_path / "map.yaml").indices(("Floor", "carpet", "window", "sofa"), "m") == [0, 0, None, 1]
