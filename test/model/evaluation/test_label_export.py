from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mpvss_model.data import Frame
from mpvss_model.data.cityscapes import CITYSCAPES_CLASSES
from mpvss_model.data.vspw import VSPW_CLASSES
from mpvss_model.errors import ConfigError, DataError
from mpvss_model.evaluation.label_export import LabelExport


def frame(name: str = "", is_labelled: bool = True) -> Frame:
    return Frame(
        stamp_ns=7,
        read_image=lambda: None,
        read_label=(lambda: None) if is_labelled else None,
        image_file=Path(f"{name}.png") if name else None,
    )


def written(folder) -> dict[str, list[int]]:
    """The values of each file, by its path."""
    files = {}
    for path in sorted(folder.rglob("*.png")):
        with Image.open(path) as image:
            assert image.mode == "L"
            files[str(path.relative_to(folder))] = np.array(image).ravel().tolist()
    return files


def labels(*values: int) -> np.ndarray:
    return np.array([values], np.uint8)


def test_vspw_gets_a_folder_for_each_video_and_indices_from_zero(tmp_path):
    backwards = tuple(name.upper() for name in reversed(VSPW_CLASSES))
    with LabelExport(tmp_path / "out", "vspw") as export:
        export.use_classes(backwards, "model")
        export.start_clip("12_abc")
        export.write(frame("00000001", is_labelled=False), labels(0, 123, 255))
        assert not (tmp_path / "out").exists()
    assert written(tmp_path / "out") == {"12_abc/00000001.png": [123, 0, 255]}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_cityscapes_gets_the_label_ids_of_labelled_frames_in_one_folder(tmp_path):
    (tmp_path / "out").mkdir()
    with LabelExport(tmp_path / "out", "cityscapes") as export:
        export.use_classes(CITYSCAPES_CLASSES, "model")
        export.start_clip("frankfurt_000000_000294")
        export.write(frame("frankfurt_000000_000293_leftImg8bit", is_labelled=False), labels(0))
        export.write(frame("frankfurt_000000_000294_leftImg8bit"), labels(0, 1, 18, 16, 255))
    assert written(tmp_path / "out") == {"frankfurt_000000_000294_pred.png": [7, 8, 33, 31, 0]}


def test_indices_are_written_as_they_are_and_frames_of_recordings_are_named_by_their_stamps(tmp_path):
    with LabelExport(tmp_path / "out") as export:
        export.use_classes(("a", "b", "c"), "model")
        export.start_clip("bag")
        export.write(frame(), labels(2, 0, 255))
    assert written(tmp_path / "out") == {"bag/7.png": [2, 0, 255]}


def test_classes_of_another_benchmark_are_refused_and_leave_nothing(tmp_path):
    refused = pytest.raises(DataError, match="model 'rooms' has other classes than vspw.*use --ids index")
    with refused, LabelExport(tmp_path / "out", "vspw") as export:
        export.use_classes(("wall", "floor"), "rooms")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "old.png").touch()
    for place in (tmp_path, tmp_path / "old.png"):
        with pytest.raises(DataError, match="is there already: labels go to a folder that is new or empty"):
            LabelExport(place)
    with pytest.raises(ConfigError, match="ids must be one of index, vspw, cityscapes, got 'ade'"):
        LabelExport(tmp_path / "out", "ade")
    assert [path.name for path in tmp_path.iterdir()] == ["old.png"]


def test_what_fails_midway_leaves_no_folder_and_what_a_killed_run_left_is_not_mixed_in(tmp_path):
    (tmp_path / ".unfinished-out").mkdir()
    (tmp_path / ".unfinished-out" / "stale.png").touch()
    with LabelExport(tmp_path / "out") as export:
        export.use_classes(("a",), "model")
        export.start_clip("clip")
        export.write(frame("0"), labels(0))
    assert list(written(tmp_path / "out")) == ["clip/0.png"]
    refused = pytest.raises(DataError, match="two frames would be called 0_pred.png with --ids cityscapes")
    with refused, LabelExport(tmp_path / "other", "cityscapes") as export:
        export.use_classes(CITYSCAPES_CLASSES, "model")
        for clip in ("a", "b"):
            export.start_clip(clip)
            export.write(frame("0"), labels(0))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
