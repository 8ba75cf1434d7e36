import numpy as np

from mpvss_model.overlay import PALETTE, overlay
from mpvss_model.semantics import UNLABELED


def test_every_class_has_its_own_colour_and_unlabeled_is_black():
    assert len(np.unique(PALETTE[:100], axis=0)) == 100
    distance = np.abs(PALETTE[:12, None].astype(int) - PALETTE[None, :12]).sum(axis=-1)
    assert distance[~np.eye(12, dtype=bool)].min() > 60
    assert PALETTE[UNLABELED].tolist() == [0, 0, 0]
    assert PALETTE[:UNLABELED].any(axis=1).all()


def test_alpha_goes_from_image_to_colours():
    image = np.full((2, 2, 3), 90, np.uint8)
    labels = np.array([[0, 1], [2, 255]], np.uint8)
    np.testing.assert_array_equal(overlay(image, labels, 0.0), image)
    np.testing.assert_array_equal(overlay(image, labels, 1.0), PALETTE[labels])
