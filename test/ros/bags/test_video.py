from pathlib import Path

import cv2
import numpy as np
import pytest

from mpvss_model import DataError
from mpvss_ros.bags.bag import Bag
from mpvss_ros.bags.video import bag_from_video
from mpvss_ros.messages.conversions import rgb_from_message, stamp_ns


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (64, 48))
    for i in range(5):
        writer.write(np.full((48, 64, 3), 40 * i, np.uint8))
    writer.release()
    return path


def test_a_video_becomes_a_bag_at_its_own_frame_rate(video, tmp_path):
    assert bag_from_video(video, tmp_path / "bag") == 5
    with Bag(tmp_path / "bag") as bag:
        messages = list(bag.messages(bag.image_topic()))
    assert np.diff([stamp_ns(m) for m in messages]).tolist() == [100_000_000] * 4
    assert [round(rgb_from_message(m).mean() / 40) for m in messages] == [0, 1, 2, 3, 4]


def test_what_is_no_video_is_named_and_leaves_no_bag(tmp_path):
    with pytest.raises(DataError, match="no video at"):
        bag_from_video(tmp_path / "missing.mp4", tmp_path / "bag")
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(DataError, match="cannot decode video .*text.mp4"):
        bag_from_video(tmp_path / "text.mp4", tmp_path / "bag")
    assert [path.name for path in tmp_path.iterdir()] == ["text.mp4"]


def test_a_video_s_name_may_look_like_an_address_or_a_pattern(video, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("http:clip.avi", "100%02d.avi"):
        Path(name).symlink_to(video)
        assert bag_from_video(Path(name), Path(f"bag of {name}")) == 5


def test_a_bag_that_cannot_be_written_is_named(video, tmp_path):
    with pytest.raises(DataError, match="cannot write bag '.*clip.avi/bag': "):
        bag_from_video(video, video / "bag")
