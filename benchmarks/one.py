"""Runs one benchmark and writes its rows to a file: what `benchmarks.all` starts for each.

python -m benchmarks.one node_overhead rows.json --frames 100
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from benchmarks.rows import printed

__all__: list[str] = []


def main() -> None:
    """The module's name, the file and the module's own options are the arguments."""
    name, file, *arguments = sys.argv[1:]
    module = importlib.import_module(f"benchmarks.{name}")
    rows = list(printed(module.measure(module.parser().parse_args(arguments))))
    # JSON knows no NaN.
    rows = [{key: None if value != value else value for key, value in row.items()} for row in rows]
    trouble = getattr(module, "trouble", lambda rows: "")(rows)
    Path(file).write_text(json.dumps({"rows": rows, "trouble": trouble}), encoding="utf-8")


if __name__ == "__main__":
    main()
