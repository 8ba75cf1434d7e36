"""Key frames from several views of a frame."""

import numpy as np
import pytest
import torch

from mpvss_model import ConfigError
from mpvss_model.image import FramePadding
from mpvss_model.labelling.averaging_segmentor import AveragingSegmentor
from mpvss_model.labelling.config import LabellingConfig, View, parse_views
from mpvss_model.segmentor.base import BaseSegmentor
from mpvss_model.segmentor.key_frame import KeyFrame
from mpvss_model.segmentor.registry import load_model
from mpvss_model.semantics import best_labels, class_scores, grid_scores


class RedSegmentor(BaseSegmentor):
    """Says "red" where the red channel is bright, and "other" elsewhere, with two queries."""

    name = "red"
    class_names = ("other", "red")

    def segment(self, frame, stamp_s):
        padding = FramePadding(*frame.shape[:2])
        red = padding.pad(torch.from_numpy(frame[None, None, ..., 0].astype(np.float32)))
        logits = torch.nn.functional.avg_pool2d(red, 4)[0] / 255 * 12 - 6
        classes = torch.tensor([[9.0, -9.0, -9.0], [-9.0, 9.0, -9.0]])
        return KeyFrame(frame, stamp_s, padding, torch.cat([-logits, logits]), classes, torch.eye(2))


def labels_of(key_frame):
    return best_labels(key_frame.mask_logits, key_frame.class_logits, key_frame.padding).numpy()


@pytest.fixture
def framed():
    """A red box in a frame whose sides are no multiples of anything, and the box."""
    frame = np.zeros((90, 122, 3), np.uint8)
    frame[20:52, 8:40, 0] = 255
    return frame, frame[..., 0] > 0


@pytest.mark.parametrize("view", [View(), View(1.0, True), View(0.5), View(1.5, True), View(2.0)])
def test_each_view_finds_things_where_they_are(framed, view):
    frame, box = framed
    found = labels_of(AveragingSegmentor(RedSegmentor(), (view,)).segment(frame, 0.0))
    assert found.shape == box.shape
    assert (found == box).mean() > 0.99


def test_scores_are_the_mean_of_the_views(tiny_checkpoint):
    tiny = load_model(tiny_checkpoint, device=torch.device("cpu")).segmentor
    frame = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    mean = AveragingSegmentor(tiny, (View(), View(1.0, True))).segment(frame, 0.0)
    plain, mirrored = (tiny.segment(np.ascontiguousarray(image), 0.0) for image in (frame, frame[:, ::-1]))
    expected = (
        grid_scores(plain.mask_logits, plain.class_logits) + grid_scores(mirrored.mask_logits, mirrored.class_logits).flip(-1)
    ) / 2
    assert torch.allclose(grid_scores(mean.mask_logits, mean.class_logits), expected, atol=1e-5)


def test_masks_of_other_views_move_with_the_query_of_the_first_that_is_most_like_them(framed):
    key_frame = AveragingSegmentor(RedSegmentor(), (View(), View(1.0, True), View(0.5))).segment(framed[0], 0.0)
    assert key_frame.moves_with.tolist() == [0, 1, 0, 1, 0, 1]
    assert len(key_frame.queries) == 2


def test_scores_of_merged_classes_are_summed(tiny_checkpoint):
    tiny = load_model(tiny_checkpoint, device=torch.device("cpu")).segmentor
    frame = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    merging = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    merged = AveragingSegmentor(tiny, (View(),), class_names=("robot", "rest"), merging=merging).segment(frame, 0.0)
    own = tiny.segment(frame, 0.0)
    scores = class_scores(own.mask_logits, own.class_logits, own.padding)
    expected = torch.stack([scores[1], scores[0] + scores[2]])
    assert torch.allclose(class_scores(merged.mask_logits, merged.class_logits, merged.padding), expected, atol=1e-5)


def test_the_digest_changes_with_views_and_classes(tiny_checkpoint):
    tiny = load_model(tiny_checkpoint, device=torch.device("cpu")).segmentor
    digests = {
        AveragingSegmentor(tiny, (View(),)).digest(),
        AveragingSegmentor(tiny, (View(), View(1.0, True))).digest(),
        AveragingSegmentor(tiny, (View(),), class_names=("a",), merging=torch.ones(3, 1)).digest(),
    }
    assert len(digests) == 3


def test_the_view_that_is_most_like_the_frame_comes_first():
    assert parse_views("0.5, 1.25,1", flips=True) == tuple(View(s, m) for m in (False, True) for s in (1.0, 1.25, 0.5))


@pytest.mark.parametrize("scales", ["", "big", "0", "-1", "nan", "inf", "5", "0.1"])
def test_scales_that_make_no_view_are_refused(scales):
    with pytest.raises(ConfigError, match="scales must be"):
        LabellingConfig(views=parse_views(scales, flips=False))
