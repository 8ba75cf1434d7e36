"""A Ray cluster of two nodes, of which one dies."""

import json
import signal
import sys
import threading
import time
from contextlib import suppress

import pytest

from mpvss_model import ConfigError
from mpvss_model.fleet import FleetConfig, Unit, open_fleet
from mpvss_model.labelling import LabellingConfig
from mpvss_model.labelling.label_folder import LabelFolder
from mpvss_ros.bags.fleet.label_work import LabelOrCut, Place
from mpvss_ros.bags.fleet.labelling import LEDGER_FILE, label_sources
from mpvss_ros.bags.fleet.sources import found_sources

from ... import recordings

ray = pytest.importorskip("ray")
# Of the two environments of tests one is enough: nothing here is a matter of ROS.
pytestmark = pytest.mark.skipif(sys.prefix.endswith("-jazzy"), reason="Ray is tested in the other environment")

FRAMES = 600
LIMIT_S = 120.0


class NoLink:
    """Of work that is done here."""

    def tell(self, done, total):
        pass

    def is_stopped(self):
        return False


@pytest.fixture
def cluster(monkeypatch):
    """Two nodes of a core each; and the one that can be removed."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    memory = {"object_store_memory": 80 * 2**20, "num_cpus": 1}
    cluster = Cluster(initialize_head=True, head_node_args=memory)
    try:
        yield cluster, cluster.add_node(**memory)
    finally:
        ray.shutdown()
        cluster.shutdown()


def lines(file):
    return len(file.read_text().splitlines())


def kill_in_the_middle(cluster, node, out, killed):
    """Remove a node when both of them are at work on a bag."""
    give_up_s = time.monotonic() + LIMIT_S
    while time.monotonic() < give_up_s:
        # What is finished may be moved away meanwhile.
        begun = []
        for file in out.glob(".*.work/*/*/frames.csv"):
            with suppress(FileNotFoundError):
                if 5 < lines(file) < FRAMES - 150:
                    begun.append(file.parent.name)
        if len(begun) == 2:
            killed.append(begun)
            cluster.remove_node(node, allow_graceful=False)
            return
        time.sleep(0.02)


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_node_dies_in_the_middle_and_all_bags_are_labelled_and_none_twice(cluster, task, tmp_path):
    camera = recordings.camera(frames=FRAMES)
    for i in range(3):
        recordings.write_bag(tmp_path / f"drives/bag{i}", camera)
    recordings.write_bag(tmp_path / "drives/long", recordings.camera(frames=2 * FRAMES))
    nodes, node = cluster
    out, killed = tmp_path / "labels", []
    task = task(config=LabellingConfig(interval=2, propagation="tracked"), piece_frames=FRAMES - 100)
    killer = threading.Thread(target=kill_in_the_middle, args=(nodes, node, out, killed))
    killer.start()
    ledger = label_sources(found_sources([str(tmp_path / "drives")]), out, task=task, fleet=FleetConfig(cluster=nodes.address))
    killer.join()
    assert len(killed) == 1, "both nodes never worked at the same time"
    assert [(entry.name, entry.state, entry.error) for entry in ledger.entries] == [
        *((f"bag{i}", "done", "") for i in range(3)),
        ("long", "done", ""),
    ]
    (again,) = [entry for entry in ledger.entries if entry.deaths]
    assert again.name in killed[0] and len(again.deaths) == 1
    rows = {entry.name: LabelFolder(out / entry.name).clip(entry.name).rows for entry in ledger.entries}
    assert {name: len(of_bag) for name, of_bag in rows.items()} == {
        **{f"bag{i}": FRAMES for i in range(3)},
        "long": 2 * FRAMES,
    }
    assert all(
        len({row.name for row in of_bag}) == len(of_bag) for of_bag in rows.values()
    )  # a frame done twice has two lines
    work = LabelOrCut(task=task, source=again.source, place=Place(tmp_path / again.name), key="{}", may_cut=False)
    work(NoLink())
    assert files(out / again.name) == files(tmp_path / again.name)
    written = json.loads((out / LEDGER_FILE).read_text())["sources"]
    assert [row["frames"] for row in written] == [FRAMES] * 3 + [2 * FRAMES]
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def fail(link):
    link.tell(1, 2)
    raise ValueError("nobody thought of that")


def sleep(link):
    give_up_s = time.monotonic() + LIMIT_S
    while time.monotonic() < give_up_s:
        link.tell(1, 10)
        time.sleep(0.01)


def test_failures_stops_and_what_no_machine_has(cluster):
    address = cluster[0].address
    refused = pytest.raises(ConfigError, match=r"none of the 2 machines of the cluster at '.*' has 1 CPUs and 0.5 GPUs")
    with refused, open_fleet(FleetConfig(cluster=address, gpus_per_worker=0.5)):
        pass
    told, outcomes, terminated = [], [], signal.getsignal(signal.SIGTERM)
    with open_fleet(
        FleetConfig(cluster=address),
        stopped=lambda: outcomes and ("sleep", 1, 10) in told,
        on_told=lambda u, *w: told.append((u.source, *w)),
    ) as fleet:
        fleet.add([Unit("fail", fail), Unit("sleep", sleep), Unit("never", sleep)])
        assert signal.getsignal(signal.SIGTERM) is terminated  # Ray has one that ends the program at once
        started_s = time.monotonic()
        for outcome in fleet.outcomes():
            outcomes.append(outcome)
    assert time.monotonic() - started_s < LIMIT_S / 2
    assert [(outcome.unit.source, outcome.error) for outcome in outcomes] == [("fail", "ValueError: nobody thought of that")]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_a_cluster_that_is_not_there_is_one_line(address):
    refused = pytest.raises(ConfigError, match=f"no Ray cluster at '{address}' .*refused.*: 'ray start --head' on one machine")
    with refused, open_fleet(FleetConfig(cluster=address)):
        pass
