"""What needs packages that are not installed is left out, such as training on a robot that only runs the node."""

from importlib.util import find_spec

NEEDED = {
    "accelerate": (
        "mpvss_model/training/*",
        "test/model/training/*",
        "mpvss_model/adaptation/*",
        "test/model/adaptation/*",
        "test/ros/cli/test_adapt.py",
        "test/ros/cli/test_training.py",
    ),
    "moderngl": ("mpvss_model/data/rooms/*", "test/model/data/rooms/*"),
    "trimesh": ("mpvss_model/data/rooms/*", "test/model/data/rooms/*"),
}
collect_ignore_glob = [path for package, paths in NEEDED.items() if find_spec(package) is None for path in paths]
