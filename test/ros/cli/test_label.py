"""``mpvss label`` on the command line."""

import signal
import subprocess
import sys

import pytest

from mpvss_model.data import open_clips


def test_labels_are_a_data_set_at_once(mpvss, small_clips, tiny_checkpoint, tmp_path):
    out = tmp_path / "labels"
    options = ("--model", tiny_checkpoint, "--split", "first", "--flips", "--scales", "1,1.5", "--min-confidence", "0.1")
    code, said, progress = mpvss("label", small_clips, "--out", out, *options)
    assert (code, said) == (0, f"18 frames of 3 classes in {out}\n")
    assert progress.splitlines()[0] == "labelling: 2 of 18" and progress.splitlines()[-1] == "labelling: 18 of 18"
    assert mpvss("evaluate", out, "--model", tiny_checkpoint)[0] == 0
    assert len(open_clips(out).clips[0].frames) == 18


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--classes", "nowhere.yaml"), "no class map 'nowhere.yaml': give a YAML file, or one of ade20k-rooms, coco-rooms"),
        (("--classes", "coco-rooms"), "class map 'coco-rooms' names person, bicycle,"),
        (("--scales", "big"), "scales must be numbers above 0, separated by commas, got 'big'"),
        (("--interval", "0"), "interval must be at least 1, got 0"),
        (("--propagation", "magic"), "propagation must be one of auto"),
        (("--min-confidence", "2"), "min_confidence must be 0 to 1, got 2.0"),
        (("--bag",), "is no bag"),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(mpvss, small_clips, tiny_checkpoint, tmp_path, options, message):
    code, _, said = mpvss("label", small_clips, "--out", tmp_path / "labels", "--model", tiny_checkpoint, *options)
    assert (code, said.count("\n")) == (2, 1)
    assert message in said
    assert not list(tmp_path.iterdir())


def test_a_signal_stops_the_command_with_its_code(small_clips, tiny_checkpoint, tmp_path):
    command = [sys.executable, "-m", "mpvss_ros.cli.app", "label", str(small_clips), "--out", str(tmp_path / "labels")]
    process = subprocess.Popen([*command, "--model", tiny_checkpoint], stderr=subprocess.PIPE, text=True)
    assert process.stderr.readline().startswith("labelling: ")
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 143
    assert "mpvss: stopped by SIGTERM after " in said and "the same command goes on from there" in said
