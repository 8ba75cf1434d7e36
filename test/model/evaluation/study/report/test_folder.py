"""A study replaces an earlier one of the same model, and nothing else."""

import json

import pytest

from mpvss_model import ConfigError
from mpvss_model.evaluation.study.report.folder import StudyFolder

PICTURE = "worst-segmentation-a.png"


def write_study(path, model="runs/a", pictures=(PICTURE,), overwrite=False):
    folder = StudyFolder(path, model)
    folder.check(overwrite=overwrite)
    folder.make()
    with folder.result() as new:
        sources = [{"pictures": dict(enumerate(pictures))}]
        (new / "study.json").write_text(json.dumps({"model_location": model, "sources": sources}))
        for name in ("README.md", "robustness.png", *pictures):
            (new / name).write_text(model)


def files(path):
    return {file.name: file.read_text() for file in path.iterdir() if file.is_file()}


def test_a_study_of_the_same_model_is_replaced_wholly_and_other_files_stay(tmp_path):
    write_study(tmp_path, pictures=(PICTURE, "worst-propagation-a.png"))
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "worst-of-all.png").write_text("mine, too")
    write_study(tmp_path, "./runs/a/", pictures=("worst-segmentation-b.png",))
    assert set(files(tmp_path)) == {
        "study.json", "README.md", "robustness.png", "worst-segmentation-b.png", "notes.txt", "worst-of-all.png"
    }  # fmt: skip
    assert files(tmp_path)["README.md"] == "./runs/a/"


def test_a_study_of_another_model_is_replaced_on_request_only(tmp_path):
    write_study(tmp_path)
    before = files(tmp_path)
    with pytest.raises(ConfigError, match=r"holds a study of model 'runs/a', not of 'runs/b': .* with --overwrite"):
        write_study(tmp_path, "runs/b")
    assert files(tmp_path) == before
    write_study(tmp_path, "runs/b", overwrite=True)
    assert files(tmp_path)["README.md"] == "runs/b"


@pytest.mark.parametrize("name", ["README.md", "miou_over_interval.png", PICTURE])
def test_files_that_no_study_wrote_are_never_replaced(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigError, match=rf"holds {name}, which no study wrote: choose another folder with --out"):
        write_study(tmp_path, overwrite=True)
    assert files(tmp_path) == {name: "mine"}


@pytest.mark.parametrize(("text", "message"), [("{}", "was not written by this version of a study"), ("[", "no JSON file")])
def test_a_file_that_only_looks_like_a_study_is_never_replaced(tmp_path, text, message):
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(ConfigError, match=message):
        write_study(tmp_path, overwrite=True)
    assert files(tmp_path) == {"study.json": text}


def test_a_study_that_fails_leaves_the_earlier_one(tmp_path):
    write_study(tmp_path)
    before = files(tmp_path)
    folder = StudyFolder(tmp_path, "runs/a")
    with pytest.raises(ZeroDivisionError), folder.result() as new:
        (new / "README.md").write_text("half")
        _ = 1 / 0
    assert files(tmp_path) == before and not (tmp_path / ".unfinished").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError, match=rf"cannot write a study to '{place}': .*; choose another folder with --out"):
            write_study(place)
