from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mpvss_model import CheckpointError, ConfigError, DataError
from mpvss_model.checkpoints.starting_model import load_start, new_start, replace_classes, save_model, with_motion
from mpvss_model.data import Clip, ClipSet, Frame
from mpvss_model.training import TrainingConfig
from mpvss_model.training.imitation import BackboneStage, DecoderStage
from mpvss_model.training.predictor import Predictor, key_frame_predictions
from mpvss_model.training.recipe.config import AugmentationConfig, LossConfig
from mpvss_model.training.samples.augmentation import augmented, augmented_with_and_without_flaws
from mpvss_model.training.samples.datasets import FlawedFrameDataset, FrameDataset, FramePairDataset
from mpvss_model.training.stages import MotionStage, SegmentorStage, parameter_groups
from mpvss_model.training.trainer import learning_rate_factor

EXACT = AugmentationConfig(
    short_sides_px=(32,), max_long_side_px=64, crop_height_px=32, crop_width_px=32, flip_probability=0.0, color=False
)
STATISTICS = {"image_mean": (0.5, 0.5, 0.5), "image_std": (0.2, 0.2, 0.2)}
SETTINGS = {"loss": LossConfig(train_num_points=64), **STATISTICS}


def config(**settings) -> TrainingConfig:
    return TrainingConfig.from_mapping({"data": {"root": "unused"}, **settings})


def numbered_clip(name: str, number: int, labelled: list[int], frames: int = 30) -> Clip:
    """Frame ``i`` is filled with the color ``(number, i, 0)``."""

    def frame(i: int) -> Frame:
        image = np.full((32, 32, 3), (number, i, 0), np.uint8)
        return Frame(
            stamp_ns=i * 66_666_667,
            read_image=lambda: image,
            read_label=(lambda: image[..., 1] * 0) if i in labelled else None,
        )

    return Clip(name, [frame(i) for i in range(frames)])


def clip_set(*clips: Clip) -> ClipSet:
    return ClipSet("numbers", ("a", "b"), clips)


def pairs(*clips: Clip, seed: int = 0, max_frame_distance: int = 10) -> FramePairDataset:
    return FramePairDataset(clip_set(*clips), max_frame_distance=max_frame_distance, augmentation=EXACT, seed=seed)


def test_defaults_are_the_published_recipe():
    recipe = config()
    assert (recipe.steps, recipe.batch_size, recipe.learning_rate, recipe.weight_decay) == (90_000, 16, 5e-5, 0.05)
    assert (recipe.gradient_clip, recipe.backbone_lr_multiplier, recipe.max_frame_distance) == (0.01, 0.1, 10)
    assert dataclasses.astuple(recipe.loss) == (2.0, 5.0, 5.0, 0.1, 12544, 3.0, 0.75, 0.0)
    assert recipe.augmentation.sensor_probability == recipe.augmentation.synthetic_probability == 0.0
    assert (recipe.augmentation.crop_height_px, recipe.augmentation.crop_width_px) == (480, 480)
    assert recipe.augmentation.short_sides_px[::15] == (480, 1920)


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[3] / "config" / "train").glob("*.yaml")), ids=lambda path: path.stem
)
def test_shipped_recipes_are_valid(path):
    TrainingConfig.from_yaml(path)


@pytest.mark.parametrize(("stage", "learning_rate"), [("segmentor", 1e-4), ("motion", 5e-5)])
def test_recipe_for_cityscapes_differs_from_that_for_vspw_in_data_scales_crops_and_learning_rate(stage, learning_rate):
    folder = Path(__file__).parents[3] / "config" / "train"
    recipe, of_vspw = (TrainingConfig.from_yaml(folder / f"{name}-r50-{stage}.yaml") for name in ("cityscapes", "vspw"))
    scales = tuple(int(tenths * 0.1 * 1024) for tenths in range(5, 21))
    augmentation = dataclasses.replace(
        of_vspw.augmentation, short_sides_px=scales, max_long_side_px=4096, crop_height_px=512, crop_width_px=1024
    )
    assert (recipe.data.layout, recipe.learning_rate) == ("cityscapes", learning_rate)
    changed = {"data": recipe.data, "learning_rate": learning_rate, "augmentation": augmentation}
    model = recipe.model if stage == "motion" else of_vspw.model  # starts from the result of its own first stage
    assert recipe == dataclasses.replace(of_vspw, model=model, **changed)


