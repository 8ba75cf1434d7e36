"""What the ``mpvss`` command does with input it cannot use."""

import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from mpvss_ros.bags.bag import BagWriter
from mpvss_ros.cli.app import SAMPLE_BAG, main


@pytest.fixture
def mpvss(monkeypatch, capfd):
    """The command in this process, which has torch and ROS loaded already."""

    def call(*arguments, cwd):
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", ["mpvss", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return SimpleNamespace(returncode=end.value.code, stderr=capfd.readouterr().err)

    return call


@pytest.fixture
def two_cameras(tmp_path):
    with BagWriter(tmp_path / "two") as bag:
        for topic in ("/left", "/right"):
            bag.write_image(topic, stamp_ns=1, frame_id="", encoding="mono8", image=np.zeros((32, 32), np.uint8))
    return tmp_path / "two"


@pytest.fixture
def broken_bag(tmp_path):
    (tmp_path / "broken.mcap").write_bytes(b"not an mcap file")
    return tmp_path / "broken.mcap"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["run", "--bag", "nowhere"], "no bag at 'nowhere'"),
        (["run", "--bag", "{broken_bag}"], "cannot read bag"),
        (["run", "--bag", "{two_cameras}"], "2 image topics (/left, /right): name one with --topic"),
        (["run", "--bag", "{empty}"], "no bag in directory"),
        (["run", "--out", "{broken_bag}"], "cannot write results to '{broken_bag}': there is a file"),
        (["run", "--topic", "/nope"], "topic '/nope': the bag does not have it"),
        (["run", "--interval", "0"], "max_interval_frames must be a whole number of at least 1, got 0"),
        (["run", "--model", "{empty}"], "has no config.json"),
        (["run", "--device", "cuda:9"], "device 'cuda:9' does not exist"),
        (["evaluate", "nowhere"], "no bag at 'nowhere'"),
        (["evaluate", SAMPLE_BAG, "--model", "{empty}"], "has no config.json"),
        (["evaluate", SAMPLE_BAG, "--device", "tpu"], "device 'tpu' does not exist"),
        (["evaluate", SAMPLE_BAG, "--propagation", "magic"], "propagation must be one of per-frame, auto"),
        (["evaluate", "{empty}"], "{empty}"),
        (["study", "nowhere"], "no bag at 'nowhere'"),
        (["convert", "nowhere.pth", "model"], "no checkpoint file at 'nowhere.pth'"),
        (["parity", "nowhere"], "nowhere"),
        (["flops", "--size", "480"], "a frame size is WIDTHxHEIGHT in pixels"),
        (["flops", "--backbone", "r18"], "r18"),
        (["train", "nowhere.yaml", "--out", "model"], "nowhere.yaml"),
        (["import-video", "nowhere.mp4", "bag"], "no video at 'nowhere.mp4'"),
    ],
)
def test_bad_input_gets_one_line_and_code_2_and_leaves_nothing(
    mpvss, arguments, message, tmp_path, two_cameras, broken_bag
):
    work = tmp_path / "work"
    (work / "empty").mkdir(parents=True)
    places = {"empty": work / "empty", "two_cameras": two_cameras, "broken_bag": broken_bag}
    result = mpvss(*(str(a).format(**places) for a in arguments), cwd=work)
    assert result.returncode == 2, result.stderr
    assert message.format(**places) in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert os.listdir(work) == ["empty"] and os.listdir(work / "empty") == []


def test_an_interval_that_is_no_number_is_refused(mpvss, tmp_path):
    result = mpvss("run", "--interval", "often", cwd=tmp_path)
    assert result.returncode == 2 and "Invalid value for '--interval'" in result.stderr and "Traceback" not in result.stderr
