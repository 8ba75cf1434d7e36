from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

from mpvss_model import ConfigError, DataError, MPVSSError, StreamConfig, VideoSegmentor
from mpvss_model.data import ClipSet, open_clips
from mpvss_model.evaluation.clip_evaluation import ClipEvaluation
from mpvss_model.propagation.motion_module import RefinedFlowPropagator
from mpvss_model.training import TrainingConfig, TrainingInterrupted, train, train_from_yaml

SIZE_PX = 64
NUM_FRAMES = 12
KEY_FRAME_INTERVAL = 6
MOTION = {
    "hidden_size": 32,
    "num_layers": 3,
    "num_heads": 2,
    "ffn_size": 64,
    "encoder_channels": [16, 32, 32, 32, 32, 32],
    "upsampled_channels": [16, 16, 16, 16],
}


def shapes(i: int) -> tuple[np.ndarray, np.ndarray]:
    """Frame ``i`` of a box that moves right and a ball that moves left, and its labels."""
    rng = np.random.default_rng(1)
    image = cv2.resize(rng.integers(60, 110, (8, 8, 3)).astype(np.uint8), (SIZE_PX, SIZE_PX))
    label = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
    for layer, box, ball in ((image, (220, 60, 40), (40, 200, 230)), (label, 1, 2)):
        cv2.rectangle(layer, (4 + 3 * i, 6), (20 + 3 * i, 22), box, -1)
        cv2.circle(layer, (50 - 3 * i, 46), 10, ball, -1)
    return image, label


@pytest.fixture(scope="session")
def shapes_root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("shapes")
    for i in range(NUM_FRAMES):
        image, label = shapes(i)
        for folder, pixels in (("images", cv2.cvtColor(image, cv2.COLOR_RGB2BGR)), ("labels", label)):
            (root / "clip" / folder).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / "clip" / folder / f"{i}.png"), pixels)
    (root / "classes.txt").write_text("background\nrobot\nwall\n")
    return root


@pytest.fixture(scope="session")
def shapes_clips(shapes_root) -> ClipSet:
    return open_clips(shapes_root)


def recipe(**changes) -> TrainingConfig:
    """A recipe that learns one small clip by heart, in seconds."""
    settings = {
        "data": {"root": "unused", "layout": "folder", "train_split": "", "validation_split": ""},
        "loss": {"train_num_points": 256},
        "augmentation": {
            "short_sides_px": [SIZE_PX],
            "max_long_side_px": SIZE_PX,
            "crop_height_px": SIZE_PX,
            "crop_width_px": SIZE_PX,
            "flip_probability": 0.0,
            "color": False,
        },
        "batch_size": 2,
        "learning_rate": 2e-3,
        "backbone_lr_multiplier": 1.0,
        "gradient_clip": 1.0,
        "workers": 0,
        "key_frame_interval": KEY_FRAME_INTERVAL,
        "max_frame_distance": KEY_FRAME_INTERVAL,
    }
    return TrainingConfig.from_mapping({**settings, **changes})


@pytest.fixture(scope="session")
def learner(tmp_path_factory) -> str:
    """A directory with a random Mask2Former of two classes that is small, but large enough to learn the clip."""
    torch.manual_seed(0)
    backbone = SwinConfig(
        embed_dim=16,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        drop_path_rate=0.0,
        out_indices=[1, 2, 3, 4],
    )
    config = Mask2FormerConfig(
        backbone_config=backbone,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=64,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        dim_feedforward=64,
        num_queries=6,
        num_labels=2,
    )
    directory = tmp_path_factory.mktemp("learner")
    Mask2FormerForUniversalSegmentation(config).save_pretrained(directory)
    return str(directory)


def segmentor_recipe(learner: str) -> TrainingConfig:
    return recipe(model={"start": learner, "replace_classes": True}, steps=200, learning_rate=1e-3)


@pytest.fixture(scope="session")
def overfit_segmentor(shapes_clips, learner, tmp_path_factory) -> tuple[Path, dict[str, float]]:
    out = tmp_path_factory.mktemp("segmentor")
    return out, train(segmentor_recipe(learner), shapes_clips, shapes_clips, out)