def test_yaml_overrides_and_numbers_without_a_point(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("data: {root: /a}\nlearning_rate: 1e-3\naugmentation: {short_sides_px: [64, 96]}\n")
    recipe = TrainingConfig.from_yaml(path, {"data": {"root": "/b"}, "model": {"start": "c"}})
    assert recipe.learning_rate == 1e-3 and recipe.augmentation.short_sides_px == (64, 96)
    assert recipe.data.root == "/b" and recipe.model.start == "c"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: {root: a}\nlr: 1", r"run.yaml: unknown setting lr; known are stage, data, .*learning_rate"),
        ("data: {root: a, splits: b}", r"unknown setting data.splits; known are data.root, data.layout"),
        ("steps: 3", r"setting data is missing"),
        ("data: {layout: vspw}", r"setting data.root is missing"),
        ("data: 3", r"data must be a mapping of settings, got 3"),
        ("", r"a training configuration must be a mapping of settings, got None"),
        ("data: {root: a}\nsteps: 1.5", r"steps must be a whole number of at least 1, got 1.5"),
        ("data: {root: a}\nsteps: true", r"steps must be a whole number of at least 1, got True"),
        ("data: {root: a}\nlearning_rate: fast", r"learning_rate must be a number of at least 0.0, got 'fast'"),
        ("data: {root: a}\nlearning_rate: .nan", r"learning_rate must be a number of at least 0.0, got nan"),
        ("data: {root: a}\nstage: both", r"stage must be one of segmentor, motion, backbone, decoder, got 'both'"),
        ("data: {root: a}\nstage: backbone", r"model.start must name a trained segmentor for the stage 'backbone'"),
        (
            "data: {root: a}\nstage: decoder\nmodel: {start: b}",
            r"augmentation.sensor_probability must be above 0 for the stage 'decoder', which learns from flaws",
        ),
        ("data: {root: 3}", r"data.root must be a text, got 3"),
        (
            "data: {root: a}\nmodel: {inference_size: 20}",
            r"model.inference_size must be -1, 0 or a whole number",
        ),
        ("data: {root: a}\nmodel: {replace_classes: 1}", r"model.replace_classes must be true or false, got 1"),
        (
            "data: {root: a}\nstage: motion\nmodel: {start: b, replace_classes: true}",
            r"model.replace_classes must be false for the stage 'motion', which goes on from the trained class head",
        ),
        ("data: {root: a}\nmodel: {settings: [1]}", r"model.settings must be a mapping of settings, got \(1,\)"),
        (
            "data: {root: a}\naugmentation: {crop_width_px: 100}",
            r"augmentation.crop_width_px must be a multiple of 32, got 100",
        ),
        ("data: {root: a}\naugmentation: {short_sides_px: [a]}", r"augmentation.short_sides_px\[0\] must be a whole number"),
        (
            "data: {root: a}\naugmentation: {short_sides_px: []}",
            r"augmentation.short_sides_px must be a list of whole numbers",
        ),
        ("data: {root: a}\nloss: {importance_sample_ratio: 2}", r"of at least 0.0 and at most 1.0, got 2"),
        ("data: [", r"run.yaml' is no valid YAML file"),
        ("data: 2000-13-40", r"run.yaml' is no valid YAML file: month must be in 1..12"),
        ("[" * 5000, r"run.yaml' is no valid YAML file"),
    ],
)
def test_settings_that_cannot_be_used_are_named(tmp_path, text, message):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        TrainingConfig.from_yaml(path)


def test_missing_configuration_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the training configuration '.*nowhere.yaml': No such file"):
        TrainingConfig.from_yaml(tmp_path / "nowhere.yaml")


def test_both_frames_and_the_label_are_scaled_cropped_and_flipped_alike():
    rng = np.random.default_rng(0)
    label = np.kron(rng.integers(0, 8, (10, 16)), np.ones((12, 12))).astype(np.uint8)
    image = np.repeat(label[..., None] * 30, 3, axis=2)
    changes = AugmentationConfig(
        short_sides_px=(60, 120, 200), max_long_side_px=240, crop_height_px=96, crop_width_px=96, color=False
    )
    for seed in range(20):
        (first, second), cropped = augmented([image, image], label, changes, np.random.default_rng(seed))
        assert first.shape == (96, 96, 3) and cropped.shape == (96, 96)
        np.testing.assert_array_equal(first, second)
        inside = cropped != 255
        same = np.abs(first[..., 0].astype(int) - cropped * 30) <= 15
        assert same[inside].mean() > 0.8  # all but what interpolation mixes along the edges


