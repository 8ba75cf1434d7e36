import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mpvss_model import semantics
from mpvss_model.image import FramePadding
from mpvss_model.semantics import (
    ClassesOfMasks,
    best_labels,
    best_scores,
    class_probabilities,
    class_scores,
    class_shares,
    confidence_map,
    label_map,
    labels_of_masks,
    relevant_queries,
)

PADDING = FramePadding(20, 30)


def random_logits(seed, queries=9, classes=4):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.randn(queries, 8, 8, generator=generator) * 4
    return masks, torch.randn(queries, classes + 1, generator=generator) * 4


def test_a_query_paints_its_class_where_its_mask_is():
    masks = torch.full((2, 8, 8), -20.0)
    masks[0, :, :4] = 20.0
    masks[1, :, 4:] = 20.0
    classes = torch.full((2, 4), -20.0)
    classes[0, 2] = classes[1, 0] = 20.0
    labels = best_labels(masks, classes, FramePadding(32, 32)).numpy()
    assert labels.shape == (32, 32) and labels.dtype == "uint8"
    assert (labels[:, :15] == 2).all() and (labels[:, 17:] == 0).all()
    assert confidence_map(best_scores(masks, classes, FramePadding(32, 32)))[:, :12].min() > 0.99


def test_queries_without_an_object_paint_nothing():
    classes = torch.full((9, 5), -20.0)
    classes[:, -1] = 20.0
    assert float(class_scores(random_logits(0)[0], classes, PADDING).max()) < 1e-6


@pytest.mark.parametrize("size", [None, (20, 30), (11, 17), (45, 64)])
@pytest.mark.parametrize("block", [64, semantics.BLOCK_NUMBERS])
def test_shares_are_scores_that_sum_to_one(monkeypatch, size, block):
    monkeypatch.setattr(semantics, "BLOCK_NUMBERS", block)
    masks, classes = random_logits(3)
    scores = class_scores(masks, classes, PADDING, size)
    each = class_shares(masks, classes, PADDING, torch.eye(4), size)
    torch.testing.assert_close(each, scores / scores.sum(dim=0), atol=1e-4, rtol=1e-3)
    groups = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    grouped = class_shares(masks, classes, PADDING, groups, size)
    torch.testing.assert_close(grouped, torch.stack([each[1], each[0] + each[2]]))


def test_where_no_mask_says_anything_nothing_has_a_share():
    masks, classes = random_logits(0)
    shares = class_shares(torch.full_like(masks, -200.0), classes, PADDING, torch.eye(4))
    assert shares.shape == (4, 20, 30) and float(shares.abs().max()) == 0.0


@given(seed=st.integers(0, 200), tolerance=st.sampled_from([0.0, 0.01, 0.1, 0.5]))
def test_the_queries_left_out_change_no_score_by_more_than_the_tolerance(seed, tolerance):
    masks, classes = random_logits(seed)
    kept = relevant_queries(masks, classes, tolerance)
    assert len(kept) >= 1 and kept.tolist() == sorted(set(kept.tolist()))
    difference = class_scores(masks, classes, PADDING) - class_scores(masks[kept], classes[kept], PADDING)
    assert float(difference.abs().max()) <= tolerance + 1e-5


def test_queries_of_no_object_are_left_out():
    classes = torch.full((5, 4), -9.0)
    classes[:, -1] = 9.0
    classes[[1, 3], 0] = 12.0
    assert relevant_queries(torch.zeros(5, 2, 2), classes, 0.01).tolist() == [1, 3]


def test_queries_with_an_empty_mask_are_left_out():
    masks, classes = torch.full((3, 4, 4), -9.0), torch.tensor([[9.0, 0.0]]).expand(3, 2)
    masks[1, 2, 2] = 1.0
    assert relevant_queries(masks, classes, 0.01).tolist() == [1]


def test_the_number_of_queries_kept_is_rounded_up():
    classes = torch.full((7, 3), -9.0)
    classes[:, -1] = 9.0
    classes[[1, 3, 4], 0] = 12.0
    for multiple, kept in ((1, 3), (2, 4), (4, 4), (5, 5), (16, 7)):
        queries = relevant_queries(torch.zeros(7, 2, 2), classes, 0.01, multiple).tolist()
        assert len(queries) == kept and {1, 3, 4} <= set(queries)


@given(
    seed=st.integers(0, 200), height=st.integers(16, 200), width=st.integers(16, 200), queries=st.integers(1, 40),
    classes=st.integers(1, 255), smoothness=st.sampled_from([1, 4, 16]),
)  # fmt: skip
def test_the_best_classes_are_those_of_the_largest_scores(seed, height, width, queries, classes, smoothness):
    padding = FramePadding(height, width)
    masks = smooth_masks(seed, padding, queries, smoothness)
    class_logits = torch.randn(queries, classes + 1, generator=torch.Generator().manual_seed(seed)) * 4
    scores = class_scores(masks, class_logits, padding)
    best = scores.amax(dim=0)
    torch.testing.assert_close(best_scores(masks, class_logits, padding), best, atol=1e-5, rtol=1e-5)
    labels = best_labels(masks, class_logits, padding)
    chosen = scores.gather(0, labels.long().unsqueeze(0))[0]
    torch.testing.assert_close(chosen, best, atol=1e-5, rtol=1e-5)
    assert (label_map(scores) == scores.max(dim=0).indices.numpy()).all()


