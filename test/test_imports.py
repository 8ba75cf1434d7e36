"""The packages depend on each other in one direction only, and heavy libraries stay where they belong."""

import ast
import json
import re
import subprocess
import sys
from functools import cache
from importlib.util import find_spec, resolve_name
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
# From the ground up, as in docs/architecture.md: a room imports rooms of rows before its own only, and no room of its own row.
# Modules that lie loose in mpvss_model are its foundations.
ROWS = (
    ("mpvss_model",),
    ("mpvss_model.images",),
    ("mpvss_model.runtime",),
    ("mpvss_model.fleet",),
    ("mpvss_model.segmentor", "mpvss_model.motion"),
    ("mpvss_model.propagation",),
    ("mpvss_model.instances",),
    ("mpvss_model.stream",),
    ("mpvss_model.checkpoints",),
    ("mpvss_model.data",),
    ("mpvss_model.evaluation",),
    ("mpvss_model.labelling",),
    ("mpvss_model.training",),
    ("mpvss_model.adaptation",),
    ("mpvss_ros.process",),
    ("mpvss_ros.messages",),
    ("mpvss_ros.bags",),
    ("mpvss_ros.diagnostics",),
    ("mpvss_ros.doctor",),
    ("mpvss_ros.node",),
    ("mpvss_ros.cloud",),
    ("mpvss_ros.consumers",),
    ("mpvss_ros.replay",),
    ("mpvss_ros.cli",),
)
HEIGHTS = {room: height for height, row in enumerate(ROWS) for room in row}
PACKAGES = ("mpvss_model", "mpvss_ros")
MOST_MODULES = 12


def module_name(path):
    """The full name of a source file's module; a package's is that of its folder."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# What mpvss_model/__init__.py exports is imported from above only: that file is no part of the foundations.
SOURCES = {module_name(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}


@cache
def imports_of(module):
    """Full names of all modules, or names in them, that a module imports, wherever in its file."""
    path = SOURCES[module]
    folder = module if path.stem == "__init__" else module.rpartition(".")[0]
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), folder)
            names += [f"{source}.{alias.name}" for alias in node.names]
    return tuple(names)


def folder_of(module):
    """The folder, as a package's name, in which a module lies; `__init__.py` lies in its own."""
    return module if SOURCES[module].stem == "__init__" else module.rpartition(".")[0]


def room_of(module):
    return ".".join(folder_of(module).split(".")[:2])


def imported_sources(module):
    """The modules of both packages that a module imports."""
    names = (name for name in imports_of(module) if name.partition(".")[0] in PACKAGES)
    return [name if name in SOURCES else name.rpartition(".")[0] for name in names]


def arrows():
    """Pairs of a module and a module that it imports; but for what the packages' own ``__init__.py`` export."""
    return sorted({(module, name) for module in SOURCES if module not in PACKAGES for name in imported_sources(module)})


def users_of(packages):
    """Modules that import one of these packages."""
    return {module for module in SOURCES if {name.partition(".")[0] for name in imports_of(module)} & packages}


def test_every_module_lies_in_a_room_of_the_table():
    assert {room_of(module) for module in SOURCES if module not in PACKAGES} == set(HEIGHTS)


def test_the_table_is_that_of_the_documents():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE)
    assert documented == [room.partition(".")[2] for room in HEIGHTS if room != "mpvss_model"]


def test_no_import_runs_upward():
    def runs_down(module, imported):
        if imported in PACKAGES:  # its exports come from its highest room
            return module.partition(".")[0] != imported
        room, imported_room = room_of(module), room_of(imported)
        return room == imported_room or HEIGHTS[imported_room] < HEIGHTS[room]

    upward = [f"{module} -> {imported}" for module, imported in arrows() if not runs_down(module, imported)]
    assert not upward, "\n".join(upward)


def test_folders_import_each_other_in_one_direction_only():
    between = {arrow: (folder_of(arrow[0]), folder_of(arrow[1])) for arrow in arrows() if arrow[1] not in PACKAGES}
    below = {
        folder: {to for start, to in between.values() if start == folder} - {folder} for folder in map(folder_of, SOURCES)
    }
    for folder in below:  # Warshall's algorithm: in the end, all that a folder imports itself or through others
        for others in below.values():
            others |= below[folder] if folder in others else set()
    circular = [f"{module} -> {to}" for (module, to), (start, end) in between.items() if start != end and start in below[end]]
    assert not circular, "\n".join(circular)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_folder_can_be_seen_at_a_glance(package):
    folders = [path for path in (ROOT / package, *(ROOT / package).rglob("*")) if path.is_dir()]
    counts = {str(path.relative_to(ROOT)): len([*path.glob("[!_]*.py")]) for path in folders}
    assert {folder: count for folder, count in counts.items() if count > MOST_MODULES} == {}