def test_segmentor_stage_learns_a_clip_by_heart(overfit_segmentor, shapes_clips):
    out, metrics = overfit_segmentor
    assert metrics["miou"] > 0.9
    segmentor = VideoSegmentor.from_pretrained(str(out), device="cpu", config=StreamConfig(max_interval_frames=1))
    assert segmentor.class_names == ("background", "robot", "wall")
    evaluation = ClipEvaluation(segmentor)
    evaluation.run(shapes_clips.clips)
    assert evaluation.confusion.miou == pytest.approx(metrics["miou"], abs=1e-3)


def test_motion_stage_learns_a_clip_by_heart_and_beats_copying(overfit_segmentor, shapes_clips, tmp_path):
    config = recipe(stage="motion", model={"start": str(overfit_segmentor[0]), "motion": MOTION}, steps=200)
    metrics = train(config, shapes_clips, shapes_clips, tmp_path)
    stream = StreamConfig(max_interval_frames=KEY_FRAME_INTERVAL)
    miou = {}
    for propagation in ("copy", "segment"):
        segmentor = VideoSegmentor.from_pretrained(str(tmp_path), device="cpu", propagation=propagation, config=stream)
        evaluation = ClipEvaluation(segmentor)
        evaluation.run(shapes_clips.clips)
        miou[propagation] = evaluation.confusion.miou
    assert miou["segment"] == pytest.approx(metrics["miou"], abs=1e-3)
    assert miou["segment"] > 0.9
    assert miou["segment"] > miou["copy"] + 0.2


@pytest.fixture
def yaml_run(shapes_root, tiny_checkpoint, tmp_path):
    """Path of a configuration file of a short run with frequent checkpoints, which differs by the given settings."""

    def write(**changes) -> Path:
        config = recipe(
            model={"start": tiny_checkpoint, "motion": MOTION},
            steps=40,
            checkpoint_interval=8,
            augmentation={
                **dataclasses.asdict(recipe().augmentation),
                "color": True,
                "flip_probability": 0.5,
                "sensor_probability": 0.3,
            },
            **changes,
        )
        settings = dataclasses.asdict(
            dataclasses.replace(config, data=dataclasses.replace(config.data, root=str(shapes_root)))
        )
        settings["augmentation"]["short_sides_px"] = [SIZE_PX]
        path = tmp_path / "run.yaml"
        path.write_text(yaml.safe_dump(settings))
        return path

    return write


