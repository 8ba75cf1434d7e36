from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import Mask2FormerConfig
from transformers.models.mask2former.modeling_mask2former import Mask2FormerLoss

from mpvss_model.training.losses.matching import matched, present_classes
from mpvss_model.training.losses.points import labels_at, uncertain_points
from mpvss_model.training.losses.segmentation import segmentation_losses
from mpvss_model.training.recipe.config import LossConfig

NUM_CLASSES, NUM_QUERIES, NUM_LAYERS = 5, 4, 3
CONFIG = LossConfig(class_weight=1.5, mask_weight=4.0, dice_weight=3.0, no_object_weight=0.2, train_num_points=80)
NAMES = {"cross_entropy": "loss_cross_entropy", "mask": "loss_mask", "dice": "loss_dice"}


def label_maps(*classes: list[int]) -> torch.Tensor:
    """One label map for each list of classes, blocks of 8 x 8 pixels."""
    rng = np.random.default_rng(0)
    blocks = np.stack([rng.permutation(np.resize(present, 12)).reshape(3, 4) for present in classes])
    return torch.from_numpy(np.kron(blocks, np.ones((8, 8))).astype(np.uint8))


# Unequal numbers of classes, one image with more than there are queries, one without any.
LABELS = label_maps([0, 2, 255], [0, 1, 2, 3, 4], [255], [3])


