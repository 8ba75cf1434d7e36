"""Names, states and results of sources from start to start."""

import json

import pytest

from mpvss_model import ConfigError, DataError
from mpvss_model.fleet.exclusive import exclusive
from mpvss_model.fleet.ledger import DONE, FAILED, Ledger


def names(ledger):
    return {entry.source: entry.name for entry in ledger.entries}


def ledger_of(path, *sources, key="k"):
    return Ledger(path, [(source, source.rpartition("/")[2]) for source in sources], dict.fromkeys(sources, key))


def test_no_two_sources_have_one_name():
    assert names(ledger_of(None, "/a/drive", "/b/drive", "/b/park")) == {
        "/a/drive": "a_drive",
        "/b/drive": "b_drive",
        "/b/park": "park",
    }
    assert names(ledger_of(None, "/x/a/Drive", "/y/a/drive")) == {"/x/a/Drive": "x_a_Drive", "/y/a/drive": "y_a_drive"}
    assert names(ledger_of(None, "/drive", "/a/drive", "/b/a_drive")) == {
        "/drive": "drive-2",
        "/a/drive": "drive-3",
        "/b/a_drive": "b_a_drive",
    }


def test_names_results_and_sources_that_are_not_asked_for_stay(tmp_path):
    file = tmp_path / "deep" / "sources.json"
    first = ledger_of(file, "/a/drive", "/a/park")
    first.entries[0].state, first.entries[0].result = DONE, {"frames": 7}
    first.entries[1].state, first.entries[1].error = FAILED, "broken"
    first.write()
    second = ledger_of(file, "/b/drive", "/a/drive")
    assert names(second) == {"/b/drive": "b_drive", "/a/drive": "drive"}
    assert second.entries[1].is_kept and second.entries[1].result == {"frames": 7}
    second.write()
    rows = json.loads(file.read_text())["sources"]
    assert [(row["name"], row["state"]) for row in rows] == [("park", "failed"), ("b_drive", "waiting"), ("drive", "done")]
    assert rows[0]["error"] == "broken" and "error" not in rows[2]
    changed = ledger_of(file, "/a/drive", key="other")
    assert not changed.entries[0].is_kept and changed.entries[0].name == "drive"


def test_another_file_is_not_replaced(tmp_path):
    file = tmp_path / "sources.json"
    for text in ('{"other": 1}', '{"sources": [{"frames": 1}]}', '{"sources": 3}', "[]", "no JSON"):
        file.write_text(text)
        with pytest.raises(ConfigError, match="sources.json"):
            ledger_of(file, "/a/drive")


def test_only_one_holds_a_lock(tmp_path):
    lock = tmp_path / "work" / "lock"
    refused = pytest.raises(DataError, match="another process is working on 'drive': wait until it has ended")
    with exclusive(lock, what="'drive'"), refused, exclusive(lock, what="'drive'", timeout_s=0.0):
        pass
    with exclusive(lock, what="'drive'", timeout_s=0.0):
        assert lock.exists()