@pytest.mark.parametrize("stage", ["segmentor", "motion", "backbone", "decoder"])
def test_run_that_is_killed_and_resumed_gives_the_weights_of_one_that_is_not(yaml_run, tmp_path, stage):
    config = yaml_run(stage=stage)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    command = (
        "import sys, torch; torch.set_num_threads(int(sys.argv[3])); from mpvss_model.training import train_from_yaml; "
        "train_from_yaml(sys.argv[1], sys.argv[2])"
    )
    arguments = [sys.executable, "-c", command, str(config), str(killed), str(torch.get_num_threads())]
    process = subprocess.Popen(arguments, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline_s = time.monotonic() + 120
    while not list(killed.glob("training/checkpoint-*")):
        assert process.poll() is None and time.monotonic() < deadline_s
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (killed / "config.json").exists()

    train_from_yaml(config, killed)
    train_from_yaml(config, whole)
    resumed_weights, weights = (load_file(out / "model.safetensors") for out in (killed, whole))
    assert resumed_weights.keys() == weights.keys()
    for name, value in weights.items():
        assert torch.equal(resumed_weights[name], value), name
    assert [path.name for path in killed.glob("training/checkpoint-*")] == ["checkpoint-00000040"]


def test_finished_run_is_not_trained_further(overfit_segmentor, shapes_clips, learner):
    out, metrics = overfit_segmentor
    written_ns = (out / "model.safetensors").stat().st_mtime_ns
    assert train(segmentor_recipe(learner), shapes_clips, shapes_clips, out) == pytest.approx(metrics, nan_ok=True)
    assert list(out.glob("training/logs/events*"))
    assert (out / "model.safetensors").stat().st_mtime_ns > written_ns


def test_run_goes_on_with_its_own_settings_only_and_can_be_started_over(shapes_clips, tiny_checkpoint, tmp_path):
    config = recipe(model={"start": tiny_checkpoint}, steps=2)
    train(config, shapes_clips, None, tmp_path)
    first = load_file(tmp_path / "model.safetensors")
    train(dataclasses.replace(config, checkpoint_interval=1), shapes_clips, None, tmp_path)
    other = dataclasses.replace(config, learning_rate=1e-4, steps=3)
    with pytest.raises(ConfigError, match=r"training holds a run with other settings \(learning_rate\)"):
        train(other, shapes_clips, None, tmp_path)
    train(other, shapes_clips, None, tmp_path, resume=False)
    assert any(not torch.equal(first[name], value) for name, value in load_file(tmp_path / "model.safetensors").items())


def test_run_whose_time_is_over_stops_with_a_checkpoint_and_goes_on_later(shapes_clips, tiny_checkpoint, tmp_path, capsys):
    whole = recipe(model={"start": tiny_checkpoint}, steps=3, log_interval=1)
    limited = dataclasses.replace(whole, max_minutes=1e-4)
    for _ in range(2):  # the limit is that of both parts together
        assert train(limited, shapes_clips, None, tmp_path / "limited") == {}
        assert "at step 1 of 3" in capsys.readouterr().err
        assert not (tmp_path / "limited" / "config.json").exists()
    train(whole, shapes_clips, None, tmp_path / "limited")
    train(whole, shapes_clips, None, tmp_path / "whole")
    weights, expected = (load_file(tmp_path / out / "model.safetensors") for out in ("limited", "whole"))
    assert all(torch.equal(weights[name], value) for name, value in expected.items())


def test_finished_run_can_be_lengthened_but_not_shortened(shapes_clips, tiny_checkpoint, tmp_path):
    short = recipe(model={"start": tiny_checkpoint}, steps=2)
    train(short, shapes_clips, None, tmp_path)
    first = load_file(tmp_path / "model.safetensors")
    train(dataclasses.replace(short, steps=4), shapes_clips, None, tmp_path)
    assert list(tmp_path.glob("training/checkpoint-00000004"))
    assert any(not torch.equal(first[name], value) for name, value in load_file(tmp_path / "model.safetensors").items())
    with pytest.raises(ConfigError, match="holds a run of 4 steps, more than steps: 2: raise steps, or start over"):
        train(short, shapes_clips, None, tmp_path)


def test_checkpoints_are_models_and_the_best_one_by_validation_is_kept(shapes_clips, tiny_checkpoint, tmp_path, capsys):
    config = recipe(model={"start": tiny_checkpoint}, steps=6, validation_interval=1, log_interval=2, learning_rate=1e-3)
    train(config, shapes_clips, shapes_clips, tmp_path)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("training on") and "12 of 12 frames labelled, 3 classes (background, robot, wall)" in lines[0]
    assert lines[1].startswith("validating on")
    measured = [float(re.search(r"miou ([\d.]+)", line)[1]) for line in lines if " miou " in line]
    assert len(measured) == 7  # before the first step, too
    assert any(re.match(r"  IoU: background [\d.]+, robot [\d.]+, wall [\d.]+", line) for line in lines)
    losses = [line for line in lines if "steps/s" in line]
    assert [line.split(":")[0] for line in losses] == ["step 2/6", "step 4/6", "step 6/6"]
    assert all(re.search(r"loss [\d.]+ \(cross_entropy [\d.]+, .*learning rate .* left$", line) for line in losses)
    assert all(float(re.search(r"([\d.]+) steps/s", line)[1]) > 0 for line in losses)  # in the first line, too

    best = json.loads((tmp_path / "best" / "validation.json").read_text())
    assert best["miou"] == pytest.approx(max(measured[1:]), abs=1e-4)
    assert measured[best["step"]] == max(measured[1:])
    for folder, miou in ((tmp_path / "best", best["miou"]), (tmp_path / "training" / "checkpoint-00000006", measured[-1])):
        segmentor = VideoSegmentor.from_pretrained(str(folder), device="cpu", config=StreamConfig(max_interval_frames=1))
        evaluation = ClipEvaluation(segmentor)
        evaluation.run(shapes_clips.clips)
        assert evaluation.confusion.miou == pytest.approx(miou, abs=1e-3)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_a_run_with_a_checkpoint_that_it_goes_on_from(shapes_clips, tiny_checkpoint, tmp_path, number):
    config = recipe(model={"start": tiny_checkpoint}, steps=4)
    interrupting = InterruptedClips(shapes_clips, number)
    with pytest.raises(TrainingInterrupted, match=rf"stopped by {number.name} at step 2 of 4.* goes on from there") as caught:
        train(config, interrupting.clips, None, tmp_path / "stopped")
    assert caught.value.signal_number == number
    assert signal.getsignal(number) is interrupting.handler
    assert not (tmp_path / "stopped" / "config.json").exists()
    train(config, shapes_clips, None, tmp_path / "stopped")
    train(config, shapes_clips, None, tmp_path / "whole")
    weights, expected = (load_file(tmp_path / out / "model.safetensors") for out in ("stopped", "whole"))
    assert all(torch.equal(weights[name], value) for name, value in expected.items())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_to_loading_processes_too_stops_a_run_with_a_checkpoint(shapes_clips, tiny_checkpoint, tmp_path, number):
    config = recipe(model={"start": tiny_checkpoint}, steps=100, workers=1)
    with pytest.raises(TrainingInterrupted, match=rf"stopped by {number.name} at step \d+ of 100"):
        train(config, InterruptedClips(shapes_clips, number).clips, None, tmp_path)
    assert list(tmp_path.glob("training/checkpoint-*"))


@pytest.fixture(scope="module")
def validated_run(shapes_clips, tiny_checkpoint, tmp_path_factory) -> tuple[TrainingConfig, Path, dict[str, float]]:
    config = recipe(model={"start": tiny_checkpoint}, steps=4, validation_interval=2, learning_rate=1e-3)
    out = tmp_path_factory.mktemp("validated")
    return config, out, train(config, shapes_clips, shapes_clips, out)


@pytest.mark.parametrize("validation", [0, 1, 2], ids=["before the first step", "in between", "after the last step"])
def test_signal_ends_a_validation_at_once_and_the_run_goes_on_with_it(shapes_clips, validated_run, tmp_path, validation):
    config, whole, expected_metrics = validated_run
    frame = NUM_FRAMES * validation + 3
    interrupting = InterruptedClips(shapes_clips, signal.SIGTERM, frame)
    with pytest.raises(TrainingInterrupted, match=rf"stopped by SIGTERM at step {2 * validation} of 4.* goes on from there"):
        train(config, shapes_clips, interrupting.clips, tmp_path)
    assert interrupting.reads == frame
    assert not (tmp_path / "config.json").exists()
    assert train(config, shapes_clips, shapes_clips, tmp_path) == pytest.approx(expected_metrics, nan_ok=True)
    weights, expected = (load_file(out / "model.safetensors") for out in (tmp_path, whole))
    assert all(torch.equal(weights[name], value) for name, value in expected.items())
    best, expected = (json.loads((out / "best" / "validation.json").read_text()) for out in (tmp_path, whole))
    assert best == expected


def test_finished_validation_is_not_repeated_by_a_run_that_goes_on(shapes_clips, tiny_checkpoint, tmp_path):
    config = recipe(model={"start": tiny_checkpoint}, steps=2, validation_interval=2)
    train(config, shapes_clips, shapes_clips, tmp_path)
    counting = InterruptedClips(shapes_clips, signal.SIGINT, frame=0)
    train(dataclasses.replace(config, steps=4), shapes_clips, counting.clips, tmp_path)
    assert counting.reads == NUM_FRAMES  # after the last step only


class InterruptedClips:
    """Clips whose n-th frame to be read comes with a signal to this process, and to the one that it loads frames for, if any.

    The sixth one is read before the second step of two samples ends.
    """

    def __init__(self, clips: ClipSet, number: signal.Signals, frame: int = 6) -> None:
        self.handler = signal.getsignal(number)
        self.reads = 0
        self._process = os.getpid()
        self._number = number
        self._frame = frame
        frames = [dataclasses.replace(frame, read_image=self._interrupting(frame)) for frame in clips.clips[0].frames]
        self.clips = dataclasses.replace(clips, clips=(dataclasses.replace(clips.clips[0], frames=frames),))

    def _interrupting(self, frame):
        def read():
            self.reads += 1
            if self.reads == self._frame:
                for process in {self._process, os.getpid()}:
                    os.kill(process, self._number)
            return frame.read_image()

        return read


def test_shipped_model_is_started_from_by_its_name(shapes_clips, tmp_path):
    config = recipe(model={"start": "rooms-lite", "replace_classes": True}, steps=1)
    train(config, shapes_clips, None, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["id2label"] == {"0": "background", "1": "robot", "2": "wall"}


def test_size_of_inference_is_recommended_kept_and_validated_at(overfit_segmentor, shapes_clips, tmp_path):
    model = {"start": str(overfit_segmentor[0])}
    small = recipe(model={**model, "inference_size": SIZE_PX * 3 // 4}, steps=1, learning_rate=0.0)
    coarse = train(small, shapes_clips, shapes_clips, tmp_path / "small")
    segmentor = VideoSegmentor.from_pretrained(str(tmp_path / "small"))
    assert segmentor.recommended_inference_size == SIZE_PX * 3 // 4
    assert coarse["miou"] < overfit_segmentor[1]["miou"]
    # A second stage takes it over, unless it says otherwise.
    kept = {"stage": "motion", "steps": 1, "learning_rate": 0.0}
    for changes, expected in (({}, SIZE_PX * 3 // 4), ({"inference_size": 0}, 0)):
        out = tmp_path / f"motion-{expected}"
        train(recipe(**kept, model={"start": str(tmp_path / "small"), **changes}), shapes_clips, None, out)
        assert VideoSegmentor.from_pretrained(str(out)).recommended_inference_size == expected


def test_output_directory_with_other_things_in_it_is_left_alone(shapes_clips, tiny_checkpoint, tmp_path):
    config = recipe(model={"start": tiny_checkpoint}, steps=1)
    with pytest.raises(ConfigError, match="holds a model that was not trained there"):
        train(config, shapes_clips, None, tiny_checkpoint)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot write to output directory .*file: Not a directory"):
        train(config, shapes_clips, None, tmp_path / "file")
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "notes.txt").touch()
    train(config, shapes_clips, None, tmp_path, resume=False)
    assert (tmp_path / "training" / "notes.txt").exists()


def test_checkpoint_that_was_not_finished_is_passed_over(shapes_clips, tiny_checkpoint, tmp_path):
    (tmp_path / "training" / "unfinished").mkdir(parents=True)
    (tmp_path / "training" / "unfinished" / "model.safetensors").write_bytes(b"half")
    train(recipe(model={"start": tiny_checkpoint}, steps=1), shapes_clips, None, tmp_path)
    assert sorted(path.name for path in (tmp_path / "training").iterdir()) == ["checkpoint-00000001", "config.json", "logs"]


def test_accumulated_and_loaded_by_other_processes(shapes_clips, tiny_checkpoint, tmp_path):
    config = recipe(model={"start": tiny_checkpoint}, steps=3, batch_size=4, accumulation_steps=2)
    weights = []
    for workers in (0, 2):
        train(dataclasses.replace(config, workers=workers), shapes_clips, None, tmp_path / str(workers))
        weights.append(load_file(tmp_path / str(workers) / "model.safetensors"))
    assert all(torch.equal(weights[1][name], value) for name, value in weights[0].items())
    assert list(tmp_path.glob("0/training/checkpoint-00000003"))


def test_diverged_training_is_reported(shapes_clips, tiny_checkpoint, tmp_path):
    config = recipe(model={"start": tiny_checkpoint}, steps=40, learning_rate=1e30, log_interval=1)
    with pytest.raises(MPVSSError, match=r"training diverged: the loss is (nan|inf) at step \d+; lower learning_rate"):
        train(config, shapes_clips, None, tmp_path)
    assert not (tmp_path / "config.json").exists()


def test_broken_file_ends_the_run_in_one_line_that_names_it(shapes_root, tiny_checkpoint, tmp_path):
    clips = open_clips(shapes_root)
    broken = dataclasses.replace(clips.clips[0].frames[3], read_image=_raise_data_error)
    clips = dataclasses.replace(clips, clips=(dataclasses.replace(clips.clips[0], frames=[broken]),))
    earlier = set(multiprocessing.active_children())
    for workers in (0, 1):
        with pytest.raises(DataError) as caught:
            train(recipe(model={"start": tiny_checkpoint}, workers=workers), clips, None, tmp_path / str(workers))
        assert str(caught.value) == "/data/7.png cannot be read"
    assert set(multiprocessing.active_children()) <= earlier


def _raise_data_error():
    raise DataError("/data/7.png cannot be read")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"class_names": None}, DataError, "does not say which classes it has; a plain folder needs a classes.txt"),
        ({"class_names": ("a", "b")}, DataError, r"has 2 classes \(a, b\) but model '.*' has 3 \(background, robot, wall\)"),
        (
            {"class_names": ("background", "car", "wall")},
            DataError,
            r"\(background, car, wall\) and \(background, robot, wall\).*; or set model.replace_classes: true",
        ),
        ({"clips": ()}, DataError, "has nothing to train on: none of its 0 clips has a labelled frame"),
    ],
)
def test_data_that_cannot_be_trained_on_is_refused_before_training(
    shapes_clips, tiny_checkpoint, tmp_path, changes, error, message
):
    with pytest.raises(error, match=message):
        train(recipe(model={"start": tiny_checkpoint}), dataclasses.replace(shapes_clips, **changes), None, tmp_path)
    assert not list(tmp_path.glob("training/checkpoint*"))


def test_classes_in_another_order_are_trained_and_validated_as_the_models(shapes_clips, tiny_checkpoint, tmp_path):
    config = recipe(model={"start": tiny_checkpoint}, steps=2)
    expected = train(config, shapes_clips, shapes_clips, tmp_path / "same")
    new_index = np.array([2, 0, 1], np.uint8)  # of background, robot, wall
    frames = [
        dataclasses.replace(frame, read_label=lambda read=frame.read_label: new_index[read()])
        for frame in shapes_clips.clips[0].frames
    ]
    clips = (dataclasses.replace(shapes_clips.clips[0], frames=frames),)
    reordered = dataclasses.replace(shapes_clips, class_names=("robot", "wall", "background"), clips=clips)
    assert train(config, reordered, reordered, tmp_path / "reordered") == pytest.approx(expected, nan_ok=True)
    weights, same = (load_file(tmp_path / out / "model.safetensors") for out in ("reordered", "same"))
    assert all(torch.equal(weights[name], value) for name, value in same.items())


def test_validation_data_with_other_classes_or_without_labels_is_refused(shapes_clips, tiny_checkpoint, tmp_path):
    config = recipe(model={"start": tiny_checkpoint})
    with pytest.raises(DataError, match="must have the same classes"):
        train(config, shapes_clips, dataclasses.replace(shapes_clips, class_names=("a",)), tmp_path)
    with pytest.raises(DataError, match="has no labelled frame to validate on"):
        train(config, shapes_clips, dataclasses.replace(shapes_clips, clips=()), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"backbone": "r18"}}, "unknown model.backbone 'r18'; known are r50, .*swin-l, lite0"),
        ({"model": {"backbone": "lite0", "settings": {"queries": 3}}}, "unknown model.settings queries"),
        (
            {"model": {"backbone": "lite0", "settings": {"num_queries": "many"}}},
            "model.settings make no Mask2Former: .*num_queries",
        ),
        ({"batch_size": 3, "accumulation_steps": 2}, r"batch_size must be a multiple of accumulation_steps \(2\), got 3"),
        ({"mixed_precision": "fp16"}, "mixed_precision 'fp16' needs a GPU"),
        ({"stage": "motion"}, "model.start must name a trained segmentor for the stage 'motion'"),
    ],
)
def test_recipes_that_cannot_be_trained_are_refused(shapes_clips, tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        train(recipe(**changes), shapes_clips, None, tmp_path)


def test_motion_module_of_a_start_is_kept_and_so_is_what_auto_stands_for(overfit_segmentor, shapes_clips, tmp_path):
    start = {"start": str(overfit_segmentor[0]), "motion": MOTION}
    train(recipe(stage="motion", model=start, steps=1), shapes_clips, None, tmp_path / "first")
    first = {"start": str(tmp_path / "first")}
    written = json.loads((tmp_path / "first" / "config.json").read_text())
    (tmp_path / "first" / "config.json").write_text(json.dumps({**written, "propagation": "tracked"}))
    train(recipe(stage="motion", model=first, steps=1), shapes_clips, None, tmp_path / "second")
    assert written["propagation"] == "segment"
    assert json.loads((tmp_path / "second" / "config.json").read_text())["propagation"] == "tracked"
    changed = {**first, "motion": {**MOTION, "ffn_size": 32}}
    with pytest.raises(ConfigError, match=r"model.motion does not fit the motion module of .* start from: ffn_size \(64\)"):
        train(recipe(stage="motion", model=changed, steps=1), shapes_clips, None, tmp_path / "third")


def test_motion_module_is_kept_for_a_segmentor_that_is_trained_on(overfit_segmentor, shapes_clips, tmp_path):
    start = {"start": str(overfit_segmentor[0]), "motion": MOTION}
    train(recipe(stage="motion", model=start, steps=1), shapes_clips, None, tmp_path / "mpvss")
    kept = {"start": str(tmp_path / "mpvss"), "motion_from": str(tmp_path / "mpvss")}
    train(recipe(model=kept, steps=1), shapes_clips, None, tmp_path / "kept")
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("mpvss", "kept"))
    assert first.keys() == second.keys()
    changed = {name for name, value in first.items() if not torch.equal(second[name], value)}
    assert changed and not any(name.startswith("motion.") for name in changed)
    with pytest.raises(ConfigError, match="motion_from names '.*', which has no motion module"):
        train(recipe(model={**kept, "motion_from": str(overfit_segmentor[0])}), shapes_clips, None, tmp_path / "none")
    with pytest.raises(ConfigError, match="takes 6 queries of 32 channels, but the segmentor makes 24 of 96"):
        train(recipe(model={**kept, "start": "rooms-lite", "replace_classes": True}), shapes_clips, None, tmp_path / "other")


