"""package.xml says which version this is; everything else says the same."""

import re
import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

ROOT = Path(__file__).parents[1]
HEADING = re.compile(r"^(Forthcoming|\d+\.\d+\.\d+ \(\d{4}-\d\d-\d\d\))\n-+$", re.MULTILINE)


@pytest.fixture
def version():
    return ElementTree.parse(ROOT / "package.xml").findtext("version")


@pytest.fixture
def headings():
    return HEADING.findall((ROOT / "CHANGELOG.rst").read_text())


def test_the_python_package_has_the_version_of_the_ros_package(version, monkeypatch):
    given = {}
    monkeypatch.setattr("setuptools.setup", given.update)
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py")
    assert given["version"] == version


def test_the_citation_names_the_version_and_its_day(version, headings):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    released = next(heading for heading in headings if heading != "Forthcoming")
    assert f"{citation['version']} ({citation['date-released']})" == released
    assert citation["version"] == version


def test_the_changelog_begins_with_what_is_forthcoming_or_with_this_version(version, headings):
    assert headings[0] == "Forthcoming" or headings[0].startswith(f"{version} ")
