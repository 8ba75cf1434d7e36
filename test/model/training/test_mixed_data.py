"""Several data sets in one run, rare classes, new styles, and averaged weights."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from mpvss_model import ConfigError, DataError
from mpvss_model.checkpoints.starting_model import load_start, new_start
from mpvss_model.data import Clip, ClipSet, Frame, open_clips
from mpvss_model.training import TrainingConfig, train
from mpvss_model.training.averaging import WeightAverage
from mpvss_model.training.recipe.config import AugmentationConfig
from mpvss_model.training.samples.augmentation import augmented
from mpvss_model.training.samples.datasets import FrameDataset, FramePairDataset
from mpvss_model.training.samples.mixture import MixedDataset
from mpvss_model.training.samples.repeats import repeat_factors
from mpvss_model.training.samples.style import RandomStyle, filtered, with_colors_of

SIZE = 32
EXACT = AugmentationConfig(
    short_sides_px=(SIZE,), max_long_side_px=SIZE, crop_height_px=SIZE, crop_width_px=SIZE, flip_probability=0.0, color=False
)


def frame(label: np.ndarray, image: np.ndarray | None = None, i: int = 0) -> Frame:
    image = np.repeat(label[..., None], 3, axis=2) if image is None else image
    return Frame(stamp_ns=i * 100_000_000, read_image=lambda: image, read_label=lambda: label)


def filled(value: int) -> np.ndarray:
    return np.full((SIZE, SIZE), value, np.uint8)


def numbers(*values: int) -> ClipSet:
    """Frames that are filled with a number, which is their label, too."""
    return ClipSet("numbers", tuple("abcdefghij"), (Clip("clip", [frame(filled(v), i=i) for i, v in enumerate(values)]),))


def dataset(clips: ClipSet, **settings) -> FrameDataset:
    return FrameDataset(clips, **{"augmentation": EXACT, "seed": 0, **settings})


def shown(sample: dict[str, torch.Tensor]) -> int:
    return int(sample["label"].unique())


def smooth_image(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.integers(0, 256, (4, 4, 3)).astype(np.uint8), (48, 40), interpolation=cv2.INTER_CUBIC)


def lab_statistics(image: np.ndarray) -> np.ndarray:
    return np.stack(cv2.meanStdDev(cv2.cvtColor(image, cv2.COLOR_RGB2LAB)))[..., 0]


# The main data, then others with their shares: how many of each any ten samples in a row have.
MIXTURES = [([0.4], [6, 4]), ([0.3, 0.2], [5, 3, 2]), ([0.0, 0.5], [5, 0, 5])]


@pytest.mark.parametrize(("shares", "expected"), MIXTURES)
def test_each_data_set_has_its_share_in_every_batch(shares, expected):
    main, *others = (dataset(numbers(i)) for i in range(len(shares) + 1))
    mixed = MixedDataset(main, list(zip(others, shares, strict=True)))
    for start in range(0, 200, 10):
        seen = [shown(mixed[i]) for i in range(start, start + 10)]
        counts = [seen.count(i) for i in range(len(expected))]
        assert np.abs(np.subtract(counts, expected)).max() <= 1
    seen = [shown(mixed[i]) for i in range(1000)]
    assert np.abs(np.subtract([seen.count(i) for i in range(len(expected))], 100 * np.array(expected))).max() <= 1


def test_mixed_data_sets_go_through_all_their_frames():
    mixed = MixedDataset(dataset(numbers(0, 1, 2)), [(dataset(numbers(3, 4)), 0.4)])
    seen = [shown(mixed[i]) for i in range(50)]
    assert [seen.count(i) for i in range(5)] == [10] * 5


def test_frames_are_repeated_by_the_rarest_of_their_classes():
    halves = filled(0)
    halves[:, : SIZE // 2] = 1
    speck = filled(0)
    speck[0, 0] = 2  # too small to count
    labels = [halves, filled(0), filled(0), filled(255), speck, filled(0), filled(0), filled(0)]
    factors = repeat_factors([frame(label) for label in labels], 0.5)
    assert factors == pytest.approx([2.0, 1, 1, 1, 1, 1, 1, 1])  # in one of eight: the square root of 0.5 / 0.125


def test_rare_frames_come_more_often_and_all_the_same_without_a_threshold():
    clips = numbers(0, 0, 0, 0, 0, 0, 0, 1)
    rare = dataset(clips, repeat_threshold=0.5)
    seen = [shown(rare[i]) for i in range(360)]
    assert seen.count(1) == 80  # two of nine
    plain = dataset(clips)
    assert [shown(plain[i]) for i in range(80)].count(1) == 10


def test_crop_is_drawn_again_while_one_class_covers_too_much():
    label = np.zeros((64, 640), np.uint8)
    label[:, 600:] = np.arange(64)[:, None] // 8  # where something is to be seen
    image = np.repeat(label[..., None], 3, axis=2)
    wide = dataclasses.replace(EXACT, short_sides_px=(64,), max_long_side_px=640, crop_height_px=64, crop_width_px=64)
    wanted = dataclasses.replace(wide, max_class_share=0.75)

    def varied(changes: AugmentationConfig) -> int:
        crops = [augmented([image], label, changes, np.random.default_rng(seed))[1] for seed in range(200)]
        return sum(np.bincount(crop.ravel()).max() <= 0.75 * crop.size for crop in crops)

    once, again = varied(wide), varied(wanted)
    assert 1 <= once <= 25 and again >= 4 * once
    _, cropped = augmented([image], np.full_like(label, 3), wanted, np.random.default_rng(0))
    assert (cropped == 3).all()  # nothing else is to be had


def test_colors_are_those_of_the_reference_at_full_strength_and_untouched_at_none():
    image, other, reference = smooth_image(0), smooth_image(1), smooth_image(2) // 3 + 60
    same, same_other = with_colors_of(reference, [image, other], 0.0)
    assert np.abs(same.astype(int) - image).mean() < 1.5  # CIELAB in 8 bits
    (changed, changed_other) = with_colors_of(reference, [image, other], 1.0)
    np.testing.assert_allclose(lab_statistics(changed), lab_statistics(reference), atol=4)
    # A video does not flicker: what both images show alike stays alike.
    (again,) = with_colors_of(reference, [image], 1.0)
    np.testing.assert_array_equal(again, changed)
    assert np.abs(lab_statistics(changed_other) - lab_statistics(reference)).max() > 4
    assert same_other.shape == other.shape


def test_filter_mixes_an_image_with_a_convolution_of_the_same_statistics():
    image = smooth_image(0)
    identity = np.zeros((3, 3, 3, 3))
    for channel in range(3):
        identity[channel, channel, 1, 1] = 0.5
    np.testing.assert_allclose(filtered(image, identity, 1.0), image, atol=1)
    weights = np.random.default_rng(0).normal(size=(3, 3, 5, 5))
    np.testing.assert_array_equal(filtered(image, weights, 0.0), image)
    changed = filtered(image, weights, 1.0)
    assert np.abs(changed.astype(int) - image).mean() > 5
    for of_changed, of_image in zip(cv2.meanStdDev(changed), cv2.meanStdDev(image), strict=True):
        np.testing.assert_allclose(of_changed, of_image, atol=8)  # values beyond 0..255 are cut off


def test_frames_of_a_pair_get_one_style_that_follows_from_the_seed():
    image = smooth_image(3)
    clip = Clip("clip", [frame(np.zeros(image.shape[:2], np.uint8), image, i) for i in range(4)])
    clips = ClipSet("still", ("a",), (clip,))
    style = RandomStyle(numbers(10, 200), 1.0)
    pairs = FramePairDataset(clips, max_frame_distance=3, augmentation=EXACT, seed=0, style=style)
    plain = FramePairDataset(clips, max_frame_distance=3, augmentation=EXACT, seed=0)
    for i in range(8):
        sample = pairs[i]
        assert torch.equal(sample["key_image"], sample["image"])
        assert torch.equal(sample["image"], pairs[i]["image"])
        assert not torch.equal(sample["image"], plain[i]["image"])
    assert not torch.equal(pairs[0]["image"], pairs[1]["image"])


def test_average_of_weights_forgets_the_start_and_follows_slowly():
    module = nn.BatchNorm1d(1)
    average = WeightAverage(module, 0.5)
    expected = None
    for step, value in enumerate([1.0, 3.0, -2.0, 5.0]):
        with torch.no_grad():
            module.weight.fill_(value)
            module.running_mean.fill_(-value)
            module.num_batches_tracked.fill_(step)
        average.update_parameters(module)
        kept = min(0.5, (1 + step) / (10 + step))
        expected = value if expected is None else kept * expected + (1 - kept) * value
        assert average.module.weight.item() == pytest.approx(expected)
        assert average.module.running_mean.item() == pytest.approx(-expected)
        assert average.module.num_batches_tracked.item() == step


def test_everything_but_the_backbone_is_taken_from_another_model(tiny_checkpoint):
    other = load_start(tiny_checkpoint).network
    config = other.config
    names = ("num_attention_heads", "dim_feedforward", "encoder_layers", "decoder_layers", "num_queries", "hidden_dim")
    names += ("feature_size", "mask_feature_size", "encoder_feedforward_dim")
    settings = {name: getattr(config, name) for name in names}
    class_names = tuple(config.id2label.values())

    def new(class_names: tuple[str, ...]) -> dict[str, torch.Tensor]:
        torch.manual_seed(1)
        start = new_start(backbone="lite0", class_names=class_names, settings=settings, others_from=tiny_checkpoint)
        return start.network.state_dict()

    same, others = new(class_names), new(("x", "y"))
    for name, value in other.state_dict().items():
        if name.startswith("model.transformer_module.decoder.layers"):
            assert torch.equal(same[name], value) and torch.equal(others[name], value)
    head = "class_predictor.weight"
    assert torch.equal(same[head], other.state_dict()[head]) and others[head].shape[0] == 3


@pytest.fixture
def recipe(tmp_path, tiny_checkpoint):
    """Makes a recipe on two folders, one of red, one of blue images."""
    for name, color in (("main", (200, 0, 0)), ("more", (0, 0, 200))):
        for kind in ("images", "labels"):
            (tmp_path / name / "clip" / kind).mkdir(parents=True)
        for i in range(4):
            label = np.zeros((2 * SIZE, 2 * SIZE), np.uint8)
            label[: 16 * (i + 1)] = 1
            image = np.full((2 * SIZE, 2 * SIZE, 3), color, np.uint8)
            cv2.imwrite(str(tmp_path / name / "clip" / "images" / f"{i}.png"), image)
            cv2.imwrite(str(tmp_path / name / "clip" / "labels" / f"{i}.png"), label)
        (tmp_path / name / "val.txt").write_text("clip\n")
    (tmp_path / "main" / "classes.txt").write_text("background\nrobot\nwall\n")
    (tmp_path / "more" / "classes.txt").write_text("background\nrobot\nwall\n")

    def make(mixed: dict | None = None, **changes) -> TrainingConfig:
        more = {"root": str(tmp_path / "more"), "share": 0.5, "validation_split": "val", "restyle_probability": 0.5}
        return TrainingConfig.from_mapping(
            {
                "data": {
                    "root": str(tmp_path / "main"),
                    "layout": "folder",
                    "train_split": "",
                    "mixed_with": [more | (mixed or {})],
                },
                "model": {"start": tiny_checkpoint},
                "loss": {"train_num_points": 64},
                "augmentation": {**dataclasses.asdict(EXACT), "short_sides_px": [2 * SIZE], "max_long_side_px": 2 * SIZE},
                "steps": 4,
                "batch_size": 2,
                "learning_rate": 1e-3,
                "workers": 0,
                "checkpoint_interval": 2,
                "averaging": 0.9,
                **changes,
            }
        )

    return make


def open_main(tmp_path: Path) -> ClipSet:
    return open_clips(tmp_path / "main")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_mixed_run_goes_on_exactly_and_writes_the_average(recipe, tmp_path, capsys):
    clips = open_main(tmp_path)
    metrics = train(recipe(), clips, clips, tmp_path / "whole")
    assert metrics[f"{tmp_path / 'more'} val/miou"] >= 0
    assert "training on" in (lines := capsys.readouterr().err) and str(tmp_path / "more") in lines
    train(recipe(max_minutes=1e-6, log_interval=2), clips, clips, tmp_path / "parts")
    assert not (tmp_path / "parts" / "config.json").exists()
    train(recipe(log_interval=2), clips, clips, tmp_path / "parts")
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    train(recipe(averaging=0.0), clips, clips, tmp_path / "last")
    last = weights(tmp_path / "last")
    assert any(not torch.equal(whole[name], last[name]) for name in whole)


def test_mixed_data_of_other_classes_is_refused_and_another_order_translated(recipe, tmp_path):
    clips = open_main(tmp_path)
    (tmp_path / "more" / "classes.txt").write_text("background\nwall\nchair\n")
    with pytest.raises(DataError, match=r"other classes.*\(background, wall, chair\).*\(background, robot, wall\)"):
        train(recipe(), clips, None, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "more" / "classes.txt").write_text("background\nwall\nrobot\n")
    train(recipe(steps=1), clips, None, tmp_path / "out")


@pytest.mark.parametrize(
    ("mixed", "changes", "message"),
    [
        ({"share": 1.0}, {}, r"data.mixed_with: shares must add up to less than 1, .*, got 1"),
        ({"share": -0.1}, {}, r"data.mixed_with\[0\].share must be a number of at least 0.0 and at most 1.0, got -0.1"),
        ({"weight": 2}, {}, r"unknown setting data.mixed_with\[0\].weight; known are data.mixed_with\[0\].root"),
        ({}, {"averaging": 1.0}, r"averaging must be a number of at least 0.0 and at most 0.9999, got 1.0"),
        ({}, {"sampling": "clips", "repeat_threshold": 0.1}, r"repeat_threshold must be 0 with sampling 'clips'"),
        ({}, {"data": {"root": "a", "mixed_with": "b"}}, r"data.mixed_with must be a list of data sets, .*, got 'b'"),
        ({}, {"data": {"root": "a", "mixed_with": [{"root": "b"}]}}, r"setting data.mixed_with\[0\].share is missing"),
    ],
)
def test_settings_of_mixtures_that_cannot_be_used_are_named(recipe, mixed, changes, message):
    with pytest.raises(ConfigError, match=message):
        recipe(mixed, **changes)
