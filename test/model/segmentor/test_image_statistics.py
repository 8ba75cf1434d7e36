"""What a checkpoint's image processor asks for, brought to one scale or refused by name."""

import json

import pytest

from mpvss_model import CheckpointError
from mpvss_model.image import IMAGENET_MEAN, IMAGENET_STD
from mpvss_model.segmentor.image_statistics import image_statistics

OF_255 = {"image_mean": [123.675, 116.28, 103.53], "image_std": [58.395, 57.12, 57.375]}
OF_1 = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.1, 0.2, 0.3]}
IMAGENET = (tuple(IMAGENET_MEAN), tuple(IMAGENET_STD))


def statistics(folder, settings, name="preprocessor_config.json"):
    (folder / name).write_text(settings if isinstance(settings, str) else json.dumps(settings))
    return image_statistics(str(folder))


@pytest.mark.parametrize(
    ("settings", "mean", "std"),
    [
        ({}, *IMAGENET),
        ({"image_mean": None, "image_std": None, "do_rescale": None, "rescale_factor": None}, *IMAGENET),
        ({"do_rescale": False}, *IMAGENET),
        (OF_1, (0.5, 0.4, 0.3), (0.1, 0.2, 0.3)),
        (OF_1 | {"rescale_factor": 1 / 255, "do_reduce_labels": True, "do_resize": True}, (0.5, 0.4, 0.3), (0.1, 0.2, 0.3)),
        ({"image_mean": [0.5] * 3}, (0.5,) * 3, IMAGENET_STD),
        (OF_255 | {"do_rescale": False}, *IMAGENET),
        (OF_255 | {"do_rescale": False, "rescale_factor": 1 / 255}, *IMAGENET),
        (OF_255 | {"rescale_factor": 1.0}, *IMAGENET),
        (OF_255 | {"rescale_factor": 1}, *IMAGENET),
        ({"image_mean": [1] * 3, "image_std": [1] * 3, "rescale_factor": 1 / 127.5}, (0.5,) * 3, (0.5,) * 3),
        ({"image_mean": [0] * 3, "image_std": [1] * 3, "do_rescale": False}, (0.0,) * 3, (1 / 255,) * 3),
        ({"do_normalize": False}, (0.0,) * 3, (1.0,) * 3),
        (OF_1 | {"do_normalize": False, "do_rescale": False}, (0.0,) * 3, (1 / 255,) * 3),
    ],
)
def test_mean_and_deviation_are_those_of_pixels_of_0_to_1(tmp_path, settings, mean, std):
    found_mean, found_std = statistics(tmp_path, settings)
    assert found_mean == pytest.approx(mean) and found_std == pytest.approx(std)


def test_the_arithmetic_is_that_of_transformers(tmp_path):
    """(x / 255 - mean) / std there is (factor * x - image_mean) / image_std."""
    for settings, factor in (
        (OF_1, 1 / 255),
        (OF_255 | {"do_rescale": False}, 1.0),
        (OF_1 | {"rescale_factor": 1 / 128}, 1 / 128),
    ):
        mean, std = statistics(tmp_path, settings)
        for x in (0, 100, 255):
            ours = [(x / 255 - m) / s for m, s in zip(mean, std, strict=True)]
            theirs = [(factor * x - m) / s for m, s in zip(settings["image_mean"], settings["image_std"], strict=True)]
            assert ours == pytest.approx(theirs)


def test_what_most_checkpoints_have_is_kept_to_the_last_bit(tmp_path):
    assert statistics(tmp_path, OF_1 | {"rescale_factor": 0.00392156862745098}) == ((0.5, 0.4, 0.3), (0.1, 0.2, 0.3))
    assert statistics(tmp_path, {}) == IMAGENET


def test_without_a_file_it_is_imagenet(tmp_path):
    assert image_statistics(str(tmp_path)) == IMAGENET


def test_a_processor_of_newer_transformers_takes_precedence(tmp_path):
    statistics(tmp_path, {"image_mean": [0.9] * 3})
    assert statistics(tmp_path, {"image_processor": OF_1}, "processor_config.json")[0] == (0.5, 0.4, 0.3)
    assert statistics(tmp_path, {"processor_class": "X"}, "processor_config.json")[0] == (0.9, 0.9, 0.9)
    with pytest.raises(CheckpointError, match=r"processor_config.json': image_processor is \[\]; expected an object"):
        statistics(tmp_path, {"image_processor": []}, "processor_config.json")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("{", "preprocessor_config.json' is no JSON file: "),
        ("[]", "preprocessor_config.json' must hold a JSON object, .* but holds a list"),
        ({"image_mean": 0.5}, "image_mean is 0.5; expected three numbers, for red, green and blue"),
        ({"image_mean": [0.5]}, r"image_mean is \[0.5\]; expected three numbers"),
        ({"image_std": [0.5] * 4}, r"image_std is \[0.5, 0.5, 0.5, 0.5\]; expected three numbers"),
        ({"image_mean": ["a"] * 3}, r"image_mean is \['a', 'a', 'a'\]; expected three numbers"),
        ({"image_std": [True] * 3}, r"image_std is \[True, True, True\]; expected three numbers"),
        ('{"image_mean": [NaN, 0, 0]}', r"image_mean is \[nan, 0, 0\]; expected three numbers"),
        ({"image_std": [0] * 3}, r"image_std is \[0, 0, 0\]; expected three numbers above 0"),
        (OF_255, r"image_mean is \[123.675, .*; expected 0..1, as pixels are once do_rescale"),
        (OF_1 | {"do_rescale": False}, r"image_mean is .*; expected a mean of 0..255, since do_rescale"),
        ({"rescale_factor": 0}, "rescale_factor is 0; expected a number above 0"),
        ({"rescale_factor": "1/255"}, "rescale_factor is '1/255'; expected a number above 0"),
        ({"do_normalize": "false"}, "do_normalize is 'false'; expected true or false"),
        ({"do_rescale": 0}, "do_rescale is 0; expected true or false"),
        ({"do_flip_channel_order": True}, "do_flip_channel_order is True; expected false, since models are given RGB"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(tmp_path, settings, message):
    with pytest.raises(CheckpointError, match=message) as refusal:
        statistics(tmp_path, settings)
    assert "preprocessor_config.json" in str(refusal.value) and "\n" not in str(refusal.value)