def test_inside_of_segments_pixels_are_not_looked_at_one_by_one(monkeypatch):
    padding, counted = FramePadding(240, 320), []
    seen = semantics._Cells.scores
    monkeypatch.setattr(semantics._Cells, "scores", lambda self, *some: counted.append(len(some[0])) or seen(self, *some))
    classes = torch.eye(9, 10) * 12
    best_labels(smooth_masks(0, padding, 9, 16), classes, padding)
    assert 0 < sum(counted) < 0.4 * (256 // 4) * (320 // 4)


def smooth_masks(seed, padding, queries, smoothness):
    """Random mask logits that change over so many positions of the grid."""
    generator = torch.Generator().manual_seed(seed)
    height, width = (side // 4 for side in padding.padded_size)
    coarse = torch.randn(1, queries, -(-height // smoothness) + 1, -(-width // smoothness) + 1, generator=generator) * 8
    return torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")[0]


@given(
    seed=st.integers(0, 200), frame=st.tuples(st.integers(16, 120), st.integers(16, 120)),
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)), smoothness=st.sampled_from([1, 4, 16]),
    classes=st.sampled_from([5, 40, 254]),
)  # fmt: skip
def test_labels_of_another_size_are_those_of_all_upsampled_masks(seed, frame, size, smoothness, classes):
    padding = FramePadding(*frame)
    masks = smooth_masks(seed, padding, 9, smoothness)
    class_logits = torch.randn(9, classes + 1, generator=torch.Generator().manual_seed(seed)) * 4
    labels = best_labels(masks, class_logits, padding, size)
    assert labels.shape == size
    np.testing.assert_array_equal(labels, label_map(class_scores(masks, class_logits, padding, size)))


@pytest.mark.parametrize("size", [(96, 128), (270, 480), (1080, 1920)])
def test_labels_of_networks_that_classify_pixels_are_the_largest_masks(size):
    padding, classes = FramePadding(96, 128), 40
    masks = smooth_masks(1, padding, classes, 4)
    sure = torch.eye(classes, classes + 1).flip(0) * 400 - 200  # the first mask is of the last class
    upsampled = torch.nn.functional.interpolate(masks[None], size=size, mode="bilinear")[0]
    labels = labels_of_masks(masks, ClassesOfMasks.of(sure), padding, size)
    two = upsampled.topk(2, dim=0).values
    clear = two[0] - two[1] > 1e-4  # here and there torch rounds in another way
    assert clear.float().mean() > 0.999
    np.testing.assert_array_equal(labels[clear], classes - 1 - upsampled.argmax(dim=0)[clear])


def test_of_cells_that_borders_cross_only_parts_are_looked_at_and_there_only_classes_that_may_win(monkeypatch):
    padding, size, compared = FramePadding(96, 128), (864, 1152), []
    masks, classes = smooth_masks(0, padding, 12, 4), torch.eye(12, 41) * 12
    seen = semantics._best
    monkeypatch.setattr(semantics, "_best", lambda scores, *some: compared.append(scores.shape) or seen(scores, *some))
    best_labels(masks, classes, padding, size)
    pixels = sum(count for _, count in compared)
    assert 0 < pixels < 0.4 * size[0] * size[1] and sum(few * count for few, count in compared) < 12 * pixels
    compared.clear()
    monkeypatch.setattr(semantics, "PART_PX", 1000)
    best_labels(masks, classes, padding, size)
    assert sum(count for _, count in compared) > 1.3 * pixels


@pytest.mark.parametrize("numbers", [2**24, 5 * 432 * 7])
def test_masks_are_upsampled_as_torch_does(numbers, monkeypatch):
    """At once, or seven rows at a time."""
    monkeypatch.setattr(semantics, "STRIP_NUMBERS", numbers)
    padding = FramePadding(64, 96)
    masks, classes = smooth_masks(3, padding, 5, 4), random_logits(3, queries=5)[1]
    expected = torch.nn.functional.interpolate(masks[None], size=(288, 432), mode="bilinear")[0]
    expected = torch.einsum("qc,qhw->chw", class_probabilities(classes), expected.sigmoid())
    torch.testing.assert_close(class_scores(masks, classes, padding, (288, 432)), expected, atol=1e-5, rtol=1e-5)


def test_masks_of_a_padded_frame_are_upsampled_to_the_place_they_had_in_it():
    """Logits that rise evenly from left to right rise from the same value to the same value, whatever the number of pixels."""
    padding = FramePadding(40, 75)
    masks = torch.arange(24.0).expand(1, 16, 24) * 4 + 1.5  # the x coordinate of the middle of each value, in pixels
    upsampled = class_scores(masks / 100, torch.tensor([[40.0, -40.0]]), padding, (80, 225))[0].logit() * 100
    positions = (torch.arange(225) + 0.5) / 3 - 0.5
    torch.testing.assert_close(upsampled[:, 6:], positions[6:].expand(80, -1), atol=1e-2, rtol=1e-4)


@pytest.mark.parametrize("border", [60, 101, 333])
def test_a_border_between_two_halves_is_found_at_the_right_pixel_after_upsampling(border):
    padding = FramePadding(30, 40)
    signed_px = (torch.arange(16.0) + 0.5) * 4 * 9 - border  # of 40 pixels to 360
    masks = torch.stack([-signed_px, signed_px])[:, None, :].expand(-1, 8, -1) / 10
    classes = torch.tensor([[9.0, -9.0, -9.0], [-9.0, 9.0, -9.0]])
    labels = best_labels(masks, classes, padding, (270, 360)).numpy()
    assert (labels == (np.arange(360) >= border)).all()
