"""What the ``mpvss`` command does with input it cannot use."""

import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.main import get_command

from mpvss_model.config import DecodingConfig, ExecutionConfig, StreamConfig
from mpvss_model.runtime.interruption import Interrupted
from mpvss_model.settings import settings_of
from mpvss_ros.bags.bag import BagWriter
from mpvss_ros.cli.app import app, main
from mpvss_ros.cli.common.options import SAMPLE_BAG

TABLES = (StreamConfig, DecodingConfig, ExecutionConfig)


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
        (["run", "--significant-bits", "7"], "significant_bits must be 0 or a whole number of at least 8"),
        (["evaluate", SAMPLE_BAG, "--history-weight", "11"], "history_weight must be a finite number of at least 0.0"),
        (["evaluate", SAMPLE_BAG, "--retry-max-s", "0.1"], "retry_max_s must be a finite number of at least 0.5, got 0.1"),
        (["run", "--model", "{empty}"], "has no config.json"),
        (["run", "--device", "cuda:9"], "device 'cuda:9' does not exist"),
        (["evaluate", "nowhere"], "no bag at 'nowhere'"),
        (["evaluate", SAMPLE_BAG, "--model", "{empty}"], "has no config.json"),
        (["evaluate", SAMPLE_BAG, "--device", "tpu"], "device 'tpu' does not exist"),
        (["evaluate", SAMPLE_BAG, "--propagation", "magic"], "propagation must be one of per-frame, auto"),
        (["evaluate", "{empty}"], "{empty}"),
        (["study", "nowhere"], "no bag at 'nowhere'"),
        (["study", SAMPLE_BAG, "--out", "{broken_bag}"], "cannot write a study to '{broken_bag}': there is a file"),
        (["convert", "nowhere.pth", "model"], "no checkpoint file at 'nowhere.pth'"),
        (["parity", "nowhere"], "nowhere"),
        (["export", "{empty}", "a.onnx"], "has no config.json"),
        (["export", "rooms-lite", "a.onnx", "--size", "480"], "a frame size is WIDTHxHEIGHT in pixels"),
        (["export", "rooms-lite", "a.pt"], "cannot write 'a.pt': give a file that ends in .onnx"),
        (["evaluate", SAMPLE_BAG, "--execution-provider", "tpu"], "execution_provider must be one of auto, cpu, cuda"),
        (["flops", "--size", "480"], "a frame size is WIDTHxHEIGHT in pixels"),
        (["flops", "--backbone", "r18"], "r18"),
        (["flops", "--model", "{empty}"], "has no config.json"),
        (["flops", "--model", "rooms-lite", "--interval", "0"], "interval must be at least 1, got 0"),
        (["flops", "--model", "rooms-lite", "--propagation", "magic"], "propagation must be one of auto"),
        (["flops", "--model", "rooms-lite", "--all"], "rooms-lite is counted as it is: leave --all, --backbone and --classes"),
        (["flops", "--model", "rooms-lite", "--classes", "19"], "leave --all, --backbone and --classes out"),
        (["train", "nowhere.yaml", "--out", "model"], "nowhere.yaml"),
        (["import-video", "nowhere.mp4", "bag"], "no video at 'nowhere.mp4'"),
        (["import-labels", "nowhere", "data"], "no annotations at 'nowhere'"),
        (["import-labels", "{empty}", "data"], "neither COCO files, nor LabelMe files, nor label images"),
        (["import-labels", "{empty}", "data", "--validation-share", "1"], "validation_share must be at least 0 and below 1"),
    ],
)
def test_bad_input_gets_one_line_and_code_2_and_leaves_nothing(mpvss, arguments, message, tmp_path, two_cameras, broken_bag):
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


def test_a_study_goes_to_a_folder_of_its_own_by_default():
    defaults = {parameter.name: parameter.default for parameter in get_command(app).commands["study"].params}
    assert defaults["out"] == Path("out/study") and not defaults["overwrite"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_a_signal_stopped_ends_with_its_number(mpvss, monkeypatch, tmp_path, number):
    def stopped():
        raise Interrupted("stopped after 2 of 3 clips: the same command goes on", number)

    monkeypatch.setattr("mpvss_ros.cli.app.app", stopped)
    result = mpvss("study", SAMPLE_BAG, cwd=tmp_path)
    assert result.returncode == 128 + number
    assert result.stderr == "mpvss: stopped after 2 of 3 clips: the same command goes on\n"


@pytest.mark.parametrize("command", ["run", "evaluate"])
def test_every_setting_of_a_stream_is_an_option_of_what_runs_one(command):
    options = {option for parameter in get_command(app).commands[command].params for option in parameter.opts}
    assert options >= {f"--{row.name.replace('_', '-')}" for table in TABLES for row in settings_of(table)}
    assert "--interval" in options


def test_options_of_settings_have_the_defaults_and_descriptions_of_the_table():
    parameters = {parameter.name: parameter for parameter in get_command(app).commands["evaluate"].params}
    for row in (row for table in TABLES for row in settings_of(table)):
        assert parameters[row.name].default == row.default
        assert parameters[row.name].help == row.description + "."


def test_an_evaluation_uses_the_settings_that_it_is_given_and_reports_them(mpvss, small_clips, tiny_checkpoint, tmp_path):
    settings = {"max_interval_frames": 7, "motion_threshold": 0.03, "history_weight": 0.5, "query_tolerance": 0.0}
    settings |= {"min_interval_s": 0.1, "significant_bits": 12}
    options = [text for name, value in settings.items() for text in (f"--{name.replace('_', '-')}", value)]
    arguments = ("evaluate", small_clips, "--model", tiny_checkpoint, "--device", "cpu", "--out", tmp_path / "report.json")
    assert mpvss(*arguments, *options, cwd=tmp_path).returncode == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["settings"] == settings
    assert (report["interval"], report["history_weight"], report["frames"]) == (7, 0.5, 35)
    assert mpvss(*arguments, "--interval", 1, cwd=tmp_path).returncode == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["settings"] == {"max_interval_frames": 1} and report["key_frames"] == 35


@pytest.mark.parametrize("command", ["evaluate", "study"])
def test_the_limit_of_an_image_s_size_counts_where_frames_are_decoded(mpvss, small_clips, tiny_checkpoint, tmp_path, command):
    arguments = (command, small_clips, "--model", tiny_checkpoint, "--device", "cpu", "--max-image-pixels", 32 * 48 - 1)
    result = mpvss(*arguments, cwd=tmp_path)
    assert result.returncode == 2 and "image of 48 x 32 pixels; max_image_pixels is 1535" in result.stderr
