from pathlib import Path

import pytest

from mpvss_model.data import evaluated_split, open_clips, path_and_split
from mpvss_model.errors import ConfigError, DataError


def test_a_location_may_name_a_split_and_a_path_may_have_a_colon(tmp_path):
    (tmp_path / "odd:name").mkdir()
    assert path_and_split(str(tmp_path / "odd:name")) == (tmp_path / "odd:name", None)
    assert path_and_split(f"{tmp_path}:val") == (tmp_path, "val")
    assert path_and_split(f"{tmp_path}/odd:name:val", "val") == (tmp_path / "odd:name", "val")
    assert path_and_split(str(tmp_path), "val") == (tmp_path, "val")
    with pytest.raises(ConfigError, match="names the split 'val', and the split 'test' is given, too"):
        path_and_split(f"{tmp_path}:val", "test")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["train.txt", "val.txt", "test.txt"], "val"),
        (["train.txt", "test.txt"], "test"),
        (["gtFine/test/x", "gtFine/train/x"], "test"),
        (["gtFine/val/x"], "val"),
        (["train.txt", "classes.txt"], None),
        (["val.txt", "images/0.png"], None),
    ],
)
def test_what_a_model_is_measured_on_is_never_what_it_was_trained_on(tmp_path, files, expected):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert evaluated_split(tmp_path) == expected


def test_file_that_is_no_list_of_clips_decides_nothing(tmp_path):
    (tmp_path / "clip" / "images").mkdir(parents=True)
    (tmp_path / "val.txt").write_bytes("Tür\n".encode("latin-1"))
    assert evaluated_split(tmp_path) is None
    (tmp_path / "val.txt").write_bytes("clip\nTür\n".encode("latin-1"))
    assert evaluated_split(tmp_path) == "val"


def test_all_clips_of_a_folder_can_be_asked_for(small_clips, tmp_path):
    assert [clip.name for clip in open_clips(small_clips, split="all").clips] == ["a", "b"]
    assert open_clips(small_clips, split="all").split == "all" and open_clips(small_clips).split is None
    copied = Path(tmp_path / "copy")
    copied.mkdir()
    (copied / "b").symlink_to(small_clips / "b")
    (copied / "a").symlink_to(small_clips / "a")
    (copied / "all.txt").write_text("b\n")
    assert [clip.name for clip in open_clips(copied, split="all").clips] == ["b"]
    with pytest.raises(DataError, match="none.txt is missing"):
        open_clips(copied, split="none")
