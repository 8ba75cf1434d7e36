"""Installs both packages and, for ``ament_python``, the ROS package's share directory."""

from setuptools import find_packages, setup

PACKAGE = "mpvss_ros"

setup(
    name=PACKAGE,
    version="0.1.0",
    description="Semantic labels for every camera frame, by key frames and mask propagation (MPVSS)",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["mpvss_ros*", "mpvss_model*"]),
    package_data={"mpvss_model": ["weights/*/*", "data/rooms/classes.csv"], "mpvss_ros": ["samples/*/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        (f"share/{PACKAGE}/launch", ["launch/segment.launch.py"]),
        (f"share/{PACKAGE}/config", ["config/segment.yaml"]),
    ],
    # What a ROS installation does not bring; requirements.txt has the versions this was tested with.
    install_requires=[
        "matplotlib",
        "numpy<2.3",
        "opencv-python-headless<5",
        "pillow",
        "pyyaml",
        "rich",
        "rosbags>=0.11",
        "safetensors",
        "scipy",
        "simplejpeg",
        "torch>=2.5",
        "transformers>=5.20,<6",
        "typer",
    ],
    extras_require={"train": ["accelerate", "tensorboardX"], "rooms": ["moderngl", "trimesh"]},
    entry_points={
        "console_scripts": [
            "mpvss = mpvss_ros.cli:main",
            "segmentation_node = mpvss_ros.segmentation_main:main",
            "replay_node = mpvss_ros.replay_node:main",
        ]
    },
    zip_safe=True,
)
