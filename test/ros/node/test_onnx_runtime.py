"""The node with ONNX Runtime: it says what it waits for, and what it cannot run."""

import numpy as np
import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from mpvss_model.segmentor.exported.export import export_network
from mpvss_ros.node.segmentation_node import SegmentationNode
from test.exportable_segmentor import ExportableBrightness

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def lamp_file(tmp_path_factory):
    lamp = ExportableBrightness("lamp", ("background", "robot"), 100.0)
    file = tmp_path_factory.mktemp("lamp") / "lamp.onnx"
    return str(export_network(lamp, file, frames=[np.zeros((64, 96, 3), np.uint8)]).file)


@pytest.fixture
def make_node():
    nodes = []

    def make(**parameters):
        values = {"threads": 1, "device": "cpu", "autostart": False, **parameters}
        nodes.append(SegmentationNode(parameter_overrides=[Parameter(name, value=value) for name, value in values.items()]))
        return nodes[-1]

    yield make
    for node in nodes:
        node.release()
        node.destroy_node()


def test_an_exported_file_is_a_model(make_node, lamp_file):
    node = make_node(model=lamp_file)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.config.execution.runtime == "auto" and node._class_names == ("background", "robot")


def test_what_cannot_run_it_is_refused_when_configured(make_node, lamp_file, capfd):
    node = make_node(model=lamp_file, runtime="torch")
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert "cannot configure: runtime 'torch' cannot run" in capfd.readouterr().err
    node.set_parameters([Parameter("runtime", value="onnx"), Parameter("execution_provider", value="tensorrt")])
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert "execution_provider 'tensorrt' is not in the installed ONNX Runtime" in capfd.readouterr().err
    node.set_parameters([Parameter("execution_provider", value="cpu")])
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