def test_validation_decides_how_a_new_motion_module_is_used(overfit_segmentor, shapes_clips, tmp_path):
    start = {"start": str(overfit_segmentor[0]), "motion": MOTION}
    metrics = train(recipe(stage="motion", model=start, steps=1), shapes_clips, shapes_clips, tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())["propagation"]
    assert written == ("segment" if metrics["miou"] > metrics["tracked/miou"] + 0.001 else "tracked")
    stream = StreamConfig(max_interval_frames=KEY_FRAME_INTERVAL)
    tracked = VideoSegmentor.from_pretrained(str(tmp_path), device="cpu", propagation="tracked", config=stream)
    evaluation = ClipEvaluation(tracked)
    evaluation.run(shapes_clips.clips)
    assert metrics["tracked/miou"] == pytest.approx(evaluation.confusion.miou, abs=1e-3)


def test_motion_module_can_go_on_as_one_that_refines_tracked_flow(overfit_segmentor, shapes_clips, tmp_path):
    start = {"start": str(overfit_segmentor[0]), "motion": MOTION}
    train(recipe(stage="motion", model=start, steps=1), shapes_clips, None, tmp_path / "first")
    refining = {"start": str(tmp_path / "first"), "motion": {"refines_tracked_flow": True}}
    metrics = train(
        recipe(stage="motion", model=refining, steps=50, freeze_heads=True), shapes_clips, shapes_clips, tmp_path / "second"
    )
    stream = StreamConfig(max_interval_frames=KEY_FRAME_INTERVAL)
    segmentor = VideoSegmentor.from_pretrained(str(tmp_path / "second"), device="cpu", propagation="segment", config=stream)
    assert isinstance(segmentor.propagator, RefinedFlowPropagator)
    evaluation = ClipEvaluation(segmentor)
    evaluation.run(shapes_clips.clips)
    assert evaluation.confusion.miou == pytest.approx(metrics["miou"], abs=1e-3)
    assert metrics["miou"] > 0.7
    with pytest.raises(ConfigError, match="loss.flow_weight must be 0 for a motion module that refines tracked flow"):
        train(recipe(stage="motion", model=refining, loss={"flow_weight": 1.0}), shapes_clips, None, tmp_path / "third")


