import numpy as np
import pytest

from mpvss_model import ConfigError
from mpvss_ros.messages.label_ids import LabelIds

LABELS = np.array([[0, 1, 2, 255]], np.uint8)


@pytest.mark.parametrize(
    ("encoding", "unlabeled_id", "ids", "dtype"),
    [
        ("mono8", 255, [0, 1, 2, 255], np.uint8),
        ("mono8", 0, [1, 2, 3, 0], np.uint8),
        ("mono8", 1, [0, 2, 3, 1], np.uint8),
        ("16SC1", -1, [0, 1, 2, -1], np.int16),
        ("16SC1", 255, [0, 1, 2, 255], np.int16),
        ("16SC1", 0, [1, 2, 3, 0], np.int16),
    ],
)
def test_no_class_has_the_id_of_pixels_without_one(encoding, unlabeled_id, ids, dtype):
    label_ids = LabelIds(3, encoding=encoding, unlabeled_id=unlabeled_id)
    published = label_ids(LABELS)
    assert published.tolist() == [ids] and published.dtype == dtype and list(label_ids.ids) == ids[:3]


def test_as_many_classes_as_there_can_be_have_ids_of_their_own():
    assert LabelIds(255).ids == tuple(range(255))
    assert LabelIds(255, unlabeled_id=0).ids == tuple(range(1, 256))


@pytest.mark.parametrize(("encoding", "unlabeled_id"), [("mono8", -1), ("mono8", 256), ("16SC1", 40_000)])
def test_an_id_that_the_encoding_cannot_hold_is_refused(encoding, unlabeled_id):
    with pytest.raises(ConfigError, match=rf"'unlabeled_id' must be in .* with label_encoding {encoding}, got {unlabeled_id}"):
        LabelIds(3, encoding=encoding, unlabeled_id=unlabeled_id)
