"""Units of work over processes that die, units that fail, and a stop."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from mpvss_model import ConfigError, DataError
from mpvss_model.fleet import FleetConfig, Unit, open_fleet
from mpvss_model.runtime.interruption import Interrupted


@dataclass(frozen=True)
class Work:
    """Writes down in a folder each time that it is begun; ``does`` says what then."""

    folder: Path
    name: str
    does: str = ""

    def __call__(self, link):
        number = len(list(self.folder.glob(f"{self.name}-*")))
        (self.folder / f"{self.name}-{number}").touch()
        if self.does == "dies" or (self.does == "dies once" and not number):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.does == "fails":
            raise DataError(f"{self.name} is broken")
        if self.does == "surprises":
            raise KeyError("nobody\nthought of that")
        if self.does == "cannot be sent":
            return lambda: None
        for done in range(3 if self.does != "goes on" else 10**9):
            link.tell(done, 3)
            if self.does == "goes on":
                time.sleep(0.001)
        return self.name, os.getpid()


def units(folder, *does):
    return [Unit(f"unit {i}", Work(folder, f"u{i}", what)) for i, what in enumerate(does)]


def test_a_worker_that_dies_is_replaced_and_its_unit_begun_again(tmp_path):
    given = units(tmp_path, "", "dies once", "", "fails", "dies", "surprises", "cannot be sent", "")
    with open_fleet(FleetConfig(workers=2, attempts=2)) as fleet:
        fleet.add(given)
        outcomes = {outcome.unit.source: outcome for outcome in fleet.outcomes()}
    assert outcomes.keys() == {unit.source for unit in given}
    assert [outcomes[f"unit {i}"].value[0] for i in (0, 1, 2, 7)] == ["u0", "u1", "u2", "u7"]
    assert len(list(tmp_path.glob("u1-*"))) == 2 and len(list(tmp_path.glob("u4-*"))) == 2
    assert all(len(list(tmp_path.glob(f"u{i}-*"))) == 1 for i in (0, 2, 3, 5, 6, 7))
    assert outcomes["unit 1"].deaths == ("its process ended unexpectedly, perhaps for lack of memory",)
    assert outcomes["unit 3"].error == "u3 is broken" and not outcomes["unit 3"].details
    assert outcomes["unit 4"].error.startswith("given up after 2 attempts: its process ended unexpectedly")
    assert outcomes["unit 5"].error == "KeyError: 'nobody\\nthought of that'"
    assert "test_fleet.py" in outcomes["unit 5"].details
    assert "pickle" in outcomes["unit 6"].error.lower()
    assert os.getpid() not in {outcomes[f"unit {i}"].value[1] for i in (0, 1, 2, 7)}


def test_all_stop_when_they_are_asked_to_and_what_was_not_begun_is_left(tmp_path):
    told = []
    with open_fleet(
        FleetConfig(workers=2), stopped=lambda: len({unit for unit, *_ in told}) == 2, on_told=lambda *what: told.append(what)
    ) as fleet:
        fleet.add(units(tmp_path, "goes on", "goes on", ""))
        assert list(fleet.outcomes()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["u0-0", "u1-0"]


def test_one_worker_is_this_process_and_units_may_lead_to_others(tmp_path):
    told = []
    with open_fleet(FleetConfig(), on_told=lambda unit, done, total: told.append((unit.source, done, total))) as fleet:
        fleet.add(units(tmp_path, "", "fails"))
        values = []
        for outcome in fleet.outcomes():
            values.append(outcome.value)
            if outcome.is_failed:
                fleet.add([Unit("more", Work(tmp_path, "more"))])
    assert values == [("u0", os.getpid()), None, ("more", os.getpid())]
    assert told[:3] == [("unit 0", 0, 3), ("unit 0", 1, 3), ("unit 0", 2, 3)]


def test_a_signal_that_stops_work_in_this_process_stops_all(tmp_path):
    def stop(link):
        raise Interrupted("stopped by SIGTERM", signal.SIGTERM)

    with open_fleet(FleetConfig()) as fleet, pytest.raises(Interrupted, match="stopped by SIGTERM") as caught:
        fleet.add([Unit("a", stop), *units(tmp_path, "")])
        list(fleet.outcomes())
    assert caught.value.signal_number == signal.SIGTERM
    assert not list(tmp_path.iterdir())


def test_no_worker_outlives_its_program(tmp_path):
    program = (
        "from mpvss_model.fleet import FleetConfig, open_fleet\n"
        "from test.model.fleet.test_fleet import units\nfrom pathlib import Path\n"
        "def show(unit, done, total): print('told', flush=True)\n"
        "if __name__ == '__main__':\n"
        "    with open_fleet(FleetConfig(workers=2), on_told=show) as fleet:\n"
        f"        fleet.add(units(Path({str(tmp_path)!r}), 'goes on', 'goes on'))\n"
        "        list(fleet.outcomes())\n"
    )
    script = tmp_path / "script.py"
    script.write_text(program)
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert process.stdout.readline() == "told\n"
    children = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    process.kill()
    process.wait()
    assert children
    for _ in range(200):
        if not any(Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text() for pid in children):
            break
        time.sleep(0.05)
    else:
        raise AssertionError(f"of {children} some work on")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers": 0}, "workers must be a whole number of at least 1, got 0"),
        ({"gpus_per_worker": 1.5}, "gpus_per_worker must be 0 to 1, or a whole number, got 1.5"),
        ({"gpus_per_worker": float("nan")}, "gpus_per_worker must be"),
        ({"cluster": "auto", "workers": 2}, "as many workers as fit into it, got 2 workers, too"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        FleetConfig(**settings)


def test_workers_share_the_cores_unless_they_are_given_some(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))
    assert FleetConfig().threads(0) == 0  # half of the machine's
    assert FleetConfig(workers=3).threads(0) == 2
    assert FleetConfig(workers=30).threads(0) == 1
    assert FleetConfig(workers=3, cpus_per_worker=4).threads(0) == 4
    assert FleetConfig(cluster="auto").threads(0) == 1
    assert FleetConfig(cluster="auto", cpus_per_worker=2).threads(7) == 7


def test_workers_share_gpus(monkeypatch):
    from mpvss_model.fleet import processes

    monkeypatch.setattr(processes.torch.cuda, "device_count", lambda: 2)
    seen = processes._gpus_of_workers
    assert seen(FleetConfig(workers=4, gpus_per_worker=0.5)) == ["0", "0", "1", "1"]
    assert seen(FleetConfig(workers=2, gpus_per_worker=2)) == ["0,1", "0,1"]
    assert seen(FleetConfig(workers=2)) == [None, None]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert seen(FleetConfig(workers=3, gpus_per_worker=1)) == ["5", "7", "5"]