def test_model_that_imitates_itself_sees_past_flaws_and_keeps_its_motion_module(overfit_segmentor, shapes_clips, tmp_path):
    start = {"start": str(overfit_segmentor[0]), "motion": MOTION}
    train(recipe(stage="motion", model=start, steps=1), shapes_clips, None, tmp_path / "mpvss")
    augmentation = {**dataclasses.asdict(recipe().augmentation), "sensor_probability": 0.5, "max_noise": 60.0}
    settings = {"augmentation": augmentation, "learning_rate": 5e-4, "weight_decay": 0.0}
    backbone = recipe(stage="backbone", model={"start": str(tmp_path / "mpvss")}, steps=150, **settings)
    train(backbone, shapes_clips, None, tmp_path / "backbone")
    models = {"start": str(tmp_path / "backbone"), "teacher": str(tmp_path / "mpvss")}
    decoder = recipe(stage="decoder", model=models, steps=50, **settings)
    assert train(decoder, shapes_clips, shapes_clips, tmp_path / "decoder")["miou"] > 0.8

    first, trained = (load_file(tmp_path / name / "model.safetensors") for name in ("mpvss", "decoder"))
    assert trained.keys() == first.keys()
    changed = {name for name, value in first.items() if not torch.equal(trained[name], value)}
    assert changed and not any(name.startswith("motion.") for name in changed)

    def noisy_accuracy(model: Path) -> float:
        segmentor = VideoSegmentor.from_pretrained(str(model), device="cpu", config=StreamConfig(max_interval_frames=1))
        rng, agreeing = np.random.default_rng(0), []
        for i in range(NUM_FRAMES):
            image, label = shapes(i)
            noisy = np.clip(image + rng.normal(0, 120, image.shape), 0, 255).astype(np.uint8)
            agreeing.append((segmentor.step(noisy, i / 15).labels == label).mean())
        return float(np.mean(agreeing))

    assert noisy_accuracy(tmp_path / "decoder") > noisy_accuracy(tmp_path / "mpvss") + 0.01


def test_teacher_of_other_sizes_is_refused(overfit_segmentor, tiny_checkpoint, shapes_clips, tmp_path):
    models = {"start": str(overfit_segmentor[0]), "teacher": tiny_checkpoint}
    augmentation = {**dataclasses.asdict(recipe().augmentation), "sensor_probability": 0.5}
    with pytest.raises(ConfigError, match=r"model.teacher '.*' must have the sizes of model.start '.*'"):
        train(recipe(stage="decoder", model=models, augmentation=augmentation), shapes_clips, None, tmp_path)


def test_image_statistics_of_the_start_are_kept(tiny_checkpoint, shapes_clips, tmp_path):
    start = tmp_path / "start"
    shutil.copytree(tiny_checkpoint, start)
    statistics = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.1, 0.2, 0.3]}
    (start / "preprocessor_config.json").write_text(json.dumps(statistics))
    train(recipe(model={"start": str(start)}, steps=1), shapes_clips, None, tmp_path / "out")
    written = json.loads((tmp_path / "out" / "preprocessor_config.json").read_text())
    assert {name: written[name] for name in statistics} == statistics
