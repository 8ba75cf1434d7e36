from __future__ import annotations

import csv

import pytest
from PIL import Image

from mpvss_model.errors import ConfigError
from mpvss_model.evaluation.confusion_files import write_confusion

COUNTS = [[8, 2, 0], [1, 4, 5]]


def test_csv_has_the_counts_by_name(tmp_path):
    write_confusion(tmp_path / "new" / "matrix.csv", COUNTS, ["wall", "door, open"])
    with (tmp_path / "new" / "matrix.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["ground truth", "wall", "door, open", "unlabeled"],
            ["wall", "8", "2", "0"],
            ["door, open", "1", "4", "5"],
        ]


@pytest.mark.parametrize("classes", [2, 124])
def test_png_is_a_whole_picture_for_few_and_many_classes(tmp_path, classes):
    counts = [[10 * (row == column) for column in range(classes + 1)] for row in range(classes)]
    write_confusion(tmp_path / "matrix.PNG", counts, [f"class {i}" for i in range(classes)])
    with Image.open(tmp_path / "matrix.PNG") as picture:
        picture.load()
        assert picture.width > picture.height > 250
        colors = picture.convert("RGB").getcolors(1 << 24)
    assert max(count for count, color in colors if color == (8, 48, 107)) > 100, "the diagonal is full"
    assert [path.name for path in tmp_path.iterdir()] == ["matrix.PNG"]


def test_other_kinds_of_files_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"a confusion matrix is written as .csv or .png, got '.*matrix.txt'"):
        write_confusion(tmp_path / "matrix.txt", COUNTS, ["a", "b"])
    assert list(tmp_path.iterdir()) == []
