"""Panoptic merging: what the library's own post-processing finds in the same masks."""

from types import SimpleNamespace

import pytest
import torch
from transformers import Mask2FormerImageProcessorPil

from mpvss_model.image import FramePadding
from mpvss_model.instances.merging import merged_masks

NUM_CLASSES = 4
THINGS = {1, 2}
# The size to which the library brings masks before it merges them.
LIBRARY_SIZE = FramePadding(384, 384)


def random_masks(seed, queries=14):
    """Smooth masks that overlap, and class scores of which some are too low or say "no object"."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(queries, 1, 5, 5, generator=generator) * 8 - 2
    masks = torch.nn.functional.interpolate(coarse, size=(96, 96), mode="bicubic")[:, 0]
    classes = torch.randn(queries, NUM_CLASSES + 1, generator=generator) * 3
    return masks, classes


def library_segments(masks, classes, **settings):
    outputs = SimpleNamespace(class_queries_logits=classes[None], masks_queries_logits=masks[None])
    stuff = set(range(NUM_CLASSES)) - THINGS
    (found,) = Mask2FormerImageProcessorPil().post_process_panoptic_segmentation(outputs, label_ids_to_fuse=stuff, **settings)
    return found


def by_class(segment_of, segments):
    """Masks of each class's segments, in the order of the queries."""
    return [(class_index, segment_of == place) for place, class_index in segments]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [None, (120, 200)])
def test_segments_are_those_of_the_library(seed, size):
    masks, classes = random_masks(seed)
    ours = merged_masks(masks, classes, LIBRARY_SIZE, things=THINGS, size=size)
    theirs = library_segments(masks, classes, target_sizes=size and [size])
    # The library lists fused stuff once for each of its masks, and may give a number twice after them: compare classes' areas.
    claimed = {}
    for segment in theirs["segments_info"]:
        claimed.setdefault(segment["label_id"], []).append(segment["score"])
    assert {s.class_index for s in ours.segments} == set(claimed)
    assert len(ours.segments) == sum(len(claimed[c]) if c in THINGS else 1 for c in claimed)
    for class_index, scores in claimed.items():
        found = [round(s.score, 6) for s in ours.segments if s.class_index == class_index]
        assert found == (scores if class_index in THINGS else [max(scores)])
    assert torch.equal(ours.segment_of >= 0, theirs["segmentation"] > 0)
    numbers = torch.stack([ours.segment_of, theirs["segmentation"].long()]).flatten(1).unique(dim=1)
    assert len(numbers[0]) == len(numbers[0].unique())  # each of ours lies in one of theirs


def test_a_mask_of_which_too_little_is_left_is_dropped_and_stuff_of_a_class_is_one_segment():
    masks = torch.full((4, 8, 8), -10.0)
    masks[0, :, :4] = 10.0  # stuff on the left, ...
    masks[1, 4:, 4:] = 10.0  # ... and below on the right
    masks[2, :4, 4:] = 10.0  # a thing
    masks[3, :3, 4:] = 10.0  # less sure of most of that
    classes = torch.full((4, NUM_CLASSES + 1), -10.0)
    classes[torch.arange(4), torch.tensor([0, 0, 1, 1])] = torch.tensor([10.0, 10.0, 10.0, -9.0])
    classes[3, 2] = -9.5
    found = merged_masks(masks, classes, FramePadding(32, 32), things=THINGS)
    assert [(s.query, s.class_index) for s in found.segments] == [(0, 0), (2, 1)]
    assert found.segment_of[20, 28] == found.segment_of[20, 4] == 0
    assert found.segment_of[4, 28] == 1


def test_nothing_is_found_where_no_query_is_sure():
    found = merged_masks(torch.zeros(3, 8, 8), torch.zeros(3, NUM_CLASSES + 1), FramePadding(20, 30), things=THINGS)
    assert found.segments == () and found.segment_of.shape == (20, 30) and (found.segment_of == -1).all()
