"""The parts of a replay that need no node: the window, matching, isolation, results and what ends with the command."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from mpvss_model import ConfigError, DataError
from mpvss_ros.diagnostics.camera_check import CameraCheck
from mpvss_ros.diagnostics.statistics import CameraStatistics
from mpvss_ros.diagnostics.statuses import camera_statuses
from mpvss_ros.process.child_process import ChildProcess, _parameter_file
from mpvss_ros.process.clean_end import clean_end
from mpvss_ros.process.isolation import isolated
from mpvss_ros.replay.answers import Answers, PackedAnswer, match_in_order
from mpvss_ros.replay.frame_counts import frame_counts
from mpvss_ros.replay.output_folder import check_output_folder, output_folder
from mpvss_ros.replay.replay_window import ReplayWindow


def sent(window, stamps):
    for stamp in stamps:
        window.send(stamp)
    return window


def test_an_answer_settles_its_frame_and_those_before():
    window = sent(ReplayWindow(3), [10, 20, 30])
    assert not window.has_room
    window.answer(20)
    assert window.has_room and len(window) == 1
    window.answer(20)  # is not waited for any more
    assert len(window) == 1


def test_refused_frames_are_settled_by_the_node_s_report():
    window = sent(ReplayWindow(3), [0, 0, 0])
    window.handle(2)
    assert len(window) == 1 and window.has_room
    window.handle(3)
    window.handle(3)
    assert len(window) == 0


def test_the_window_grows_while_nothing_is_answered_and_no_longer():
    window, frames = ReplayWindow(2), 0
    for _ in range(6):
        while window.has_room:
            window.send(frames)
            frames += 1
        window.handle(frames)
    assert frames == 2 + 4 + 8 + 16 + 16 + 16
    window.send(frames)
    window.answer(frames)
    sent(window, [frames + 1, frames + 2])
    assert not window.has_room


def test_a_window_that_was_given_up_goes_on_with_the_next_frames():
    window = sent(ReplayWindow(2), [1, 2])
    window.give_up()
    sent(window, [3])
    window.handle(2)
    assert len(window) == 1
    window.handle(3)
    assert len(window) == 0


@pytest.mark.parametrize(
    "stamps, among, places",
    [
        ([1, 2, 3, 1, 2, 3], [1, 2, 3, 1, 2, 3], [0, 1, 2, 3, 4, 5]),
        ([2, 3, 1, 3], [1, 2, 3, 1, 2, 3], [1, 2, 3, 5]),
        ([0], [0, 0, 0], [0]),
        ([5, 7], [7], [None, 0]),
        ([], [1], []),
    ],
)
def test_stamps_that_repeat_are_matched_by_their_order(stamps, among, places):
    assert match_in_order(stamps, among) == places


def test_the_answers_to_a_looped_recording_are_told_apart():
    packed = [PackedAnswer.from_labels(np.full((2, 3), k, np.uint8), stamp_ns=k % 2, received_s=k + 0.5) for k in range(4)]
    kinds = [(0, True), (1, False), (0, False), (1, True)]
    answers = Answers(sent=[(k % 2, float(k)) for k in range(4)], packed=packed, kinds=kinds)
    assert list(answers) == [0, 1, 2, 3] and len(answers) == 4
    assert [int(a.labels.max()) for a in answers.values()] == [0, 1, 2, 3] and answers[0].labels.shape == (2, 3)
    assert [a.is_key_frame for a in answers.values()] == [True, False, False, True]
    assert [a.latency_ms for a in answers.values()] == [500.0] * 4


def report_of(*, node_name, statistics=None, dropped=None, camera=""):
    statuses = camera_statuses(
        statistics or CameraStatistics(),
        node_name=node_name,
        camera=camera,
        dropped=dropped or {},
        check=CameraCheck(active=True),
        now_s=0.0,
    )
    return DiagnosticArray(status=statuses)


def test_the_node_s_counts_are_read_back_from_its_diagnostics():
    statistics = CameraStatistics(published=3)
    for _ in range(9):
        statistics.count_input()
    statistics.count_rejection("duplicate stamp", "duplicate stamp: two frames")
    statistics.count_rejection("short buffer", "short buffer: 3 of 4 bytes")
    statistics.count_unanswered("masks too old", "masks too old: 3 s")
    report = report_of(node_name="segmentation", statistics=statistics, dropped={"queue full": 2, "disabled": 0})
    report.status.append(DiagnosticStatus(name="lidar: input"))
    counts = frame_counts(report, node="/mpvss/segmentation")
    assert (counts.received, counts.published, counts.handled) == (9, 3, 8)
    assert counts.refused == {"duplicate stamp": 1, "short buffer": 1, "masks too old": 1, "queue full": 2}
    assert counts.last_refusal == "short buffer: 3 of 4 bytes"


def test_reports_of_other_nodes_and_of_several_cameras_say_nothing():
    assert frame_counts(report_of(node_name="segmentation"), node="/mpvss/other") is None
    assert frame_counts(report_of(node_name="/mpvss/segmentation"), node="/mpvss/segmentation").received == 0
    two = DiagnosticArray(status=[s for c in ("a", "b") for s in report_of(node_name="n", camera=c).status])
    assert frame_counts(two, node="/n") is None
    assert frame_counts(DiagnosticArray()) is None


def test_each_replay_has_a_place_of_its_own_whatever_the_shell_says(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "7")
    monkeypatch.setenv("ROS_STATIC_PEERS", "robot.local")
    monkeypatch.delenv("ROS_AUTOMATIC_DISCOVERY_RANGE", raising=False)
    with isolated() as one:
        inside = dict(os.environ)
    with isolated() as other:
        pass
    assert one.namespace != other.namespace
    assert inside["ROS_DOMAIN_ID"] == str(one.domain_id) and inside["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert "ROS_STATIC_PEERS" not in inside
    assert os.environ["ROS_DOMAIN_ID"] == "7" and os.environ["ROS_STATIC_PEERS"] == "robot.local"
    assert "ROS_AUTOMATIC_DISCOVERY_RANGE" not in os.environ


@pytest.mark.parametrize(
    "text", ["1e5", "0x10", "yes", "~", "", "a: b", "#a", "it's", '"', "\\", " a ", "a\nb", "é\u2028\U0001f600", "%s", "[a]"]
)
def test_parameters_may_hold_any_text(text):
    written = _parameter_file({"model": text, "topics": [text], "rate": 1.0, "window": 8, "clock": True})
    assert f'"model": "{text}"' in written or "\\" in written
    read = yaml.safe_load(written)["/**"]["ros__parameters"]
    assert read == {"model": text, "topics": [text], "rate": 1.0, "window": 8, "clock": True}


def test_a_text_that_ros_cannot_carry_is_named():
    with pytest.raises(ConfigError, match=r"bag '/data/\\udcff' is no UTF-8"):
        _parameter_file({"bag": "/data/\udcff"})


def test_results_appear_together_or_not_at_all(tmp_path):
    out = tmp_path / "new" / "out 100%"
    with pytest.raises(RuntimeError), output_folder(out) as folder:
        (folder / "a").write_text("half")
        raise RuntimeError
    check_output_folder(out)
    assert list(tmp_path.iterdir()) == []
    for text in ("one", "two"):
        with output_folder(out) as folder:
            (folder / "a").write_text(text)
            assert not (out / "a").exists() or text == "two"
        assert (out / "a").read_text() == text and [p.name for p in out.iterdir()] == ["a"]
    assert [p.name for p in tmp_path.iterdir()] == ["new"] and out.stat().st_mode & 0o700 == 0o700


@pytest.mark.parametrize("name", ["file", "file/out", "n" * 300])
def test_where_nothing_can_be_written_is_said_before_the_work(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot write results to .* choose another folder with --out"):
        check_output_folder(tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_unwinds_the_program(number):
    before = signal.signal(number, signal.SIG_DFL)  # it may be ignored where the tests run
    tidied = []
    try:
        with pytest.raises(SystemExit) as end, clean_end():
            try:
                os.kill(os.getpid(), number)
                time.sleep(10)
            finally:
                os.kill(os.getpid(), number)  # a second one does not interrupt the tidying up
                tidied.append(True)
        assert end.value.code == 128 + number and tidied and signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_a_hang_up_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with clean_end():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_child_ends_with_its_parent_even_if_that_is_killed():
    code = (
        "from mpvss_ros.process.child_process import ChildProcess; import time\n"
        "with ChildProcess('replay.main', [], {'bag': 'none'}) as c: print(c._process.pid, flush=True); time.sleep(60)"
    )
    # Stopped in the middle of its imports, the child still has the signal to come.
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    deadline_s = time.monotonic() + 30.0
    while is_running(child):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_a_child_that_fails_gives_its_reason():
    with ChildProcess("replay.main", [], {"bag": "/no/such: 'bag' 1e5"}) as child:
        deadline_s = time.monotonic() + 60.0
        while child.exit_code is None:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        assert child.exit_code == 2
        assert child.complaint().startswith("""no bag at "/no/such: 'bag' 1e5\"""")