def test_frames_smaller_than_the_crop_are_padded_with_unlabeled_pixels():
    image, label = np.full((32, 48, 3), 9, np.uint8), np.zeros((32, 48), np.uint8)
    changes = dataclasses.replace(EXACT, crop_height_px=64, crop_width_px=64)
    (image,), label = augmented([image], label, changes, np.random.default_rng(0))
    assert (label[:32, :48] == 0).all() and (label[32:] == 255).all() and (label[:, 48:] == 255).all()
    assert (image[:32, :48] == 9).all() and tuple(image[40, 60]) == (124, 116, 104)


def test_colors_of_a_pair_change_alike_and_sensor_flaws_do_not():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    label = np.zeros((32, 32), np.uint8)
    colored = dataclasses.replace(EXACT, color=True)
    changed = 0
    for seed in range(10):
        (first, second), _ = augmented([image, image], label, colored, np.random.default_rng(seed))
        np.testing.assert_array_equal(first, second)
        changed += (first != image).any()
    assert changed >= 7
    flawed = dataclasses.replace(EXACT, sensor_probability=1.0)
    (first, second), _ = augmented([image, image], label, flawed, np.random.default_rng(0))
    assert first.shape == image.shape and (first != second).any()


def flawed_values(**strengths):
    """Of a flat gray image, under 20 seeds: ``[20, H, W]``."""
    image, label = np.full((32, 64, 3), 100, np.uint8), np.zeros((32, 64), np.uint8)
    changes = dataclasses.replace(EXACT, crop_height_px=32, crop_width_px=64, sensor_probability=1.0, **strengths)
    return np.stack([augmented([image], label, changes, np.random.default_rng(seed))[0][0][..., 0] for seed in range(20)])


def test_noise_is_as_strong_as_the_configuration_allows():
    weak, strong = (flawed_values(max_noise=most).std(axis=(1, 2)) for most in (2.0, 40.0))
    assert weak.max() < 2.5 and strong.max() > 15


def test_exposure_makes_images_brighter_and_darker():
    means = flawed_values(max_exposure=2.0, max_noise=1.0).mean(axis=(1, 2))
    assert 48 < means.min() < 80 and 125 < means.max() < 202
    assert np.ptp(flawed_values(max_noise=1.0).mean(axis=(1, 2))) < 2


def test_flaws_are_all_that_two_versions_of_a_frame_differ_in():
    image = np.random.default_rng(0).integers(0, 256, (48, 40, 3), np.uint8)
    changes = dataclasses.replace(EXACT, color=True, flip_probability=0.5)
    flawed, original = augmented_with_and_without_flaws(image, changes, np.random.default_rng(3))
    np.testing.assert_array_equal(flawed, original)
    changes = dataclasses.replace(changes, sensor_probability=1.0)
    flawed, same_original = augmented_with_and_without_flaws(image, changes, np.random.default_rng(3))
    np.testing.assert_array_equal(same_original, original)
    assert flawed.shape == original.shape and (flawed != original).mean() > 0.5


def test_exact_augmentation_changes_nothing():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    label = np.random.default_rng(1).integers(0, 9, (32, 32)).astype(np.uint8)
    (same_image,), same_label = augmented([image], label, EXACT, np.random.default_rng(0))
    np.testing.assert_array_equal(same_image, image)
    np.testing.assert_array_equal(same_label, label)


def test_every_epoch_takes_one_sample_from_each_clip_in_another_order():
    clips = [numbered_clip(str(number), number, labelled=[1, 5]) for number in range(8)]
    dataset = FrameDataset(clip_set(*clips), augmentation=EXACT, seed=0, sampling="clips")
    orders = [[int(dataset[epoch * 8 + i]["image"][0, 0, 0]) for i in range(8)] for epoch in range(3)]
    assert all(sorted(order) == list(range(8)) for order in orders)
    assert len(set(map(tuple, orders))) == 3


def test_every_epoch_takes_every_frame_once_however_long_its_clip():
    clips = [numbered_clip("short", 0, labelled=[2]), numbered_clip("long", 1, labelled=list(range(7)))]
    dataset = FrameDataset(clip_set(*clips), augmentation=EXACT, seed=0, sampling="frames")
    for epoch in range(3):
        images = [dataset[epoch * 8 + i]["image"] for i in range(8)]
        drawn = sorted((int(image[0, 0, 0]), int(image[1, 0, 0])) for image in images)
        assert drawn == [(0, 2), *((1, i) for i in range(7))]


