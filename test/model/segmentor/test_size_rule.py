"""The sizes that a checkpoint's image processor asks for, or a refusal by name."""

import json

import pytest

from mpvss_model import CheckpointError
from mpvss_model.segmentor.image_processing.size_rule import SizeRule, size_rule


def rule(folder, settings, name="preprocessor_config.json"):
    (folder / name).write_text(json.dumps(settings))
    return size_rule(str(folder))


@pytest.mark.parametrize(
    ("settings", "shorter_side_px"),
    [
        ({}, 0),
        ({"size": None}, 0),
        ({"size": 512, "reduce_labels": True, "max_size": 2048}, 512),
        ({"size": {"shortest_edge": 800, "longest_edge": 1333}, "size_divisor": 32}, 800),
        ({"size": {"shortest_edge": 512, "longest_edge": None}}, 512),
        ({"size": {"height": 512, "width": 640}}, 512),
        ({"size": {"longest_edge": 1024}}, 0),
        ({"size": {"max_height": 512, "max_width": 512}}, 0),
        ({"size": 512, "do_resize": False}, 0),
        ({"size": 480, "do_center_crop": False, "crop_size": 480, "ensure_multiple_of": 1, "do_reduce_labels": True}, 480),
    ],
)
def test_the_shorter_side(tmp_path, settings, shorter_side_px):
    assert rule(tmp_path, settings) == SizeRule(shorter_side_px)


def test_a_newer_file_takes_precedence_and_none_says_nothing(tmp_path):
    assert size_rule(str(tmp_path)) == SizeRule()
    rule(tmp_path, {"size": 640, "do_split_image": True})
    assert size_rule(str(tmp_path)) == SizeRule(640, is_split=True)
    assert rule(tmp_path, {"image_processor": {"size": 320}}, "processor_config.json") == SizeRule(320)
    assert size_rule(str(tmp_path), processor="video_processor") == SizeRule(640, is_split=True)
    rule(tmp_path, {"size": {"height": 480, "width": 480}}, "video_preprocessor_config.json")
    assert size_rule(str(tmp_path), processor="video_processor") == SizeRule(480)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": "512"}, "size is '512'; expected sides in pixels, such as"),
        ({"size": [512, 512]}, r"size is \[512, 512\]; expected sides in pixels"),
        ({"size": {"shortest_edge": 0}}, "size is {'shortest_edge': 0}; expected sides in pixels"),
        ({"size": {"height": 512}}, "size is {'height': 512}; expected sides in pixels"),
        ({"size": True}, "size is True; expected sides in pixels"),
        ({"do_center_crop": True}, "do_center_crop is True; expected false, since every pixel of a frame gets a label"),
        ({"do_resize": "yes"}, "do_resize is 'yes'; expected true or false"),
        ({"do_split_image": 1}, "do_split_image is 1; expected true or false"),
        ({"size_divisor": 48}, "size_divisor is 48; expected a divisor of 32"),
        ({"ensure_multiple_of": "32"}, "ensure_multiple_of is '32'; expected a divisor of 32"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(tmp_path, settings, message):
    with pytest.raises(CheckpointError, match=message) as refusal:
        rule(tmp_path, settings)
    assert "preprocessor_config.json" in str(refusal.value) and "\n" not in str(refusal.value)
