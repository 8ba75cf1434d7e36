"""What the documents name exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    *(
        str(path.relative_to(ROOT))
        for folder in (ROOT / "docs", ROOT / "docs" / "consumers")
        for path in sorted(folder.glob("*.md"))
    ),
)
# A path in this repository, in backticks; those of files that a reader is to write have NAME in them.
PATH = re.compile(r"`((?:\.ci|benchmarks|config|docker|docs|launch|mpvss_model|mpvss_ros|test)/[\w./-]+)`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_that_a_document_names_exist(name):
    document = ROOT / name
    text = document.read_text(encoding="utf-8")
    missing = [path for path in PATH.findall(text) if "NAME" not in path and not (ROOT / path).exists()]
    missing += [link for link in LINK.findall(text) if not (document.parent / link).exists()]
    assert not missing