def test_later_frames_can_share_a_key_frame():
    clips = clip_set(numbered_clip("a", 0, labelled=[1, 4, 6, 9, 25]), numbered_clip("b", 1, labelled=[3]))
    dataset = FramePairDataset(clips, max_frame_distance=10, pairs=3, augmentation=EXACT, seed=0)
    for sample in (dataset[i] for i in range(40)):
        assert sample["image"].shape == (3, 3, 32, 32) and sample["label"].shape == (3, 32, 32)
        key, later = int(sample["key_image"][1, 0, 0]), sample["image"][:, 1, 0, 0].tolist()
        assert all(1 <= i - key <= 10 for i in later)
        assert set(later) <= ({1, 4, 6, 9, 25} if int(sample["key_image"][0, 0, 0]) == 0 else {3})


def test_pairs_of_one_key_frame_teach_as_pairs_of_their_own(motion_stage):
    images = torch.randint(0, 256, (2, 3, 3, 64, 64), dtype=torch.uint8)
    labels = torch.randint(0, 3, (2, 2, 64, 64), dtype=torch.uint8)
    shared = {"key_image": images[:, 0], "image": images[:, 1:], "label": labels}
    alone = {
        "key_image": images[:, 0].repeat_interleave(2, 0),
        "image": images[:, 1:].flatten(0, 1),
        "label": labels.flatten(0, 1),
    }
    losses = []
    for batch in (shared, alone):
        torch.manual_seed(0)
        losses.append(motion_stage.train()(batch))
    for name, loss in losses[0].items():
        torch.testing.assert_close(loss, losses[1][name], rtol=1e-4, atol=1e-4)


def test_sample_follows_from_seed_and_index_alone():
    clips = [numbered_clip(str(number), number, labelled=list(range(30))) for number in range(4)]
    first, second, other = pairs(*clips), pairs(*clips), pairs(*clips, seed=1)
    wanted = [first[i] for i in range(12)]
    for i in reversed(range(12)):
        for name, value in second[i].items():
            torch.testing.assert_close(value, wanted[i][name], rtol=0, atol=0, equal_nan=True)
    assert any(not torch.equal(other[i]["image"], wanted[i]["image"]) for i in range(12))


def test_key_frame_of_a_pair_is_earlier_and_at_most_ten_frames_away():
    dataset = pairs(numbered_clip("a", 0, labelled=[0, 3, 25]))
    distances = set()
    for i in range(200):
        sample = dataset[i]
        key, target = int(sample["key_image"][1, 0, 0]), int(sample["image"][1, 0, 0])
        assert target in (3, 25) and 1 <= target - key <= 10 and key >= 0
        distances.add(target - key)
    assert distances == set(range(1, 11))


def test_pairs_of_a_short_clip_have_all_its_distances():
    dataset = pairs(numbered_clip("a", 0, labelled=[0, 1, 2, 3], frames=4))
    samples = [dataset[i] for i in range(100)]
    drawn = {(int(sample["key_image"][1, 0, 0]), int(sample["image"][1, 0, 0])) for sample in samples}
    assert drawn == {(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)}


