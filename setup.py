"""Installs both packages and, for ``ament_python``, the ROS package's share directory."""

import os
from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "mpvss_ros"
# colcon runs a link to this file from a folder of its own.
ROOT = Path(__file__).resolve().parent
# A ROS installation brings these. pip does not see apt's OpenCV, and its wheel would replace OpenCV and numpy by ones that
# cv_bridge was not built for.
STANDALONE = [] if "ROS_DISTRO" in os.environ else ["numpy<2.3", "opencv-python-headless<5"]

setup(
    name=PACKAGE,
    version="0.1.0",
    description="Semantic labels for every camera frame, by key frames and mask propagation (MPVSS)",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="mpvss_ros contributors",
    maintainer="mpvss_ros contributors",
    maintainer_email="mpvss_ros@users.noreply.github.com",
    license="Apache-2.0",
    license_files=["LICENSE", "ATTRIBUTION.md"],
    python_requires=">=3.10",
    packages=find_packages(include=["mpvss_ros*", "mpvss_model*"]),
    package_data={
        "mpvss_model": ["weights/*/*", "data/rooms/classes.csv", "labelling/class_maps/*.yaml"],
        "mpvss_ros": ["samples/*/*"],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        (f"share/{PACKAGE}/launch", [f"launch/{name}.launch.py" for name in ("cloud", "demo", "segment")]),
        (f"share/{PACKAGE}/config", ["config/segment.yaml"]),
        (f"share/{PACKAGE}/config/dds", ["config/dds/fastdds.xml"]),
        (f"share/{PACKAGE}/config/foxglove", ["config/foxglove/mpvss.json"]),
        (f"share/{PACKAGE}/config/rviz", ["config/rviz/mpvss.rviz"]),
        (
            f"share/{PACKAGE}/config/profiles",
            [f"config/profiles/{name}.yaml" for name in ("elevation_mapping", "hydra", "nav2", "nvblox")],
        ),
    ],
    # requirements.txt and requirements-robot.txt have the versions this was tested with.
    install_requires=[
        *STANDALONE,
        "matplotlib",
        "mcap>=1.4",
        "pillow",
        "pyyaml",
        "rich",
        "rosbags>=0.11",
        "safetensors",
        "scipy",
        "simplejpeg",
        "torch>=2.5",
        "transformers>=5.20,<6",
        "typer>=0.16",
        "zstandard>=0.22",
    ],
    extras_require={
        "train": ["accelerate", "pycocotools", "tensorboardX"],
        "rooms": ["moderngl", "trimesh"],
        "onnx": ["onnx>=1.16", "onnxruntime>=1.18"],
        "openvino": ["openvino>=2024"],
        "cluster": ["ray>=2.60"],
        "test": ["hypothesis", "pytest"],  # colcon test looks for pytest here
    },
    entry_points={
        "console_scripts": [
            "mpvss = mpvss_ros.cli.app:main",
            "segmentation_node = mpvss_ros.node.main:main",
            "cloud_node = mpvss_ros.cloud.main:main",
            "replay_node = mpvss_ros.replay.main:main",
        ]
    },
    zip_safe=True,
)