def predictions(seed: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    masks = [torch.randn(len(LABELS), NUM_QUERIES, 6, 8, generator=generator) * 3 for _ in range(NUM_LAYERS)]
    classes = [torch.randn(len(LABELS), NUM_QUERIES, NUM_CLASSES + 1, generator=generator) for _ in range(NUM_LAYERS)]
    return [layer.requires_grad_() for layer in masks], [layer.requires_grad_() for layer in classes]


@pytest.fixture
def same_points(monkeypatch):
    """Every image and mask draws the same points, whoever asks and in whatever order."""
    drawn = torch.rand(1000, 2, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(torch, "rand", lambda *size, device=None: drawn[: size[1]].expand(size).clone())


def reference_losses(
    masks, classes, labels, class_of=None
) -> tuple[dict[str, torch.Tensor], list[list[tuple[int, int, int]]]]:
    """What transformers computes, and its pairs of image, query and label for each layer.

    Labels are classes, unless ``class_of`` has the class of each label of each image.
    """
    settings = {name: getattr(CONFIG, name) for name in CONFIG.__dataclass_fields__}
    loss = Mask2FormerLoss(Mask2FormerConfig(num_labels=NUM_CLASSES, **settings), weight_dict={})
    present = [[c for c in label_map.unique().tolist() if c != 255] for label_map in labels]
    numbers = [torch.tensor(p, dtype=torch.long) for p in present]
    target_classes = numbers if class_of is None else [classes[p] for classes, p in zip(class_of, numbers, strict=True)]
    target_masks = [(label_map == p[:, None, None]).float() for label_map, p in zip(labels, numbers, strict=True)]
    pairs = []
    for layer in zip(masks, classes, strict=True):
        indices = loss.matcher(*layer, target_masks, target_classes)
        pairs.append([(i, int(q), present[i][t]) for i, image in enumerate(indices) for q, t in zip(*image, strict=True)])
    earlier = [{"masks_queries_logits": m, "class_queries_logits": c} for m, c in zip(masks[:-1], classes[:-1], strict=True)]
    return loss(masks[-1], classes[-1], target_masks, target_classes, earlier), pairs


@pytest.mark.parametrize("images", [[0, 1, 2, 3], [0], [1, 2], [2]])
@pytest.mark.parametrize("seed", [0, 1])
def test_losses_assignments_and_gradients_are_those_of_transformers(same_points, images, seed):
    masks, classes = predictions(seed)
    layers = [[layer[images] for layer in layers] for layers in (masks, classes)]
    labels = LABELS[images]
    expected, expected_pairs = reference_losses(*layers, labels)
    pairs = matched(*layers, labels, present_classes(labels, NUM_CLASSES), CONFIG)
    assert [list(map(tuple, layer)) for layer in pairs.tolist()] == expected_pairs

    losses = segmentation_losses(*layers, labels, CONFIG)
    weights = {name: getattr(CONFIG, f"{name.replace('cross_entropy', 'class')}_weight") for name in NAMES}
    for name, reference_name in NAMES.items():
        torch.testing.assert_close(losses[name], weights[name] * expected[reference_name], rtol=1e-5, atol=1e-5)
    earlier = [weights[name] * expected[f"{NAMES[name]}_{i}"] for name in NAMES for i in range(NUM_LAYERS - 1)]
    torch.testing.assert_close(losses["earlier_layers"], sum(earlier), rtol=1e-5, atol=1e-5)

    total = sum(weights[name] * expected[NAMES[name]] for name in NAMES) + sum(earlier)
    inputs = [*layers[0], *layers[1]]
    gradients = torch.autograd.grad(sum(losses.values()), inputs)
    for gradient, reference in zip(gradients, torch.autograd.grad(total, inputs), strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-4, atol=1e-6)


def test_losses_of_single_masks_are_those_of_transformers(same_points):
    labels = label_maps([0, 1, 2, 255], [0, 1, 2, 3, 4], [255], [1])
    class_of = torch.tensor([[2, 2, 0, -1, -1], [3, 1, 1, 1, 3], [-1] * 5, [4, 4, -1, -1, -1]])
    layers = predictions(3)
    losses = segmentation_losses(*layers, labels, CONFIG, class_of)
    expected, _ = reference_losses(*layers, labels, class_of)
    for name, reference_name in NAMES.items():
        weight = getattr(CONFIG, f"{name.replace('cross_entropy', 'class')}_weight")
        torch.testing.assert_close(losses[name], weight * expected[reference_name], rtol=1e-5, atol=1e-5)


def test_mask_losses_are_means_over_all_images(same_points):
    masks, classes = predictions(0)
    image = [[layer[:1] for layer in layers] for layers in (masks, classes)]
    twice = [[layer.repeat(2, 1, 1, *[1] * (layer.ndim - 3)) for layer in layers] for layers in image]
    once, both = (segmentation_losses(*layers, LABELS[:1].repeat(n, 1, 1), CONFIG) for n, layers in ((1, image), (2, twice)))
    for name, loss in once.items():
        torch.testing.assert_close(both[name], loss)


def test_network_that_diverged_gives_a_loss_that_is_no_number():
    masks, classes = predictions(0)
    masks[-1] = masks[-1] * torch.nan
    assert segmentation_losses(masks, classes, LABELS, CONFIG)["mask"].isnan()


def test_labels_at_points_are_what_sampling_their_masks_gives():
    points = torch.rand(2, 50, 2, generator=torch.Generator().manual_seed(0)) * 1.2 - 0.1  # some of them outside
    around, weights = labels_at(LABELS, torch.tensor([1, 0]), points)
    for label in range(NUM_CLASSES):
        masks = (LABELS[[1, 0]] == label).float()[:, None]
        expected = torch.nn.functional.grid_sample(masks, 2 * points[:, None] - 1, align_corners=False)[:, 0, 0]
        torch.testing.assert_close((weights * (around == label)).sum(0), expected, rtol=0, atol=1e-5)


def test_most_points_are_drawn_where_a_mask_is_undecided():
    logits = torch.full((1, 1, 20, 20), 9.0)
    logits[..., :3] = 0.0
    points = uncertain_points(logits, 1000, oversample_ratio=8.0, importance_sample_ratio=0.75)
    assert points.shape == (1, 1000, 2)
    undecided = (points[..., 0] < 0.2).float().mean()
    assert 0.75 < undecided < 0.85
