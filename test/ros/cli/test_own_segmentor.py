"""``mpvss evaluate`` with a segmentor of a user's own, which has what `KeyFrameSegmentor` asks for and nothing else."""

import cv2
import numpy as np
import pytest

from mpvss_model import ConfigError, StreamConfig, VideoSegmentor
from mpvss_model.evaluation.flops import loaded_cost
from mpvss_model.evaluation.source_evaluation import evaluate_clips
from mpvss_ros.bags.labelled_source import open_labelled_source
from mpvss_ros.cli.common.tables import evaluation_table
from test.brightness import BrightnessSegmentor, make_segmentor, scene

FRAMES = 4


class SegmentorOfAnotherNetwork(BrightnessSegmentor):
    """Its network is no Mask2Former."""

    model = object()


@pytest.fixture
def folder(tmp_path):
    for name in ("images", "labels"):
        (tmp_path / "clip" / name).mkdir(parents=True)
    (tmp_path / "classes.txt").write_text("dark\nbright\n")
    for i in range(FRAMES):
        frame = scene(3 * i)
        cv2.imwrite(str(tmp_path / "clip" / "images" / f"{i:04d}.png"), frame[..., ::-1])
        cv2.imwrite(str(tmp_path / "clip" / "labels" / f"{i:04d}.png"), (frame.mean(axis=-1) > 128).astype(np.uint8))
    return tmp_path


@pytest.mark.parametrize("kind", [BrightnessSegmentor, SegmentorOfAnotherNetwork])
def test_everything_but_its_cost_is_measured(monkeypatch, folder, kind):
    def load(model, *, config=None, **_):
        return make_segmentor(kind(), max_interval_frames=(config or StreamConfig()).max_interval_frames)

    monkeypatch.setattr(VideoSegmentor, "from_pretrained", load)
    config = StreamConfig(max_interval_frames=2)
    clips = open_labelled_source(folder)
    report = evaluate_clips(clips, source="folder", model="mine", propagation="tracked", config=config)
    assert (report.frames, report.key_frames, report.model) == (FRAMES, 2, "brightness")
    assert report.miou > 0.9 and report.fps > 0
    assert report.gflops_per_frame is None
    with pytest.raises(
        ConfigError, match="model 'brightness' does not say what it costs: its segmentor needs a method `cost`"
    ):
        loaded_cost("mine", frame_size=(48, 64))
    table = evaluation_table(report)
    cells = dict(zip(*(column.cells for column in table.columns), strict=True))
    assert cells["gflops_per_frame"] == "-"