def test_tracking_of_a_pair_goes_over_all_frames_between():
    rng = np.random.default_rng(0)
    wall = cv2.resize(rng.integers(0, 256, (8, 20, 3), np.uint8), (240, 96), interpolation=cv2.INTER_CUBIC)
    views = [np.ascontiguousarray(wall[:, 6 * i :][:, :96]) for i in range(8)]
    label = np.zeros((96, 96), np.uint8)
    clip = Clip("turn", [Frame(i * 66_666_667, lambda view=view: view, lambda: label) for i, view in enumerate(views)])
    changes = dataclasses.replace(EXACT, short_sides_px=(96,), max_long_side_px=96, crop_height_px=96, crop_width_px=96)
    dataset = FramePairDataset(clip_set(clip), max_frame_distance=7, tracked_stride=4, augmentation=changes, seed=0)
    for sample in (dataset[i] for i in range(10)):
        image, key_image = (sample[name].permute(1, 2, 0).numpy() for name in ("image", "key_image"))
        first, last = (next(i for i, view in enumerate(views) if np.array_equal(view, x)) for x in (key_image, image))
        moved_px = 6 * (last - first)
        inside = sample["tracked_flow"][:, 4:20, : 20 - moved_px // 4]
        assert sample["tracked_flow"].shape == (2, 24, 24)
        assert inside[0].median() == pytest.approx(moved_px / 4, abs=0.25) and inside[1].median().abs() < 0.25
        tracked = sample["tracked_image"].permute(1, 2, 0).numpy()[:, : 80 - moved_px]
        assert np.abs(tracked.astype(int) - image[:, : 80 - moved_px]).mean() < 8


def test_clips_without_a_frame_to_train_on_are_left_out():
    dataset = FrameDataset(
        clip_set(numbered_clip("a", 1, labelled=[]), numbered_clip("b", 2, labelled=[4])), augmentation=EXACT, seed=0
    )
    assert {int(dataset[i]["image"][0, 0, 0]) for i in range(6)} == {2}
    with pytest.raises(DataError, match="none of its 1 clips has a labelled frame after its first frame"):
        pairs(numbered_clip("a", 0, labelled=[0]))


def test_frames_with_and_without_flaws_need_no_labels():
    clips = clip_set(numbered_clip("a", 1, labelled=[]), numbered_clip("b", 2, labelled=[], frames=1))
    dataset = FlawedFrameDataset(clips, augmentation=EXACT, seed=0)
    samples = [dataset[i] for i in range(40)]
    for sample in samples:
        assert sample.keys() == {"image", "original"} and torch.equal(sample["image"], sample["original"])
    assert {int(sample["image"][0, 0, 0]) for sample in samples} == {1, 2}
    assert len({int(sample["image"][1, 0, 0]) for sample in samples}) > 5


@pytest.fixture
def motion_stage(tiny_checkpoint):
    sizes = {"hidden_size": 32, "num_layers": 3, "num_heads": 2, "ffn_size": 32, "encoder_channels": (8,) * 6}
    model = with_motion(load_start(tiny_checkpoint), {**sizes, "upsampled_channels": (8,) * 4})
    return MotionStage(model, **SETTINGS)


def test_motion_stage_trains_the_motion_module_and_the_heads_only(motion_stage):
    trained = {name.removeprefix("model.") for name, p in motion_stage.named_parameters() if p.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"motion", "segmentor"}
    heads = {name for name in trained if name.startswith("segmentor.")}
    assert {name for name in heads if "class_predictor" not in name and "mask_embedder" not in name} == set()
    assert len(heads) == 2 + 6
    motion = {name for name, _ in motion_stage.model.named_parameters() if name.startswith("motion.")}
    assert trained - heads == motion


def test_frozen_heads_leave_only_the_motion_module_to_train(motion_stage):
    stage = MotionStage(motion_stage.model, freeze_heads=True, **SETTINGS)
    trained = {name.split(".")[1] for name, p in stage.named_parameters() if p.requires_grad}
    assert trained == {"motion"}


def test_frozen_segmentor_stays_in_evaluation_mode(motion_stage):
    motion_stage.train()
    assert motion_stage.model.motion.training and not any(m.training for m in motion_stage.model.segmentor.modules())


def test_motion_stage_supervises_all_layers_and_reaches_the_motion_module_and_both_heads(motion_stage):
    images = torch.randint(0, 256, (2, 2, 3, 64, 64), dtype=torch.uint8)
    labels = torch.randint(0, 3, (2, 64, 64), dtype=torch.uint8)
    losses = motion_stage.train()({"key_image": images[0], "image": images[1], "label": labels})
    assert losses["earlier_layers"] > 0
    sum(losses.values()).backward()
    assert motion_stage.model.motion.pixel_flow.predict_flow.weight.grad.abs().sum() > 0
    for name, parameter in motion_stage.model.segmentor.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


@pytest.mark.parametrize(("miou", "expected"), [(0.52, "segment"), (0.5005, "tracked"), (0.4, "tracked")])
def test_segment_aware_flow_is_recommended_where_it_beats_tracked_flow(motion_stage, miou, expected):
    stage = MotionStage(motion_stage.model, recommends=True, **SETTINGS)
    stage.heed({"miou": miou, "tracked/miou": 0.5})
    assert stage.trained_model().config.propagation == expected
    MotionStage(motion_stage.model, **SETTINGS).heed({"miou": 0.9, "tracked/miou": 0.1})
    assert stage.trained_model().config.propagation == expected


def test_known_flow_is_learned_in_a_few_steps(motion_stage):
    stage = MotionStage(motion_stage.model, **SETTINGS | {"loss": LossConfig(train_num_points=64, flow_weight=2.0)}).train()
    images = torch.randint(0, 256, (2, 4, 3, 64, 64), dtype=torch.uint8)
    batch = {"key_image": images[0], "image": images[1], "label": torch.randint(0, 3, (4, 64, 64), dtype=torch.uint8)}
    batch["flow"] = torch.tensor([1.0, -0.5]).view(1, 2, 1, 1).repeat(4, 1, 8, 8)
    batch["flow"][:2] = torch.nan  # two real pairs
    optimizer = torch.optim.AdamW(parameter_groups(stage, config(learning_rate=1e-3)))
    course = []
    for _ in range(15):
        losses = stage(batch)
        course.append(float(losses["flow"].detach()))
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    assert course[0] == pytest.approx(2 * 2 * (1.25**0.5 - 0.1), abs=0.1)  # a new module says that nothing moves
    assert course[-1] < 0.5 * course[0]


def test_frozen_segmentor_predicts_what_the_network_does_and_teaches_the_heads_alike(motion_stage):
    network = motion_stage.train().model.segmentor
    heads = {name: p for name, p in network.named_parameters() if p.requires_grad}
    pixel_values = torch.randn(3, 3, 64, 96)
    frozen = Predictor(network, norms_are_frozen=True, only_heads=True)
    frozen(pixel_values)
    with torch.no_grad():
        for parameter in heads.values():
            parameter.add_(torch.randn_like(parameter) * 0.1)  # as a step of training
    results = []
    for masks, classes, queries in (key_frame_predictions(network, pixel_values), frozen(pixel_values)):
        assert len(masks) == len(classes) == 3
        total = sum(layer.square().mean() for layer in (*masks, *classes))
        results.append((*masks, *classes, queries, *torch.autograd.grad(total, heads.values())))
    for expected, fast in zip(*results, strict=True):
        torch.testing.assert_close(fast, expected, rtol=1e-3, atol=1e-4)


def test_backbone_learns_slower_and_norms_embeddings_and_position_biases_do_not_decay(tiny_checkpoint):
    model = load_start(tiny_checkpoint).network
    stage = SegmentorStage(model, freeze_backbone_norms=False, **SETTINGS)
    rates, decays = {}, {}
    names = {id(parameter): name for name, parameter in stage.named_parameters()}
    for group in parameter_groups(stage, config(learning_rate=1e-3, weight_decay=0.1)):
        for parameter in group["params"]:
            rates[names[id(parameter)]], decays[names[id(parameter)]] = group["lr"], group["weight_decay"]
    assert rates.keys() == set(names.values())
    for name in names.values():
        assert rates[name] == pytest.approx(1e-4 if "pixel_level_module.encoder" in name else 1e-3)
    for name in ("queries_embedder.weight", "relative_position_bias_table", "layernorm_before.weight", "layernorm.bias"):
        assert {decay for full_name, decay in decays.items() if full_name.endswith(name)} == {0.0}, name
    assert decays["model.class_predictor.weight"] == decays["model.class_predictor.bias"] == 0.1


@pytest.fixture
def lite_network():
    sizes = {
        "feature_size": 32,
        "mask_feature_size": 32,
        "hidden_dim": 32,
        "encoder_feedforward_dim": 32,
        "dim_feedforward": 32,
    }
    heads = {"encoder_layers": 1, "decoder_layers": 2, "num_attention_heads": 2, "num_queries": 4, "train_num_points": 64}
    return new_start(backbone="lite0", class_names=("a", "b"), settings={**sizes, **heads}).network


def test_new_networks_start_with_the_published_weights():
    torch.manual_seed(0)
    settings = {"decoder_layers": 2, "encoder_layers": 1}
    network = new_start(backbone="lite0", class_names=("a", "b"), settings=settings).network.requires_grad_(False)
    transformer, decoder = network.model.transformer_module, network.model.pixel_level_module.decoder
    for embedding in (transformer.queries_features, transformer.queries_embedder):
        assert embedding.weight.std() == pytest.approx(1.0, abs=0.02)
    assert decoder.level_embed.std() == pytest.approx(1.0, abs=0.1)
    layer = transformer.decoder.layers[0]
    d, hidden = layer.embed_dim, layer.fc1.out_features
    bounds = {
        layer.fc1: (6 / (d + hidden)) ** 0.5,
        decoder.encoder.layers[0].fc1: (6 / (256 + decoder.encoder.layers[0].fc1.out_features)) ** 0.5,
        layer.self_attn.q_proj: (6 / (4 * d)) ** 0.5,
        layer.cross_attn.out_proj: (6 / (2 * d)) ** 0.5,
        network.class_predictor: d**-0.5,
        transformer.decoder.mask_predictor.mask_embedder.layers[0].layers[0]: d**-0.5,
        decoder.output_convolutions[0][0]: (3 / (256 * 9)) ** 0.5,
        decoder.mask_projection: (3 / 256) ** 0.5,
    }
    for module, bound in bounds.items():
        assert module.weight.abs().max() == pytest.approx(bound, rel=0.03), module
    offsets = decoder.encoder.layers[0].self_attn.sampling_offsets
    assert (offsets.weight == 0).all() and offsets.bias.abs().max() == 4.0


def test_model_with_replaced_classes_can_be_written_and_loaded(tiny_checkpoint, tmp_path):
    start = load_start(tiny_checkpoint)
    replace_classes(start.network, ("a", "b", "c", "d", "e"))
    save_model(start.network, tmp_path, image_mean=start.image_mean, image_std=start.image_std)
    assert tuple(load_start(str(tmp_path)).network.config.id2label.values()) == ("a", "b", "c", "d", "e")
    assert (tmp_path / "model.safetensors").stat().st_mode == (tmp_path / "config.json").stat().st_mode
    assert tiny_checkpoint not in (tmp_path / "config.json").read_text()
    save_model(with_motion(start, {}), tmp_path / "moving", image_mean=start.image_mean, image_std=start.image_std)
    assert tiny_checkpoint not in (tmp_path / "moving/config.json").read_text()


@pytest.mark.parametrize("frozen", [False, True])
def test_norms_of_the_backbone_can_be_frozen(lite_network, frozen):
    stage = SegmentorStage(lite_network, freeze_backbone_norms=frozen, **SETTINGS).train()
    norm = lite_network.model.pixel_level_module.encoder.stem[1]
    statistics = norm.running_mean.clone()
    batch = {"image": torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8), "label": torch.zeros(2, 64, 64).byte()}
    sum(stage(batch).values()).backward()
    assert torch.equal(norm.running_mean, statistics) == frozen
    assert (norm.weight.grad is None) == frozen
    assert lite_network.model.pixel_level_module.encoder.stem[0].weight.grad is not None


