"""Masks of classes have the largest value where the class is best, and its probability after a sigmoid."""

import pytest
import torch
import torch.nn.functional as F

from mpvss_model.image import FramePadding
from mpvss_model.segmentor.families.class_masks import (
    class_logits_of_masks,
    masks_of_class_logits,
    masks_of_class_scores,
)
from mpvss_model.semantics import best_labels, best_scores, class_probabilities

PADDING = FramePadding(64, 96)


def random_logits(scale: float, num_classes: int = 7) -> torch.Tensor:
    return torch.randn(num_classes, 16, 24, generator=torch.Generator().manual_seed(0)) * scale


def shares_of_pixels(logits):
    """What each pixel of the frame has of each class."""
    return F.interpolate(logits.unsqueeze(0), size=PADDING.size, mode="bilinear", align_corners=False)[0]


@pytest.mark.parametrize("size", [None, (64, 96), (128, 192), (50, 70), (10, 15)])
@pytest.mark.parametrize("scale", [0.1, 3.0, 60.0])
def test_the_best_class_stays_the_best_between_pixels_however_sure_it_is(scale, size):
    """A sigmoid of 17 or more is 1 in float32: by probabilities several classes would be equally good."""
    logits = random_logits(scale)
    masks = masks_of_class_logits(logits)
    labels = best_labels(masks, class_logits_of_masks(7, masks), PADDING, size)
    if size in (None, (64, 96)):
        assert torch.equal(labels.long(), shares_of_pixels(logits).argmax(dim=0))
    else:
        expected = F.interpolate(logits.unsqueeze(0), size=size, mode="bilinear", align_corners=False)[0].argmax(dim=0)
        assert labels.shape == size and (labels == expected).float().mean() > 0.999


@pytest.mark.parametrize("order", [[6, 2, 4], [0], [5, 4, 3, 2, 1, 0, 6]])
def test_labels_are_classes_whatever_masks_are_there(order):
    logits = random_logits(3.0)
    masks = masks_of_class_logits(logits)
    labels = best_labels(masks[order], class_logits_of_masks(7, masks)[order], PADDING)
    expected = torch.tensor(sorted(order))[shares_of_pixels(logits)[sorted(order)].argmax(dim=0)]
    assert torch.equal(labels.long(), expected)


def test_two_masks_of_a_class_are_added_up_as_ever():
    masks = torch.full((3, 16, 24), -1.0)
    masks[2] = -0.5  # 0.38 of the one class, twice 0.27 of the other
    class_logits = class_logits_of_masks(2, masks)[[1, 1, 0]]
    assert (best_labels(masks, class_logits, PADDING) == 1).all()


@pytest.mark.parametrize("num_classes", [1, 2, 7])
def test_a_sigmoid_makes_the_best_mask_its_probability(num_classes):
    logits = random_logits(3.0, num_classes)
    masks = masks_of_class_logits(logits)
    expected = logits.softmax(dim=0).amax(dim=0)
    assert masks.isfinite().all()
    assert torch.allclose(masks.amax(dim=0).sigmoid(), expected, atol=1e-6)
    scores = best_scores(masks, class_logits_of_masks(num_classes, masks), PADDING)
    assert scores.shape == PADDING.size and scores.max() <= 1


def test_scores_become_masks_that_keep_their_order():
    scores = torch.rand(5, 16, 24, generator=torch.Generator().manual_seed(0)) * 1.2
    scores[:, 0, 0] = 0.0
    masks = masks_of_class_scores(scores)
    assert masks.isfinite().all() and torch.equal(masks.argmax(dim=0), scores.argmax(dim=0))
    assert torch.allclose(masks.amax(dim=0).sigmoid(), scores.amax(dim=0).clamp(max=1.0), atol=1e-5)


def test_each_mask_has_its_class_and_is_sure_of_it():
    assert torch.equal(class_probabilities(class_logits_of_masks(4, torch.zeros(1))), torch.eye(4))
