"""``mpvss labelspace``: the files are written, and what cannot be used is refused in one line."""

from pathlib import Path

import pytest
import yaml


@pytest.mark.parametrize(
    ("consumer", "ends"),
    [
        ("hydra", ["label_space.yaml", "colors.csv"]),
        ("nav2", ["nav2_costmap.yaml"]),
        ("elevation_mapping", ["elevation_mapping.yaml"]),
    ],
)
def test_files_are_written_and_told(mpvss, tiny_checkpoint, tmp_path, consumer, ends):
    exit_code, out, _ = mpvss("labelspace", tiny_checkpoint, "--for", consumer, "--out", tmp_path / "new")
    files = [tmp_path / "new" / f"{Path(tiny_checkpoint).name}_{end}" for end in ends]
    assert exit_code == 0 and out.replace("\n", "").strip() == "".join(map(str, files))
    assert sorted((tmp_path / "new").iterdir()) == sorted(files)


def test_class_map_and_roles_are_the_users(mpvss, tiny_checkpoint, tmp_path):
    entries = ("--class-map", "robot=thing", "--class-map", "wall=")
    options = ("--for", "hydra", "--out", tmp_path, *entries, "--unlabeled-id", "0", "--objects", "thing", "--dynamic", "")
    assert mpvss("labelspace", tiny_checkpoint, *options)[0] == 0
    space = yaml.safe_load(next(tmp_path.glob("*_label_space.yaml")).read_text())
    assert space["label_names"] == [
        {"label": 0, "name": "unlabeled"},
        {"label": 1, "name": "background"},
        {"label": 2, "name": "thing"},
    ]
    assert (space["object_labels"], space["dynamic_labels"]) == ([2], [])
    exit_code, _, error = mpvss("labelspace", tiny_checkpoint, *options)
    assert exit_code == 2 and "is there already: give --overwrite" in error
    assert mpvss("labelspace", tiny_checkpoint, *options, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--for", "kimera"), "--for kimera must be one of nav2, hydra, elevation_mapping"),
        (("--for", "hydra", "--objects", "lawn"), "--objects names the class 'lawn'"),
        (("--for", "hydra", "--class-map", "lawn"), "must be a list of 'class=name', got 'lawn'"),
        (("--for", "nav2", "--out", "{file}"), "there is a file"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(mpvss, tiny_checkpoint, tmp_path, options, message):
    (tmp_path / "file").touch()
    options = [str(tmp_path / "file") if option == "{file}" else option for option in options]
    exit_code, _, error = mpvss("labelspace", tiny_checkpoint, *options)
    assert exit_code == 2 and message in error and error.count("\n") == 1