@pytest.mark.parametrize("part", ["backbone", "decoder"])
@pytest.mark.parametrize("kind", ["lite", "mpvss"])
def test_model_learns_from_a_teacher_and_all_but_the_part_in_training_stays_as_it_is(part, kind, lite_network, motion_stage):
    torch.manual_seed(0)
    model = lite_network if kind == "lite" else motion_stage.model
    network = lite_network if kind == "lite" else motion_stage.model.segmentor
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    settle_norms(network, images)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    if part == "backbone":
        stage, names = BackboneStage(model, network, **STATISTICS).train(), {"stage1", "stage2", "stage3", "stage4"}
    else:
        stage, names = DecoderStage(model, network, **SETTINGS).train(), {"classes", "masks"}
    assert not any(module.training for module in model.modules())
    batch = {"image": images, "original": images}
    losses = stage(batch)
    assert losses.keys() == names and all(abs(loss) < 1e-4 for loss in losses.values())

    with torch.no_grad():
        for parameter in stage.parameters():
            if parameter.requires_grad:
                parameter.mul_(1 + 0.5 * torch.randn_like(parameter))
    optimizer = torch.optim.AdamW(parameter_groups(stage, config(learning_rate=2e-3, backbone_lr_multiplier=1.0)))
    course = []
    for _ in range(15):
        losses = stage(batch)
        course.append(float(sum(losses.values()).detach()))
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    assert course[-1] < 0.7 * course[0]
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and not any("running_" in name or name.startswith("motion.") for name in changed)
    assert {"pixel_level_module.encoder." in name for name in changed} == {part == "backbone"}


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_written_model_has_its_share_of_the_teacher(share, motion_stage):
    model = motion_stage.model
    stage = BackboneStage(model, model.segmentor, teacher_share=share, **STATISTICS)
    first = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for parameter in stage.parameters():
            if parameter.requires_grad:
                parameter.add_(1.0)
    for name, value in stage.trained_model().state_dict().items():
        gained = 1 - share if "pixel_level_module.encoder." in name and value.is_floating_point() else 0.0
        torch.testing.assert_close(value, first[name] + gained if gained else first[name])
    assert torch.equal(next(model.motion.parameters()), first["motion." + next(iter(model.motion.state_dict()))])


