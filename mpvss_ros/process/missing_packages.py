"""One line, instead of a traceback, where a package is missing. Imports nothing that may be missing itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from importlib.util import find_spec

__all__ = ["name_missing_packages"]

FROM_ROS = (
    "builtin_interfaces",
    "cv_bridge",
    "diagnostic_msgs",
    "lifecycle_msgs",
    "rcl_interfaces",
    "rclpy",
    "rosgraph_msgs",
    "sensor_msgs",
    "std_msgs",
    "std_srvs",
)
# What pip installs under another name than it is imported by.
PIP_NAMES = {"cv2": "opencv-python-headless", "PIL": "pillow", "yaml": "pyyaml"}
FROM_PIP = (
    *PIP_NAMES,
    "accelerate",
    "matplotlib",
    "mcap",
    "moderngl",
    "numpy",
    "pycocotools",
    "rich",
    "rosbags",
    "safetensors",
    "scipy",
    "simplejpeg",
    "tensorboardX",
    "torch",
    "transformers",
    "trimesh",
    "typer",
    "zstandard",
)


@contextmanager
def name_missing_packages(program: str, *, later: tuple[str, ...] = ()) -> Iterator[None]:
    """End the process with exit code 2 if a package that the program needs is not installed.

    Args:
        program: As users call it.
        later: Packages that the program imports only when this context is left.
    """
    try:
        yield
        for module in later:
            if find_spec(module) is None:
                raise ModuleNotFoundError(name=module)
    except ModuleNotFoundError as error:
        way_out = _way_out((error.name or "").partition(".")[0])
        if way_out is None:
            raise
        print(f"{program}: {way_out}", file=sys.stderr)
        sys.exit(2)


def _way_out(module: str) -> str | None:
    """What is missing and the command that installs it; None for modules that are no dependency."""
    if module in FROM_ROS:
        return (
            f"ROS 2's Python package {module} is missing: source /opt/ros/<distro>/setup.bash (apt has it as "
            f"ros-<distro>-{module.replace('_', '-')}), or, without ROS, pip install -r requirements.txt"
        )
    if module in FROM_PIP:
        requirement = _requirement(PIP_NAMES.get(module, module))
        return (
            f"Python package {module} is missing: {sys.executable} -m pip install '{requirement}' "
            "(on a robot in a virtual environment: see README.md, On a robot)"
        )
    return None


def _requirement(package: str) -> str:
    """The package with the versions that this one asks for."""
    try:
        requirements = metadata.requires("mpvss_ros") or []
    except metadata.PackageNotFoundError:
        requirements = []
    for requirement in requirements:
        text = requirement.partition(";")[0].strip()
        if text.lower().startswith(package.lower()) and not text[len(package) :][:1].isalnum():
            return text
    return package
