"""The packages use nothing of OpenCV that robots do not have: Ubuntu 22.04 comes with 4.5.4, 24.04 with 4.6.0."""

import ast
from pathlib import Path

import cv2
import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for package in ("mpvss_model", "mpvss_ros") for path in (ROOT / package).rglob("*.py"))
# Every name was looked up in opencv-python-headless 4.5.4.60. Look a new one up there before you add it.
LOOKED_UP = """
BORDER_CONSTANT BORDER_REFLECT BORDER_REFLECT_101 BORDER_REPLICATE CAP_PROP_FPS COLOR_BGR2RGB COLOR_BGRA2RGB
COLOR_BGRA2RGBA COLOR_BayerBG2RGB COLOR_BayerGB2RGB COLOR_BayerGR2RGB COLOR_BayerRG2RGB COLOR_GRAY2RGB COLOR_HSV2RGB
COLOR_LAB2RGB COLOR_RGB2BGR COLOR_RGB2BGRA COLOR_RGB2GRAY COLOR_RGB2HSV COLOR_RGB2LAB COLOR_RGBA2BGRA COLOR_RGBA2RGB
COLOR_YUV2RGB_NV12 COLOR_YUV2RGB_NV21 COLOR_YUV2RGB_UYVY COLOR_YUV2RGB_YUY2 CV_8U DISOPTICAL_FLOW_PRESET_FAST
DISOPTICAL_FLOW_PRESET_ULTRAFAST DISOpticalFlow_create DIST_L2 FILLED FONT_HERSHEY_SIMPLEX GaussianBlur
IMREAD_ANYCOLOR IMREAD_ANYDEPTH IMREAD_COLOR IMREAD_IGNORE_ORIENTATION
IMREAD_REDUCED_COLOR_2 IMREAD_REDUCED_COLOR_4 IMREAD_REDUCED_COLOR_8
IMREAD_UNCHANGED IMWRITE_JPEG_QUALITY
IMWRITE_PNG_COMPRESSION IMWRITE_PNG_STRATEGY IMWRITE_PNG_STRATEGY_RLE IMWRITE_WEBP_QUALITY INTER_AREA INTER_CUBIC
INTER_LINEAR INTER_NEAREST INTER_NEAREST_EXACT LINE_AA LUT Rodrigues VideoCapture VideoWriter VideoWriter_fourcc add
addWeighted applyColorMap blur connectedComponentsWithStats convertScaleAbs copyMakeBorder cvtColor cvtColorTwoPlane dilate
distanceTransform erode error
fillConvexPoly filter2D fisheye flip getRotationMatrix2D imdecode imencode imread meanStdDev merge
perspectiveTransform projectPoints putText __version__ randn rectangle remap resize setNumThreads setRNGSeed split
transform undistortPoints
"""
IN_OPENCV_4_5_4 = set(LOOKED_UP.split())


def opencv_names(path):
    """What a file uses of OpenCV, as ``cv2.NAME`` or imported by name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "cv2":
            yield node.attr
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cv2":
            yield from (alias.name for alias in node.names)


def test_every_name_of_opencv_exists_on_robots():
    used = {name: path.relative_to(ROOT) for path in SOURCES for name in opencv_names(path)}
    assert "cvtColor" in used
    unknown = {name: str(path) for name, path in used.items() if name not in IN_OPENCV_4_5_4}
    assert not unknown, f"not known to be in OpenCV 4.5.4: {unknown}"


def test_names_of_newer_versions_are_found(tmp_path):
    source = tmp_path / "newer.py"
    source.write_text("import cv2\nfrom cv2 import IMREAD_COLOR_BGR\nFLAG = cv2.IMREAD_COLOR_RGB\n")
    assert set(opencv_names(source)) == {"IMREAD_COLOR_BGR", "IMREAD_COLOR_RGB"}
    assert not set(opencv_names(source)) & IN_OPENCV_4_5_4


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_opencv_goes_by_its_own_name(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not [a for a in node.names if a.name == "cv2" and a.asname], "the names could not be looked up"


def test_the_list_has_no_name_that_this_version_lacks():
    assert not [name for name in IN_OPENCV_4_5_4 if not hasattr(cv2, name)]
