"""Every value that cannot be used is refused by name, at the start and live, and changes nothing."""

import pytest
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from mpvss_model import ConfigError
from mpvss_ros.node.parameters import PARAMETERS, checked_config
from mpvss_ros.node.segmentation_node import SegmentationNode

# Parameter, wrong value, and words of what is allowed. What the node shows of a value is its Python form.
WRONG = [
    ("model", "", "the name of a model"),
    ("model", 7, "text"),
    ("propagation", "magic", "auto, segment, pixel, fine, tracked, dense, copy"),
    ("propagation", True, "text"),
    ("device", "tpu", "auto, cpu, cuda or cuda:N"),
    ("device", "cuda:one", "auto, cpu, cuda or cuda:N"),
    ("runtime", "tvm", "auto, torch, onnx"),
    ("execution_provider", "tpu", "auto, cpu, cuda, tensorrt, openvino"),
    ("onnx_folder", 7, "text"),
    ("threads", -1, "0"),
    ("threads", 257, "256"),
    ("threads", 1.5, "a whole number"),
    ("mode", "sometimes", "realtime, lossless"),
    ("mode", "Lossless", "realtime, lossless"),
    ("queue_size", 0, "1"),
    ("queue_size", 1_000_000, "100000"),
    ("image_transport", "theora", "raw, compressed"),
    ("cameras", ["front", "front"], "different names"),
    ("cameras", ["front camera"], "letters, digits and _"),
    ("cameras", ["2nd"], "beginning with a letter"),
    ("cameras", "front", "a list of texts"),
    ("key_frames", "always", "auto, sync, async"),
    ("max_interval_frames", 0, "1"),
    ("max_interval_frames", 100_001, "100000"),
    ("max_interval_frames", "many", "a whole number"),
    ("max_interval_frames", True, "a whole number"),
    ("max_interval_s", -0.5, "0.0"),
    ("max_interval_s", float("nan"), "3600.0"),
    ("max_interval_s", float("inf"), "3600.0"),
    ("min_interval_s", -1.0, "0.0"),
    ("min_interval_s", 10.0, "at most"),
    ("inference_size", 31, "-1, 0 or in 32 .. 4320"),
    ("inference_size", 240.5, "a whole number"),
    ("motion_threshold", 1.01, "1.0"),
    ("motion_threshold", "0.5", "a number"),
    ("history_weight", -0.5, "10.0"),
    ("max_key_age_s", 0.0, "0.001"),
    ("max_key_age_s", 4000.0, "3600.0"),
    ("retry_initial_s", 0.0, "0.001"),
    ("retry_max_s", 0.1, "0.5"),
    ("output_size", [320], "[width, height] in 1 .. 16384"),
    ("output_size", [0, 240], "[width, height] in 1 .. 16384"),
    ("output_size", [-320, 240], "[width, height] in 1 .. 16384"),
    ("output_size", [320, 20_000], "[width, height] in 1 .. 16384"),
    ("output_size", [320.0, 240.0], "a list of whole numbers"),
    ("output_size", "320x240", "a list of whole numbers"),
    ("class_map", ["wall"], "'class=name'"),
    ("class_map", ["=obstacle"], "'class=name'"),
    ("class_map", ["wall=a", "wall=b"], "each class once"),
    ("class_map", "wall=a", "a list of texts"),
    ("label_encoding", "mono16", "mono8, 16SC1"),
    ("unlabeled_id", -1, "16SC1 holds more"),
    ("unlabeled_id", 40_000, "32767"),
    ("score_classes", "floor", "a list of texts"),
    ("label_info_period_s", -1.0, "0.0"),
    ("overlay_alpha", 1.5, "1.0"),
    ("overlay_alpha", [0.5], "a number"),
    ("autostart", "yes", "true or false"),
]
IDS = [f"{name}={value!r}" for name, value, _ in WRONG]


@pytest.fixture(scope="module")
def node(tiny_checkpoint):
    made = SegmentationNode(parameter_overrides=[Parameter("model", value=tiny_checkpoint), Parameter("threads", value=1)])
    yield made
    made.release()
    made.destroy_node()


@pytest.fixture(scope="module")
def node_with_model(node):
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    return node


def assert_refused(node, name, value, allowed):
    before = (node.config, node.get_parameter(name).value)
    others = {} if name == "overlay_alpha" else {"overlay_alpha": 0.25}
    result = node.set_parameters_atomically([Parameter(n, value=v) for n, v in {**others, name: value}.items()])
    assert not result.successful
    assert (node.config, node.get_parameter(name).value) == before
    assert node.get_parameter("overlay_alpha").value == 0.5
    for words in (name, str(value[0] if isinstance(value, list) else value), allowed):
        assert words in result.reason


