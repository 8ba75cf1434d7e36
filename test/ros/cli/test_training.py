"""``mpvss train`` in several processes, started as docs/training.md says."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from mpvss_model.training import train_from_yaml

ROOT = Path(__file__).parents[3]
# Has no random numbers but those of its samples, so that what it computes hardly depends on the number of processes.
RECIPE = """
stage: backbone
data: {{root: {data}, layout: folder, train_split: "", validation_split: first}}
model: {{start: {start}}}
augmentation:
  short_sides_px: [32]
  max_long_side_px: 48
  crop_height_px: 32
  crop_width_px: 32
  sensor_probability: 0.5
steps: {steps}
batch_size: 4
workers: 0
log_interval: 1
learning_rate: 1.0e-3
backbone_lr_multiplier: 1.0
"""


def two_processes(*arguments):
    """The launcher of docs/training.md for CPUs, with a free port of its own."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "-m", "mpvss_ros.cli.app", "train", *map(str, arguments)]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def losses(text):
    """The total of each step that was told."""
    return {int(step): float(loss) for step, loss in re.findall(r"^step (\d+)/\d+: loss ([\d.]+)", text, re.MULTILINE)}


@pytest.fixture
def start(tiny_checkpoint, tmp_path):
    """The tiny checkpoint, of which nothing is dropped at random."""
    folder = tmp_path / "start"
    shutil.copytree(tiny_checkpoint, folder)
    config = json.loads((folder / "config.json").read_text())
    config["backbone_config"]["drop_path_rate"] = 0.0
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_two_processes_go_on_with_a_run_and_compute_what_one_does(small_clips, start, tmp_path, capfd):
    def recipe(steps):
        path = tmp_path / f"{steps}.yaml"
        path.write_text(RECIPE.format(data=small_clips, start=start, steps=steps))
        return path

    one, two = tmp_path / "one", tmp_path / "two"
    for out in (one, two):
        train_from_yaml(recipe(1), out)
    capfd.readouterr()
    metrics = train_from_yaml(recipe(3), one)
    done = two_processes(recipe(3), "--out", two)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == pytest.approx(metrics, abs=0.02, nan_ok=True)
    expected, found = losses(capfd.readouterr().err), losses(done.stderr)
    assert done.stderr.count("step 2/3: loss") == 1
    # The checkpoint of two processes is one that a single one goes on from.
    for out, told in ((one, expected), (two, found)):
        train_from_yaml(recipe(4), out)
        told |= losses(capfd.readouterr().err)
    assert found.keys() == {2, 3, 4}
    # Errors are relative to the variance in a process's own samples, a little other than in those of a step.
    assert found == pytest.approx(expected, rel=0.15)
    before, ours, theirs = (load_file(folder / "model.safetensors") for folder in (start, two, one))
    moved, apart = (sum((theirs[name] - other[name]).abs().sum() for name in before) for other in (before, ours))
    assert apart < 0.1 * moved  # more than half of it with the samples of one process alone
