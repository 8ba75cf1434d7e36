from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mpvss_model.data import Clip, ClipSet, Frame
from mpvss_model.motion.module import Motion, propagate_masks
from mpvss_model.training.losses.flow import flow_loss
from mpvss_model.training.recipe.config import AugmentationConfig
from mpvss_model.training.samples import synthetic_motion
from mpvss_model.training.samples.augmentation import augmented_synthetic_pair
from mpvss_model.training.samples.datasets import FramePairDataset
from mpvss_model.training.samples.synthetic_motion import synthetic_pair

HEIGHT, WIDTH = 96, 128
SETTINGS = {"max_long_side_px": 160, "crop_height_px": HEIGHT, "crop_width_px": WIDTH, "color": False}


def smooth_frame(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """An image without edges, and a label of large blocks."""
    rng = np.random.default_rng(seed)
    image = cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return image, np.kron(rng.integers(0, 5, (3, 4)), np.ones((32, 32))).astype(np.uint8)


def inside(flow_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel was in the key frame, ``[H, W, 2]``, and whether that is within it."""
    height, width = flow_px.shape[:2]
    in_key = flow_px + np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
    return in_key, ((in_key >= 0) & (in_key <= (width - 1, height - 1))).all(axis=2)


def pairs(probability: float, seed: int = 0, **settings) -> FramePairDataset:
    """Of one clip of five frames, all with the same content; colored by their number."""

    def frame(i: int) -> Frame:
        image, label = smooth_frame()
        return Frame(stamp_ns=i * 66_666_667, read_image=lambda: image // 2 + i, read_label=lambda: label)

    clips = ClipSet("one clip", ("a", "b"), (Clip("a", [frame(i) for i in range(5)]),))
    augmentation = AugmentationConfig(short_sides_px=(HEIGHT, 112), synthetic_probability=probability, **(SETTINGS | settings))
    return FramePairDataset(clips, max_frame_distance=10, augmentation=augmentation, seed=seed)


@pytest.fixture
def shifted(monkeypatch):
    """The camera's motion is a pure shift: the key frame is 24 pixels further right and 16 further up."""
    shift = np.array([[1.0, 0, 24], [0, 1, -16], [0, 0, 1]])
    monkeypatch.setattr(synthetic_motion, "_camera_motion", lambda *_: shift)
    monkeypatch.setattr(synthetic_motion, "MOVER_PROBABILITY", 0.0)


@pytest.mark.parametrize("mover_probability", [0.0, 1.0])
def test_flow_leads_to_where_each_pixel_was_in_the_key_frame(monkeypatch, mover_probability):
    monkeypatch.setattr(synthetic_motion, "MOVER_PROBABILITY", mover_probability)
    image, label = smooth_frame()
    for seed in range(20):
        pair = synthetic_pair(image, label, WIDTH, np.random.default_rng(seed))
        in_key, is_inside = inside(pair.flow_px)
        assert pair.flow_px.dtype == np.float32 and is_inside.mean() > 0.3
        errors = np.abs(cv2.remap(pair.key_image, in_key, None, cv2.INTER_LINEAR).astype(int) - pair.image).max(axis=2)
        # The mover hides in the key frame what is behind it.
        assert (errors[is_inside] > 2).mean() <= mover_probability * synthetic_motion.MOVER_WIDTH[1]


def test_label_moves_with_the_image_and_ends_with_the_key_frame(monkeypatch):
    monkeypatch.setattr(synthetic_motion, "MOVER_PROBABILITY", 0.0)
    image, label = smooth_frame()
    for seed in range(20):
        pair = synthetic_pair(image, label, WIDTH, np.random.default_rng(seed))
        in_key, is_inside = inside(pair.flow_px)
        assert (cv2.remap(label, in_key, None, cv2.INTER_NEAREST) == pair.label)[is_inside].all()
        around_key = cv2.dilate(is_inside.astype(np.uint8), np.ones((5, 5))) == 1
        assert (pair.label[~around_key] == 255).all()


def test_something_moves_by_itself_with_the_label_of_its_content(monkeypatch):
    monkeypatch.setattr(synthetic_motion, "MOVER_PROBABILITY", 1.0)
    monkeypatch.setattr(synthetic_motion, "_camera_motion", lambda *_: np.eye(3))
    image = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
    image[:, 64:] = 220
    label = (image[..., 0] > 100).astype(np.uint8)
    moved = 0
    for seed in range(20):
        pair = synthetic_pair(image, label, WIDTH, np.random.default_rng(seed))
        is_mover = (pair.flow_px != 0).any(axis=2)
        assert 0 < is_mover.mean() < 0.3 or not is_mover.any()
        known = pair.label != 255
        assert ((pair.image[..., 0] > 125) == pair.label)[known].mean() > 0.99
        moved += is_mover.any()
    assert moved > 10


def test_what_moves_may_have_the_outline_of_a_segment(monkeypatch):
    """The only thing in the frame is a pole, and a copy of it moves."""
    monkeypatch.setattr(synthetic_motion, "MOVER_PROBABILITY", 1.0)
    monkeypatch.setattr(synthetic_motion, "SEGMENT_PROBABILITY", 1.0)
    monkeypatch.setattr(synthetic_motion, "_camera_motion", lambda *_: np.eye(3))
    image = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
    image[20:80, 60:66] = 220
    label = np.where(image[..., 0] > 100, 1, 255).astype(np.uint8)
    copies = 0
    for seed in range(20):
        pair = synthetic_pair(image, label, WIDTH, np.random.default_rng(seed))
        in_key, _ = inside(pair.flow_px)
        is_mover = (pair.flow_px != 0).any(axis=2)
        assert (pair.label[is_mover] == 1).all() and 1 <= (pair.label == 1).sum() / 360 < 3
        if is_mover.any():
            assert (cv2.remap(pair.key_image, in_key, None, cv2.INTER_NEAREST)[is_mover, 0] > 100).mean() > 0.9
            copies += 1
    assert copies > 10


def test_without_anything_of_a_fitting_size_an_ellipse_moves(monkeypatch):
    monkeypatch.setattr(synthetic_motion, "SEGMENT_PROBABILITY", 1.0)
    monkeypatch.setattr(synthetic_motion, "MOVER_PROBABILITY", 1.0)
    for label in (np.zeros((HEIGHT, WIDTH), np.uint8), np.full((HEIGHT, WIDTH), 255, np.uint8)):
        mover = synthetic_motion._Mover.random(label, np.random.default_rng(0))
        assert mover.outline is None and (mover.half_axes < (WIDTH / 2, HEIGHT / 2)).all()


def test_the_motion_of_a_pair_takes_as_many_even_steps_as_asked_for(monkeypatch):
    image = cv2.resize(smooth_frame()[0], (WIDTH, HEIGHT))
    ramp = np.repeat(np.arange(WIDTH, dtype=np.uint8)[None] * 2, HEIGHT, axis=0)
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    monkeypatch.setattr(synthetic_motion, "MOVER_PROBABILITY", 0.0)
    monkeypatch.setattr(synthetic_motion, "_camera_motion", lambda *_: np.array([[1.0, 0, 8], [0, 1, 0], [0, 0, 1]]))
    pair = synthetic_pair(np.dstack([ramp] * 3), label, WIDTH, np.random.default_rng(0), steps=4)
    views = [pair.key_image, *pair.between, pair.image]
    assert [int(view[40, 40, 0]) for view in views] == [80, 84, 88, 92, 96]
    monkeypatch.undo()
    for seed in range(20):
        one, three = (synthetic_pair(image, label, WIDTH, np.random.default_rng(seed), steps=steps) for steps in (1, 3))
        assert len(one.between) == 0 and len(three.between) == 2
        for first, second in zip(one[:4], three[:4], strict=True):
            np.testing.assert_array_equal(first, second)


def test_turns_are_mostly_to_the_side_and_often_small(monkeypatch):
    monkeypatch.setattr(synthetic_motion, "MOVER_PROBABILITY", 0.0)
    image, label = smooth_frame()
    flows = [synthetic_pair(image, label, WIDTH, np.random.default_rng(seed)).flow_px for seed in range(200)]
    shifts = np.abs([flow[HEIGHT // 2, WIDTH // 2] for flow in flows]) / WIDTH
    assert shifts[:, 0].max() < 0.37 and (shifts[:, 0] < 0.05).mean() > 0.2 and (shifts[:, 0] > 0.2).mean() > 0.2
    assert shifts[:, 1].max() < 0.1
    assert {np.sign(flow[HEIGHT // 2, WIDTH // 2, 0]) for flow in flows} == {-1.0, 1.0}


def test_flow_of_a_sample_has_the_sign_scale_and_grid_of_the_motion_module(shifted):
    sample = pairs(1.0, flip_probability=0.0)[0]
    assert sample["flow"].dtype == torch.float32
    assert torch.equal(sample["flow"], torch.tensor([3.0, -2.0]).view(2, 1, 1).expand(2, HEIGHT // 8, WIDTH // 8))
    assert torch.equal(sample["image"][:, 16:, :-24], sample["key_image"][:, :-16, 24:])


@pytest.mark.parametrize("seed", range(5))
def test_propagating_the_key_frame_by_the_flow_of_a_sample_gives_its_current_frame(monkeypatch, seed):
    monkeypatch.setattr(synthetic_motion, "MOVER_PROBABILITY", 0.0)
    sample = pairs(1.0, seed=seed)[0]
    key, current = (F.avg_pool2d(sample[name][None].float(), 4) for name in ("key_image", "image"))
    _, is_inside = inside(sample["flow"].permute(1, 2, 0).numpy())
    is_inside = cv2.erode(is_inside.astype(np.uint8), np.ones((3, 3)), borderValue=0).repeat(2, 0).repeat(2, 1)

    def error(flow: torch.Tensor) -> float:
        return float((propagate_masks(key, flow[None]) - current).abs()[..., torch.from_numpy(is_inside == 1)].mean())

    exact = error(sample["flow"])
    assert exact < 0.15 * error(torch.zeros_like(sample["flow"]))
    for wrong_px in ((0.2, 0), (-0.2, 0), (0, 0.2), (0, -0.2)):
        assert exact < error(sample["flow"] + torch.tensor(wrong_px).view(2, 1, 1))


def test_padding_of_small_frames_has_no_flow():
    image, label = smooth_frame()
    config = AugmentationConfig(short_sides_px=(64,), max_long_side_px=85, crop_height_px=HEIGHT, crop_width_px=WIDTH)
    _, label, flow_px = augmented_synthetic_pair(image, label, config, np.random.default_rng(0))
    assert np.isnan(flow_px[64:]).all() and np.isnan(flow_px[:, 85:]).all() and np.isfinite(flow_px[:64, :85]).all()
    assert (label[64:] == 255).all() and flow_px.shape == (HEIGHT, WIDTH, 2)


def test_as_many_pairs_are_synthetic_as_asked_for():
    for probability, smallest, largest in ((0.0, 0, 0), (0.5, 30, 70), (1.0, 100, 100)):
        samples = [pairs(probability)[i] for i in range(100)]
        known = [bool(sample["flow"].isfinite().all()) for sample in samples]
        assert smallest <= sum(known) <= largest
        assert all(sample["flow"].isnan().all() for sample, is_known in zip(samples, known, strict=True) if not is_known)


def test_synthetic_pairs_are_tracked_as_far_as_they_moved(monkeypatch):
    monkeypatch.setattr(synthetic_motion, "_camera_motion", lambda *_: np.array([[1.0, 0, 8], [0, 1, -4], [0, 0, 1]]))
    monkeypatch.setattr(synthetic_motion, "MOVER_PROBABILITY", 0.0)
    wall = cv2.resize(
        np.random.default_rng(0).integers(0, 256, (10, 14, 3), np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC
    )
    frame = Frame(stamp_ns=0, read_image=lambda: wall, read_label=lambda: np.zeros((HEIGHT, WIDTH), np.uint8))
    clips = ClipSet("one clip", ("a", "b"), (Clip("a", [frame] * 2),))
    augmentation = AugmentationConfig(short_sides_px=(HEIGHT,), synthetic_probability=1.0, flip_probability=0.0, **SETTINGS)
    dataset = FramePairDataset(clips, max_frame_distance=3, tracked_stride=4, augmentation=augmentation, seed=0)
    for sample in (dataset[i] for i in range(4)):
        tracked = sample["tracked_flow"][:, 4:-4, 4:-4].flatten(1).median(dim=1).values
        torch.testing.assert_close(tracked * 4, torch.tensor([8.0, -4.0]), rtol=0, atol=1.0)
        carried, image = (sample[name][:, 16:-16, 16:-16].int() for name in ("tracked_image", "image"))
        assert (carried - image).abs().float().mean() < 8


def test_synthetic_samples_follow_from_seed_and_index_alone():
    first, second = pairs(0.5), pairs(0.5)
    wanted = [first[i] for i in range(10)]
    for i in reversed(range(10)):
        for name, value in second[i].items():
            torch.testing.assert_close(value, wanted[i][name], rtol=0, atol=0, equal_nan=True)


def test_exact_flow_has_no_loss_and_unknown_flow_none_either():
    flow = torch.randn(2, 2, 3, 4)
    exact = Motion(pixel_flow=flow.clone(), segment_flow=flow[:, None].repeat(1, 5, 1, 1, 1))
    assert flow_loss(exact, flow) == 0
    wrong = Motion(pixel_flow=flow + 1, segment_flow=exact.segment_flow)
    assert flow_loss(wrong, flow.clone().fill_(torch.nan)) == 0
    half_known = flow.clone()
    half_known[0] = torch.nan
    torch.testing.assert_close(flow_loss(wrong, half_known), flow_loss(wrong, flow))
    assert flow_loss(wrong, flow) == pytest.approx(2**0.5, abs=0.1)


def test_flow_loss_reaches_the_flow_of_every_query_where_it_is_known_only():
    pixel, segment = torch.zeros(1, 2, 3, 4, requires_grad=True), torch.zeros(1, 5, 2, 3, 4, requires_grad=True)
    flow = torch.ones(1, 2, 3, 4)
    flow[..., 0] = torch.nan
    flow_loss(Motion(pixel_flow=pixel, segment_flow=segment), flow).backward()
    assert (pixel.grad[..., 1:] < 0).all() and (segment.grad[..., 1:] < 0).all()
    assert (pixel.grad[..., 0] == 0).all() and (segment.grad[..., 0] == 0).all()