@pytest.mark.parametrize("name, value, allowed", WRONG, ids=IDS)
def test_a_wrong_value_is_refused_live_with_all_that_came_with_it(node, name, value, allowed):
    assert_refused(node, name, value, allowed)


@pytest.mark.parametrize("name, value, allowed", WRONG, ids=IDS)
def test_a_wrong_value_is_refused_while_a_model_is_loaded(node_with_model, name, value, allowed):
    assert_refused(node_with_model, name, value, allowed)


@pytest.mark.parametrize("name, value, allowed", WRONG, ids=IDS)
def test_a_wrong_value_keeps_the_node_from_starting(name, value, allowed):
    created = []
    with pytest.raises(ConfigError) as refusal:
        SegmentationNode(on_created=created.append, parameter_overrides=[Parameter(name, value=value)])
    created[0].destroy_node()
    for words in (name, str(value[0] if isinstance(value, list) else value), allowed):
        assert words in str(refusal.value)


@pytest.mark.parametrize("parameter", [p for p in PARAMETERS if not p.live], ids=lambda p: p.name)
def test_what_the_model_was_loaded_with_stays_until_the_node_is_cleaned_up(node_with_model, parameter):
    value = {str: "cpu", bool: False, int: 2, float: 0.5, tuple: ["front"]}[type(parameter.default)]
    value = parameter.choices[-1] if parameter.choices else ["wall=a"] if parameter.name == "class_map" else value
    result = node_with_model.set_parameters_atomically([Parameter(parameter.name, value=value)])
    assert not result.successful
    assert parameter.name in result.reason and "clean up the node first" in result.reason


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda p: p.name)
def test_the_value_that_a_parameter_has_is_accepted(node_with_model, parameter):
    value = node_with_model.get_parameter(parameter.name).value
    for same in [value] + [[]] * (value in ([""], [0, 0])):
        assert node_with_model.set_parameters_atomically([Parameter(parameter.name, value=same)]).successful


def test_what_another_callback_refuses_takes_no_effect(node_with_model):
    def refuse(parameters):
        return SetParametersResult(successful=False, reason="not today")

    before = node_with_model.config
    # Callbacks are asked in the reverse order.
    node_with_model.remove_on_set_parameters_callback(node_with_model._on_set_parameters)
    node_with_model.add_on_set_parameters_callback(refuse)
    node_with_model.add_on_set_parameters_callback(node_with_model._on_set_parameters)
    try:
        assert not node_with_model.set_parameters_atomically([Parameter("overlay_alpha", value=0.25)]).successful
    finally:
        node_with_model.remove_on_set_parameters_callback(refuse)
    assert node_with_model.config == before


def test_right_values_change_together(node_with_model):
    values = {"max_interval_s": 1, "max_interval_frames": 7, "output_size": [32, 24]}
    values |= {"motion_threshold": 0.25, "history_weight": 2}
    assert node_with_model.set_parameters_atomically([Parameter(n, value=v) for n, v in values.items()]).successful
    config = node_with_model.config
    assert (config.stream.max_interval_s, config.stream.max_interval_frames, config.label_size) == (1, 7, (32, 24))
    assert config.stream.motion_threshold == 0.25 and config.stream.history_weight == 2.0
    values = {p.name: p.default for p in PARAMETERS if p.name in values}
    reset = [Parameter(n, value=list(v) if isinstance(v, tuple) else v) for n, v in values.items()]
    assert node_with_model.set_parameters_atomically(reset).successful
    assert node_with_model.config.label_size is None


@pytest.mark.parametrize(
    "mode, key_frames, expected",
    [
        ("realtime", "auto", "async"),
        ("lossless", "auto", "sync"),
        ("realtime", "sync", "sync"),
        ("lossless", "async", "async"),
    ],
)
def test_key_frames_are_asynchronous_in_realtime_unless_told_otherwise(mode, key_frames, expected):
    values = {p.name: p.default for p in PARAMETERS}
    assert checked_config({**values, "mode": mode, "key_frames": key_frames}).stream.key_frames == expected


def test_lists_may_be_empty_as_ros_writes_them():
    values = {p.name: p.default for p in PARAMETERS}
    for empty in (None, [], [""]):
        config = checked_config({**values, "cameras": empty, "class_map": empty})
        assert config.camera_names == ("",) and config.class_map_entries == ()
    for empty in (None, [], [0, 0]):
        assert checked_config({**values, "output_size": empty}).label_size is None
    assert checked_config({**values, "cameras": ["front", "rear"]}).camera_names == ("front", "rear")
