"""What plots show lies within the picture."""

import numpy as np
import pytest
from PIL import Image

from mpvss_model.evaluation.study.report.plots import write_plots
from mpvss_model.evaluation.study.study_report import RunFigures, SourceFigures, SourceReport, StudyReport

LONG_NAME = "living_room_with_a_view_over_the_garden_and_the_lake_and_the_hills_and_the_moon_of_2026"
METHODS = ("copy", "dense", "tracked", "pixel", "segment")


def run(method, interval, motion_threshold=0.0, history_weight=0.0):
    return RunFigures(
        way=f"{method}, with history" if history_weight else method,
        method=method,
        interval=interval,
        motion_threshold=motion_threshold,
        history_weight=history_weight,
        key_frames=10,
        miou=0.5,
        weighted_iou=None,
        mvc8=None,
        mvc16=None,
        gflops_per_frame=1.0,
        ms_per_frame=1.0,
        iou_per_class={},
    )


def source(name):
    grid = [run("per-frame", 1), *(run(method, interval) for method in METHODS for interval in (3, 5))]
    grid += [run(method, interval, history_weight=0.5) for method in ("tracked", "segment") for interval in (1, 3, 5)]
    robustness = {"none": 0.6, "strong noise": 0.5, "motion blur": 0.4}
    figures = SourceFigures(
        clips=1,
        frames=50,
        labelled_frames=50,
        frame_sizes=[[32, 48]],
        inference_sizes=[[32, 48]],
        key_ms={},
        propagated_ms={},
        key_ms_deviation={},
        propagated_ms_deviation={},
        grid=[*grid, run("tracked", 5, 0.03, 0.5)],
        miou_by_distance={method: [0.6, 0.5] for method in ("per-frame", *METHODS)},
        robustness=robustness,
        robustness_deviation={"none": 0.0, "strong noise": 0.02, "motion blur": None},
    )
    return SourceReport(name=name, location="", notes=[], figures=figures, pictures={})


@pytest.mark.parametrize("names", [("one",), (LONG_NAME,), ("a", LONG_NAME), ("a", "b", LONG_NAME, LONG_NAME.upper())])
def test_nothing_is_cut_off_however_many_sources_there_are_and_however_long_their_names(names, tmp_path):
    report = StudyReport(
        command="",
        model="m",
        model_location="m",
        parameters=1,
        class_names=[],
        has_motion_module=True,
        refines_tracked_flow=False,
        cpu="",
        device="CPU",
        threads=1,
        intervals=[3, 5],
        corruption_every_frames=5,
        corruption_repeats=1,
        seed=0,
        versions={},
        sources=[source(name) for name in names],
    )
    write_plots(tmp_path, report)
    for file in ("miou_over_interval.png", "miou_over_distance.png", "robustness.png"):
        pixels = np.array(Image.open(tmp_path / file).convert("L"))
        edges = [pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]
        assert all((edge == 255).all() for edge in edges), file
        assert (pixels < 128).sum() > 1000
