"""A new way of propagation is one file: whatever offers, runs, measures or draws the ways finds it there."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from mpvss_model import ConfigError, StreamConfig, VideoSegmentor
from mpvss_model.propagation import ways
from mpvss_model.propagation.registry import make_propagator, propagation_choices, propagations
from mpvss_ros.cli.app import app
from test.brightness import BrightnessSegmentor, scene

FILE = """
from mpvss_model.propagation.propagation import Propagation


class UpsideDownPropagator:
    name = "upside_down"
    module = None

    def propagate(self, key_frame, frame, queries):
        return key_frame.mask_logits[queries].flip(1)

    def for_new_stream(self):
        return UpsideDownPropagator()


PROPAGATION = Propagation(
    name="upside_down", description="turns the masks over", rank=5, build=UpsideDownPropagator, label="upside down",
    color="#D55E00", marker="P",
)
"""


def install(folder, value):
    """Write what pip writes for a package with an entry point."""
    metadata = folder / "other_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: other_package\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[mpvss_model.propagations]\nupside_down = {value}\n")


@pytest.fixture(params=["in the folder", "in another package"])
def found(request, tmp_path, monkeypatch):
    (tmp_path / "upside_down.py").write_text(FILE)
    if request.param == "in the folder":
        monkeypatch.setattr(ways, "__path__", [*ways.__path__, str(tmp_path)])
    else:
        monkeypatch.syspath_prepend(tmp_path)
        install(tmp_path, "upside_down:PROPAGATION")
    yield tmp_path
    for module in ("upside_down", f"{ways.__name__}.upside_down"):
        sys.modules.pop(module, None)


def test_it_carries_masks(found):
    assert "upside_down" in propagation_choices()
    assert [row.name for row in propagations()][:3] == ["copy", "upside_down", "dense"]
    propagator = make_propagator("upside_down", motion=None)
    stream = VideoSegmentor(segmentor=BrightnessSegmentor(), propagator=propagator, config=StreamConfig())
    frame = np.roll(scene(), 16, axis=0)
    key, carried = (stream.step(frame, stamp_s=i / 10).labels for i in range(2))
    assert not np.array_equal(key, key[::-1])
    assert np.array_equal(carried, key[::-1])


@pytest.mark.parametrize("found", ["in the folder"], indirect=True)
def test_commands_measure_and_draw_it(found, tiny_motion_checkpoint, small_clips, tmp_path):
    def run(*arguments):
        done = CliRunner().invoke(
            app, [*map(str, arguments), "--model", tiny_motion_checkpoint, "--device", "cpu", "--threads", "1"]
        )
        assert done.exit_code == 0, done.output

    figures = {}
    for way in ("copy", "upside_down"):
        run("evaluate", small_clips, "--split", "first", "--propagation", way, "--out", tmp_path / f"{way}.json")
        figures[way] = json.loads((tmp_path / f"{way}.json").read_text())
    assert figures["upside_down"]["propagation"] == "upside_down"

    run("study", f"{small_clips}:first", "--out", tmp_path / "study")
    (source,) = json.loads((tmp_path / "study" / "study.json").read_text())["sources"]
    measured = {(entry["way"], entry["interval"]): entry["miou"] for entry in source["grid"]}
    for way, report in figures.items():
        assert measured[way, 5] == report["miou"]
    page = (tmp_path / "study" / "README.md").read_text()
    assert "- *upside down* turns the masks over" in page and "| upside down | 5 |" in page


@pytest.mark.parametrize("found", ["in another package"], indirect=True)
def test_the_node_offers_it_without_importing_pytorch_or_the_package(found):
    script = "import sys; from mpvss_ros.node.main import main; main(); assert not {'torch', 'upside_down'} & set(sys.modules)"
    path = os.pathsep.join([str(found), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-c", script, "--help"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "auto, segment, pixel, fine, tracked, dense, copy, upside_down" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("upside_down:missing", "cannot be imported from 'upside_down:missing': AttributeError"),
        ("upside_down:UpsideDownPropagator", "must be a Propagation of that name, got <class"),
    ],
)
def test_what_another_package_offers_is_checked(tmp_path, monkeypatch, value, problem):
    (tmp_path / "upside_down.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, value)
    with pytest.raises(ConfigError, match=f"propagation 'upside_down'.* {problem}"):
        make_propagator("upside_down", motion=None)
    monkeypatch.delitem(sys.modules, "upside_down")
    assert make_propagator("copy", motion=None).name == "copy"
