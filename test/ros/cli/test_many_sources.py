"""The commands on folders of bags, patterns and several sources."""

import json
import shutil

import pytest

from mpvss_model.evaluation.metrics import ConfusionMatrix
from mpvss_model.evaluation.study.source import check_names
from mpvss_ros.bags.fleet import evaluation
from mpvss_ros.bags.fleet.sources import found_sources
from mpvss_ros.bags.labelled_source import open_sources

from .. import recordings


@pytest.fixture
def drives(tmp_path):
    """A folder of two bags of one name."""
    for day in ("monday", "tuesday"):
        (tmp_path / "drives" / day).mkdir(parents=True)
        recordings.write_bag(tmp_path / "drives" / day / "drive", recordings.camera(frames=4))
    return tmp_path / "drives"


def test_labels_of_a_folder_of_bags_are_a_table_and_a_ledger_and_a_failure_ends_with_code_1(
    mpvss, drives, tiny_checkpoint, tmp_path
):
    out, options = tmp_path / "labels", ("--model", tiny_checkpoint, "--bag")
    code, said, progress = mpvss("label", drives, "--out", out, *options)
    assert code == 0
    rows = [line.split() for line in said.splitlines()]
    assert rows[1:] == [["monday_drive", "done", "4"], ["tuesday_drive", "done", "4"], [str(out / "sources.json")]]
    assert progress.splitlines() == ["1 of 2, monday_drive: 4 frames", "2 of 2, tuesday_drive: 4 frames"]
    shutil.copytree(drives / "monday", drives / "wednesday")
    (drives / "wednesday/drive/metadata.yaml").write_text("nothing")
    code, said, progress = mpvss("label", drives / "*/drive", "--out", out, *options)
    assert code == 1
    assert "tuesday_drive done before 4" in " ".join(said.split())
    assert said.splitlines()[-2].startswith("  drive: failed: bag '") and "metadata.yaml that is empty" in said
    assert progress.splitlines()[0] == "2 of 3 sources are done already"
    states = {row["name"]: row["state"] for row in json.loads((out / "sources.json").read_text())["sources"]}
    assert states == {"monday_drive": "done", "tuesday_drive": "done", "drive": "failed"}


def test_several_sources_do_not_go_into_one_file(mpvss, drives, tiny_checkpoint, tmp_path):
    code, _, said = mpvss("label", drives, "--out", tmp_path / "one.mcap", "--model", tiny_checkpoint)
    assert code == 2 and "is one bag, and there may be several sources" in said


def test_one_source_by_several_workers_is_told_like_one_by_this_process(mpvss, drives, tiny_checkpoint, tmp_path):
    out = tmp_path / "labels"
    options = ("--model", tiny_checkpoint, "--workers", "2", "--piece-frames", "2")
    code, said, _ = mpvss("label", drives / "monday/drive", "--out", out, *options)
    assert (code, said) == (0, f"4 frames of 3 classes in {out}\n")
    assert len(list((out / "drive/labels").iterdir())) == 4
    code, _, said = mpvss("label", "nowhere", "--out", tmp_path / "none", *options)
    assert (code, said.splitlines()[-1].partition(":")[0]) == (2, "mpvss") and "no bag at 'nowhere'" in said
    assert not (tmp_path / "none").exists()


def test_evaluations_of_several_sources_are_one_table_and_are_not_made_again(
    mpvss, small_clips, drives, tiny_checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "120")
    sources = (f"{small_clips}:first", f"{small_clips}:second")
    options = ("--model", tiny_checkpoint, "--propagation", "copy", "--interval", "2,3", "--out", tmp_path / "all.json")
    code, said, _ = mpvss("evaluate", *sources, *options)
    assert code == 0
    runs = [row["runs"] for row in json.loads((tmp_path / "all.json").read_text())["sources"]]
    rows = [line.split() for line in said.splitlines()]
    names = [f"{small_clips.name}-first"] * 2 + [f"{small_clips.name}-second"] * 2 + ["all"] * 2
    assert [row[0] for row in rows if row and row[0] in names] == names
    for interval, (first, second) in zip((2, 3), zip(*runs, strict=True), strict=True):
        pooled = ConfusionMatrix(3)
        for run in (first, second):
            pooled.counts += run["confusion_matrix"]
        assert f"all copy {interval} 35 {pooled.miou:.3f} {pooled.weighted_iou:.3f}" in " ".join(said.split())
    begun = []
    evaluate = evaluation.EvaluateSource.__call__
    monkeypatch.setattr(evaluation.EvaluateSource, "__call__", lambda self, link: begun.append(self) or evaluate(self, link))
    nowhere = str(drives / "nowhere")
    code, said, _ = mpvss("evaluate", *sources, str(drives / "monday/drive"), nowhere, *options)
    assert code == 1
    assert [work.location for work in begun] == [str(drives / "monday/drive"), nowhere]
    assert "nowhere failed" in " ".join(said.split()) and f"  nowhere: failed: no bag at '{nowhere}'" in said
    assert f"{small_clips.name}-first done before, copy 2 18" in " ".join(said.split())


def test_bags_of_one_name_are_different_sources_of_a_study(drives):
    sources = open_sources(found_sources([str(drives)]).locations)
    assert [source.name for source in sources] == ["monday_drive", "tuesday_drive"]
    check_names(sources)


@pytest.mark.parametrize("option", ["--per-class", "--confusion=a.csv", "--export=labels"])
def test_what_is_of_one_source_is_refused_for_several(mpvss, small_clips, option):
    code, _, said = mpvss("evaluate", f"{small_clips}:first", f"{small_clips}:second", option)
    assert code == 2 and f"{option.partition('=')[0]} takes one source, got several; --out has" in said


def test_bad_fleets_are_refused_in_one_line(mpvss, small_clips):
    code, _, said = mpvss("evaluate", small_clips, "--workers", "0")
    assert code == 2 and said == "mpvss: workers must be a whole number of at least 1, got 0\n"
    code, _, said = mpvss("evaluate", small_clips, "--workers", "2", "--export", "labels")
    assert code == 2 and "--export takes the labels of one process" in said
