"""A whole adaptation, of tiny models."""

import json
import os
import re
import signal

import cv2
import numpy as np
import pytest
import yaml

from mpvss_model import ConfigError, VideoSegmentor
from mpvss_model.adaptation import AdaptationConfig, adapt
from mpvss_model.data import ClipSet, open_clips
from mpvss_model.evaluation.study.source import Source
from mpvss_model.labelling import ClassMapping
from mpvss_model.runtime.interruption import Interrupted
from mpvss_model.training import TrainingConfig


@pytest.fixture(scope="module")
def source(small_clips):
    """Eighteen frames of video whose labels nobody looks at."""
    clips = open_clips(small_clips, split="first")
    return Source(name="Drive 1", location=str(small_clips), clip_set=ClipSet(clips.name, None, clips.clips))


@pytest.fixture
def call(source, small_clips, tiny_checkpoint, tiny_motion_checkpoint, tmp_path):
    """Two steps of training, mixed with the clips' own labels; the result is taken whatever it is, unless told otherwise."""

    def adapted(*, sources=(source,), on_progress=lambda *_: None, **changes):
        settings = {
            "teacher": tiny_checkpoint,
            "student": tiny_motion_checkpoint,
            "mix": small_clips,
            "steps": 2,
            "min_gain": -1.0,
            "max_loss": 1.0,
        }
        config = AdaptationConfig(**(settings | changes))
        return adapt(sources, tmp_path / "out", config, on_progress=on_progress)

    return adapted


def test_a_result_that_is_taken_is_a_model_with_the_motion_module_of_before(call, tmp_path, tiny_motion_checkpoint):
    stages = []
    report = call(on_progress=lambda what, done, total: stages.append((what, done, total)))
    assert report.verdict.is_taken
    assert (report.teaching.frames, report.photographs) == ({"train": 14, "val": 3}, [])
    assert stages[17] == ("labelling Drive 1", 18, 18) and stages[-1] == ("training", 0, 0)
    out = tmp_path / "out"
    model, old = (VideoSegmentor.from_pretrained(str(path), propagation="segment") for path in (out, tiny_motion_checkpoint))
    assert model.class_names == ("background", "robot", "wall")
    for ours, theirs in zip(model.propagator.module.parameters(), old.propagator.module.parameters(), strict=True):
        assert ours.equal(theirs)
    teaching = open_clips(out / "teaching", split="val")
    assert [(clip.name, len(clip.frames)) for clip in teaching.clips] == [("drive-1-a-val", 3)]
    told = json.loads((out / "report.json").read_text())
    assert told["taken"] and told["steps"] == 2 and told["held_back"]["frames"] == 3 and told["mixed"]["frames"] == 17
    page = (out / "report.md").read_text()
    assert "**The adapted model is taken: held-back frames" in page and "| robot |" in page and "## Mixed-in data" in page
    assert cv2.imread(str(out / re.search(r"\((.*png)\)", page)[1])).shape[1] > 500
    recipe = TrainingConfig.from_mapping(yaml.safe_load((out / "recipe.yaml").read_text()))
    assert (recipe.steps, recipe.model.motion_from) == (2, tiny_motion_checkpoint)
    # Judged anew by stricter rules, the model is gone and the report says why.
    report = call(min_gain=0.9)
    assert not report.verdict.is_taken
    assert not (out / "config.json").exists() and not (out / "model.safetensors").exists()
    assert "**The old model is kept, since the adapted one gained less than 90 points" in (out / "report.md").read_text()


def test_what_was_stopped_goes_on(call, tmp_path):
    def stop(what, done, total):
        if what.startswith("labelling") and done == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="stopped by SIGTERM after 5 of 18 frames"):
        call(on_progress=stop)
    assert len(list((tmp_path / "out/labels").rglob("labels/*.png"))) == 5
    assert call(mix=None).teaching.frames == {"train": 14, "val": 3}
    assert "Nothing was mixed in" in (tmp_path / "out/report.md").read_text()


def test_only_sure_pixels_teach_in_photographs_unless_another_view_agrees(call, tiny_checkpoint, tmp_path, small_clips):
    rng = np.random.default_rng(0)
    for i in range(10):
        path = tmp_path / "photos/images" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cv2.resize(rng.integers(0, 255, (6, 8, 3)).astype(np.uint8), (128, 96)))
    photos = Source(name="photos", location=str(tmp_path / "photos"), clip_set=open_clips(tmp_path / "photos"))
    report = call(sources=(photos,), mix=None, steps=1, min_confidence=1.0)
    assert report.photographs == ["photos-photos"]
    out = tmp_path / "out"
    for part in ("train", "val"):
        for frame in open_clips(out / "teaching", split=part).clips[0].frames:
            name = frame.image_file.name
            first, second, confidence = (
                cv2.imread(str(out / kind / "photos/photos" / folder / name), cv2.IMREAD_UNCHANGED)
                for kind, folder in (("labels", "labels"), ("views", "labels"), ("labels", "confidence"))
            )
            expected = np.where((first == second) | (confidence == 255), first, 255)
            assert np.array_equal(frame.read_label(), expected)


def test_a_limit_in_minutes_becomes_a_number_of_steps_that_stays(call, tmp_path):
    steps = call(mix=None, minutes=0.01).steps
    assert steps >= 2
    assert call(mix=None, minutes=0.01).steps == steps


def test_teacher_and_student_of_other_classes_need_a_map(call, tmp_path):
    with pytest.raises(
        ConfigError,
        match=r"teacher 'rooms-lite' has other classes \(wall, floor, ceiling, door, ...\) than student .*"
        r"\(background, robot, wall\): give --classes MAP.yaml that leads to the student's",
    ):
        call(teacher="rooms-lite")
    mapping = ClassMapping("own", ("wall", "thing"), {"wall": "wall", "*": "thing"})
    with pytest.raises(ConfigError, match=r"the class map 'own' leads to other classes \(wall, thing\) than student .*: give"):
        call(teacher="rooms-lite", mapping=mapping)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"every": 0}, "every must be at least 1, got 0"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"minutes": -1.0}, "minutes must be above 0, got -1.0"),
        ({"min_confidence": 1.5}, "min_confidence must be 0 to 1, got 1.5"),
        ({"mix_share": 1.0}, "mix_share must be 0 to 0.9, got 1.0"),
    ],
)
def test_settings_out_of_range_are_refused(call, change, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        call(**change)