def test_the_model_knows_nothing_of_ros():
    depends = ElementTree.parse(ROOT / "package.xml").getroot().findall("exec_depend")
    ros = {depend.text for depend in depends if not depend.text.startswith("python3-")}
    assert {"rclpy", "sensor_msgs"} <= ros
    ros |= {"mpvss_ros", "std_msgs", "lifecycle_msgs", "ament_index_python", "rosbags", "mcap"}
    assert not {module for module in users_of(ros) if module.startswith("mpvss_model")}


def test_only_segmentors_and_checkpoints_know_transformers():
    rooms = {room_of(module) for module in users_of({"transformers"})}
    assert rooms == {"mpvss_model.segmentor", "mpvss_model.checkpoints"}


def test_help_needs_neither_torch_nor_ros():
    code = (
        "import sys; from mpvss_ros.cli.app import main; sys.argv = ['mpvss', '--help']\n"
        "try: main()\n"
        "except SystemExit: print(sorted({'torch', 'rclpy', 'numpy', 'cv2'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout.strip().endswith("[]"), result.stdout + result.stderr
    assert "evaluate" in result.stdout


# Runs a module's `main` where some packages are missing: ``python -c WITHOUT package,package module argument...``.
WITHOUT = """
import importlib, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

missing = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Missing())
module = importlib.import_module(sys.argv[2])
sys.argv = sys.argv[2:]
module.main()
"""
ROS = "rclpy,cv_bridge,sensor_msgs,std_msgs,std_srvs,builtin_interfaces,rcl_interfaces,diagnostic_msgs,rosgraph_msgs"
# What the commands that touch no message import when they run, beside `mpvss evaluate`; those of training and rendering, where
# their packages are installed.
MESSAGE_FREE = [
    "mpvss_model.data.annotations",
    "mpvss_model.evaluation.study.report.command",
    "mpvss_ros.bags.video",
    "mpvss_model.evaluation.benchmark",
    "mpvss_model.checkpoints.convert",
    "mpvss_model.evaluation.flops",
    "mpvss_model.checkpoints.parity",
    "mpvss_model.labelling",
    *(["mpvss_model.training", "mpvss_model.adaptation"] if find_spec("accelerate") else []),
    *(["mpvss_ros.bags.rooms_bag"] if find_spec("moderngl") and find_spec("trimesh") else []),
]


def run_without(missing, module, *arguments, script=WITHOUT):
    """Run a program where packages are missing."""
    command = [sys.executable, "-c", script, missing, module, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_what_touches_no_message_works_without_ros(small_clips, tiny_checkpoint, tmp_path):
    report = tmp_path / "report.json"
    script = WITHOUT.replace("module.main()", f"for name in {MESSAGE_FREE}: importlib.import_module(name)\nmodule.main()")
    arguments = ("evaluate", small_clips, "--model", tiny_checkpoint, "--split", "first", "--out", report)
    done = run_without(ROS, "mpvss_ros.cli.app", *arguments, script=script)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(report.read_text())["frames"] == 18


@pytest.mark.parametrize(
    ("missing", "module", "arguments", "line"),
    [
        (ROS, "mpvss_ros.cli.app", ("run",), "mpvss: ROS 2's Python package"),
        ("rclpy", "mpvss_ros.cli.app", ("doctor",), "mpvss: ROS 2's Python package rclpy is missing"),
        ("rclpy", "mpvss_ros.node.main", (), "segmentation_node: ROS 2's Python package rclpy is missing"),
        ("torch", "mpvss_ros.node.main", (), "segmentation_node: Python package torch is missing"),
        ("rosbags", "mpvss_ros.replay.main", (), "replay_node: Python package rosbags is missing"),
        ("zstandard", "mpvss_ros.replay.main", (), "replay_node: Python package zstandard is missing"),
        ("transformers", "mpvss_ros.node.main", (), "segmentation_node: Python package transformers is missing"),
        ("torch", "mpvss_ros.cli.app", ("flops",), "mpvss: Python package torch is missing"),
        ("typer", "mpvss_ros.cli.app", ("--help",), "mpvss: Python package typer is missing"),
    ],
)
def test_a_missing_package_ends_with_one_line_that_names_the_command(missing, module, arguments, line):
    done = run_without(missing, module, *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith(line) and "pip install" in done.stderr
