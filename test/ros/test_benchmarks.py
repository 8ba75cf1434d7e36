"""All benchmarks by one command: the table's shape, and what a benchmark that fails does to the others."""

import json
import sys

import pytest

from benchmarks import all as benchmarks
from benchmarks.all import BENCHMARKS, Benchmark, markdown, run
from benchmarks.rows import cell, markdown_table, printed


def test_quick_runs_write_the_machine_and_a_table_each(tmp_path, capsys):
    asked = ["hostile messages", "inference size"]
    files = [str(tmp_path / "all.json"), str(tmp_path / "all.md")]
    assert benchmarks.main(["--quick", "--only", *asked, "--json", files[0], "--markdown", files[1]]) == 0
    report = json.loads((tmp_path / "all.json").read_text())
    assert set(report) == {"machine", "quick", "benchmarks"} and report["quick"]
    assert {"processor", "cores", "instructions", "memory_mb", "torch", "opencv", "load_before"} <= set(report["machine"])
    assert report["machine"]["processor"] and report["machine"]["cores"] >= 1
    assert [entry["name"] for entry in report["benchmarks"]] == asked
    for entry in report["benchmarks"]:
        assert set(entry) == {"name", "command", "seconds", "rows", "failure", "left_out"}
        assert (entry["failure"], entry["left_out"]) == ("", "") and entry["seconds"] > 0.0
    (hostile,), (sizes,) = (entry["rows"] for entry in report["benchmarks"])
    assert hostile["messages"] == 1000 and hostile["answered"] == hostile["images among them"] > 20
    assert hostile["wrong answers"] == 0 and "short buffer" in hostile["refused"]
    assert sizes["inference size"] == 240 and 0.0 < sizes["mIoU"] <= 1.0 and sizes["1920x1080: propagated ms"] > 0.0
    page = (tmp_path / "all.md").read_text()
    assert page == capsys.readouterr().out
    assert "### Hostile messages\n\n`python -m benchmarks.hostile_messages --messages 1000`" in page
    assert "| messages | images among them |" in page and report["machine"]["processor"] in page


def test_one_that_fails_or_takes_too_long_is_told_by_name_and_the_next_one_runs(monkeypatch, tmp_path, capfd):
    broken = Benchmark("broken", "node_overhead", "", "--frames none", 60.0)
    endless = Benchmark("endless", "node_overhead", "", "", 0.2)
    absent = Benchmark("absent", "node_overhead", "", "", 60.0, needs="no_such_package")
    monkeypatch.setattr(benchmarks, "BENCHMARKS", (broken, endless, absent))
    assert benchmarks.main(["--quick", "--json", str(tmp_path / "all.json")]) == 1
    found = {entry["name"]: entry for entry in json.loads((tmp_path / "all.json").read_text())["benchmarks"]}
    assert found["broken"]["failure"] == "exit code 2: its last lines say why"
    assert found["endless"]["failure"] == "not over after 0 s"
    assert (found["absent"]["failure"], found["absent"]["left_out"]) == ("", "no_such_package is not installed")
    out, err = capfd.readouterr()
    assert "**Failed**: exit code 2" in out and "argument --frames: invalid int value: 'none'" in err
    assert err.endswith("broken: exit code 2: its last lines say why\nendless: not over after 0 s\n")


def test_figures_that_are_not_as_they_should_be_are_a_failure_whose_rows_are_kept(monkeypatch, tmp_path):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "leaking.py").write_text(
        "import argparse\n"
        "parser = argparse.ArgumentParser\n"
        "measure = lambda options: [{'growth %': 3.0, 'p99 ms': float('nan')}]\n"
        "trouble = lambda rows: 'memory grew'\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    start = "import sys, benchmarks; benchmarks.__path__.append(sys.argv.pop(1)); import benchmarks.one as o; o.main()"
    monkeypatch.setattr(benchmarks, "ONE", ("-c", start, str(tmp_path / "benchmarks")))
    result = run(Benchmark("leaks", "leaking", "", "", 60.0), quick=False)
    assert (result.rows, result.failure) == ([{"growth %": 3.0, "p99 ms": None}], "memory grew")
    assert "**Failed**: memory grew\n\n| growth % | p99 ms |\n| --- | --- |\n| 3.00 |  |\n" in markdown({"cores": 2}, [result])


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark.name)
def test_every_benchmark_has_options_that_its_command_line_knows(benchmark):
    __import__(f"benchmarks.{benchmark.module}")
    module = sys.modules[f"benchmarks.{benchmark.module}"]
    for options in (benchmark.options, benchmark.quick):
        assert callable(module.measure) and module.parser().parse_args(benchmarks.shlex.split(options))


def test_tables_have_all_columns_and_as_many_digits_as_mean_something(capsys):
    rows = [{"a": 0.61142, "b|c": None}, {"a": 1234.5, "d": True}]
    assert markdown_table(rows) == "| a | b\\|c | d |\n| --- | --- | --- |\n| 0.611 |  |  |\n| 1234 |  | yes |"
    assert [cell(value) for value in (6.114, 61.142, -0.5, 7, "x", float("nan"))] == ["6.11", "61.1", "-0.500", "7", "x", ""]
    assert list(printed(rows)) == rows and capsys.readouterr().out.split() == ["a", "b|c", "0.611", "1234"]