def settle_norms(network, images) -> None:
    """Let batch norms take their statistics from these images; a new network's signals fade away otherwise."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        network.train()(images.float() / 128 - 1)
    network.eval()


def test_backbone_weights_of_a_published_file_and_of_a_directory_are_loaded(lite_network, tmp_path):
    backbone = lite_network.model.pixel_level_module.encoder
    published = {f"{i}": value for i, value in enumerate(backbone.state_dict().values())}
    torch.save({**published, "_fc.weight": torch.zeros(2, 2)}, tmp_path / "lite0.pth")
    backbone.save_pretrained(tmp_path / "lite0")
    for weights in ("lite0.pth", "lite0"):
        start = new_start(
            backbone="lite0",
            class_names=("a", "b"),
            settings={"decoder_layers": 1, "encoder_layers": 1},
            backbone_weights=str(tmp_path / weights),
        )
        for name, value in start.network.model.pixel_level_module.encoder.state_dict().items():
            assert torch.equal(value, backbone.state_dict()[name]), name
    with pytest.raises(CheckpointError, match="cannot load backbone weights '.*lite0.pth': Error.* in loading state_dict"):
        new_start(backbone="lite1", class_names=("a",), settings={}, backbone_weights=str(tmp_path / "lite0.pth"))
    with pytest.raises(CheckpointError, match="no checkpoint file at '.*nowhere.pth'"):
        new_start(backbone="lite0", class_names=("a",), settings={}, backbone_weights=str(tmp_path / "nowhere.pth"))


@pytest.mark.parametrize("stage", ["segmentor", "motion"])
def test_both_stages_learn_in_half_precision(stage, tiny_checkpoint, motion_stage):
    torch.manual_seed(0)
    if stage == "segmentor":
        trained = SegmentorStage(load_start(tiny_checkpoint).network, freeze_backbone_norms=False, **SETTINGS).train()
    else:
        trained = motion_stage.train()
    label = torch.zeros(2, 64, 64, dtype=torch.uint8)
    label[:, 16:48, 8:40] = 1
    image = (60 + 120 * label)[:, None].repeat(1, 3, 1, 1)
    batch = {"image": image, "key_image": image.roll(8, dims=3), "label": label}
    optimizer = torch.optim.AdamW(parameter_groups(trained, config(learning_rate=3e-3)))
    totals = []
    for _ in range(20):
        with torch.autocast("cpu", torch.bfloat16):
            loss = sum(trained(batch).values())
        assert loss.dtype == torch.float32
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        totals.append(loss.item())
    assert np.isfinite(totals).all() and np.mean(totals[-3:]) < 0.95 * np.mean(totals[:3])


def test_learning_rate_rises_during_warm_up_then_falls_to_zero():
    recipe = config(steps=100, warmup_steps=9)
    factors = [learning_rate_factor(step, recipe) for step in range(101)]
    assert factors[0] == pytest.approx(0.1) and factors[:10] == sorted(factors[:10])
    assert factors[9:] == sorted(factors[9:], reverse=True) and factors[100] == 0
    assert [learning_rate_factor(step, config(steps=100)) for step in (0, 50)] == [1, pytest.approx(0.5**0.9)]


def test_validation_leaves_the_model_in_training_as_it_was(motion_stage):
    motion_stage.train()
    before = [(name, p.requires_grad, p.clone()) for name, p in motion_stage.named_parameters()]
    segmentor = motion_stage.video_segmentor(5)
    segmentor.step(np.zeros((64, 64, 3), np.uint8), 0.0)
    segmentor.step(np.zeros((64, 64, 3), np.uint8), 0.1)
    assert motion_stage.model.motion.training
    for (name, requires_grad, value), (_, parameter) in zip(before, motion_stage.named_parameters(), strict=True):
        assert parameter.requires_grad == requires_grad and torch.equal(parameter, value), name


def test_backbone_weights_of_another_architecture_are_refused(tiny_checkpoint):
    with pytest.raises(CheckpointError, match="backbone weights '.*' lack .* tensors: stages.0"):
        new_start(backbone="lite0", class_names=("a",), settings={}, backbone_weights=tiny_checkpoint)
