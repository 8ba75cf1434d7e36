import cv2
import numpy as np

from mpvss_model.adaptation.mixed_folder import check_mixed, write_mixed_folder
from mpvss_model.data import open_clips


def test_parts_are_those_of_the_lists_whatever_clips_are_called(tmp_path):
    source, names = tmp_path / "rooms", ["living room", "küche", "c"]
    for name in names:
        for kind in ("images", "labels"):
            (source / name / kind).mkdir(parents=True)
            cv2.imwrite(str(source / name / kind / "0.png"), np.zeros((32, 32), np.uint8))
    (source / "classes.txt").write_text("wall\nfloor\n")
    (source / "train.txt").write_text("living room\nküche\n", encoding="utf-8")
    (source / "val.txt").write_text("c\n")
    write_mixed_folder(source, check_mixed(source, ("wall", "floor"), "student"), tmp_path / "mix")
    for part, expected in (("train", names[:2]), ("val", names[2:])):
        assert [clip.name for clip in open_clips(tmp_path / "mix", split=part).clips] == expected
