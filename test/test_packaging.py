"""What the package says that it needs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
READ_SETUP = """
import json
from distutils.core import run_setup
setup = run_setup("setup.py", stop_after="init")
names = ("version", "maintainer", "maintainer_email", "license", "long_description")
about = {name: getattr(setup.metadata, name) for name in names}
print(json.dumps([about, setup.install_requires, setup.extras_require]))
"""


def read_setup(**environment):
    """Metadata, requirements and extras of ``setup.py``."""
    command = [sys.executable, "-c", "import setuptools\n" + READ_SETUP]
    inherited = {name: value for name, value in os.environ.items() if name != "ROS_DISTRO"}
    done = subprocess.run(command, cwd=ROOT, env=inherited | environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def names(requirements):
    """Packages of requirement lines, without versions."""
    return {re.split(r"[<>=~! ]", line)[0].lower() for line in requirements if line and line[0] not in "#-"}


@pytest.fixture(scope="module")
def plain():
    return read_setup()


def test_pip_leaves_the_numpy_and_opencv_of_a_ros_installation_alone(plain):
    _, on_a_robot, _ = read_setup(ROS_DISTRO="jazzy")
    assert names(plain[1]) - names(on_a_robot) == {"numpy", "opencv-python-headless"}


def test_what_is_needed_is_pinned_for_plain_python(plain):
    assert names(plain[1]) <= names((ROOT / "requirements.txt").read_text().splitlines())


def test_ray_is_an_extra_that_nothing_else_needs(plain):
    cluster, basic = ((ROOT / f"requirements{name}.txt").read_text().splitlines() for name in ("-cluster", ""))
    assert names(plain[2]["cluster"]) == {"ray"} <= names(cluster)
    assert "ray" not in names(plain[1]) | names(basic) and not any(line.startswith("-r") for line in basic)


def test_a_robot_gets_what_apt_does_not_have():
    requirements = (ROOT / "requirements-robot.txt").read_text().splitlines()
    assert "numpy<2" in requirements  # what pip must not replace
    assert names(requirements) >= {"torch", "transformers", "rosbags", "mcap", "zstandard", "simplejpeg", "typer"}
    assert not any("opencv" in name for name in names(requirements))


def test_colcon_finds_the_tests(plain):
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    assert "pytest" in names(plain[2]["test"])
    needed = {"ament_flake8", "ament_pep257", "python3-hypothesis", "python3-pytest"}
    assert needed <= {depend.text for depend in package.findall("test_depend")}


def test_pip_and_ros_say_the_same_about_the_package(plain):
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    maintainer = package.find("maintainer")
    assert plain[0] == {
        "version": package.findtext("version"),
        "maintainer": maintainer.text,
        "maintainer_email": maintainer.get("email"),
        "license": package.findtext("license"),
        "long_description": (ROOT / "README.md").read_text(encoding="utf-8"),
    }
