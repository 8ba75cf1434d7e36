"""One table of settings: the node's parameters derive from it, and the documents agree with it."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from mpvss_model.config import DecodingConfig, ExecutionConfig, StreamConfig
from mpvss_model.settings import settings_of
from mpvss_ros.node.parameters import PARAMETERS, NodeConfig, checked_config

ROOT = Path(__file__).parents[2]
ROWS = {parameter.name: parameter for parameter in PARAMETERS}
DEFAULTS = {parameter.name: parameter.default for parameter in PARAMETERS}
# A value of each setting that is neither its default nor refused.
CHANGED = {
    "max_interval_frames": 7,
    "max_interval_s": 1.5,
    "min_interval_s": 0.25,
    "inference_size": 240,
    "motion_threshold": 0.03,
    "history_weight": 0.5,
    "max_key_age_s": 2.0,
    "max_lost_s": 0.5,
    "retry_initial_s": 1.0,
    "retry_max_s": 4.0,
    "query_tolerance": 0.0,
    "max_image_pixels": 1000,
    "significant_bits": 12,
    "runtime": "onnx",
    "execution_provider": "openvino",
    "onnx_folder": "/networks",
}


def comments_by_parameter():
    """What stands above each parameter of ``segment.yaml``, as one line."""
    comments, comment = {}, []
    for line in (ROOT / "config" / "segment.yaml").read_text().splitlines():
        if line.strip().startswith("#"):
            comment.append(line.strip().removeprefix("# "))
            continue
        comments[line.partition(":")[0].strip()] = " ".join(comment)
        comment = []
    return comments


def test_the_parameter_file_shows_every_parameter_with_its_default():
    shown = yaml.safe_load((ROOT / "config" / "segment.yaml").read_text())["/**"]["ros__parameters"]
    assert shown == {name: row.ros_default for name, row in ROWS.items()}


@pytest.mark.parametrize("row", PARAMETERS, ids=lambda row: row.name)
def test_the_parameter_file_describes_every_parameter_as_the_node_does(row):
    comment = comments_by_parameter()[row.name]
    assert row.description + "." in comment
    assert all(choice in comment for choice in row.choices)
    assert comment.endswith("May change live.") == row.live


def test_the_readme_lists_parameters_with_their_defaults():
    table = (ROOT / "README.md").read_text().split("| parameter | default | |")[1].split("\n\n")[0]
    for names, defaults in re.findall(r"^\| (`.+?) \| (.+?) \| ", table, re.MULTILINE):
        names = re.findall(r"`(\w+)`", names)
        assert names
        # Quotes are as in YAML; several parameters of one line have a default each.
        values = [yaml.safe_load(defaults.strip("`"))] if len(names) == 1 else [yaml.safe_load(d) for d in defaults.split(",")]
        assert values == [ROWS[name].ros_default for name in names]


@pytest.mark.parametrize("config", [StreamConfig, DecodingConfig, ExecutionConfig])
def test_every_setting_of_the_model_side_is_a_parameter(config):
    for setting in settings_of(config):
        row = ROWS[setting.name]
        assert row.description.startswith(setting.description) and row.live == setting.live
        if setting.name != "key_frames":
            assert row.default == setting.default
            changed = checked_config({**DEFAULTS, setting.name: CHANGED[setting.name]})
            part = {StreamConfig: changed.stream, DecodingConfig: changed.decoding}.get(config, changed.execution)
            assert getattr(part, setting.name) == CHANGED[setting.name] == changed.values[setting.name]


def test_a_configuration_knows_the_values_that_it_was_made_from():
    values = {**DEFAULTS, **CHANGED, "mode": "lossless", "cameras": ("front",), "output_size": (32, 24)}
    config = checked_config(values)
    assert config.values == values and config.stream.key_frames == "sync"
    assert checked_config({**config.values, "mode": "realtime"}).stream.key_frames == "async"
    assert not {field.name for field in fields(NodeConfig)} & set(CHANGED)
