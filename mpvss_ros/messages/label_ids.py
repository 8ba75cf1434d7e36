"""Class indices -> the ids that label images hold, in the encoding that their readers want."""

from __future__ import annotations

import numpy as np

from mpvss_model import ConfigError
from mpvss_model.config import UNLABELED

__all__ = ["LABEL_ENCODINGS", "LABEL_TYPES", "LabelIds"]

# What a pixel of a label image is in each encoding; ROS has no other byte order than the machine's, and that is this one.
LABEL_TYPES = {"mono8": np.dtype("u1"), "16SC1": np.dtype("<i2")}
LABEL_ENCODINGS = tuple(LABEL_TYPES)


class LabelIds:
    """The id of each published class, and that of pixels without a class.

    Ids count the classes from 0 on, and leave out the unlabeled one: where that is 0, the first class is 1.

    >>> LabelIds(3, unlabeled_id=0).ids
    (1, 2, 3)
    >>> LabelIds(3, encoding="16SC1", unlabeled_id=-1)(np.array([[0, 2, 255]], np.uint8)).tolist()
    [[0, 2, -1]]

    Args:
        count: Of published classes, at most 255.
        encoding: Of label images, one of `LABEL_ENCODINGS`.
        unlabeled_id: Of pixels without a class.

    Attributes:
        encoding: Of label images.
        unlabeled_id: Of pixels without a class.
        ids: Of the classes.

    Raises:
        ConfigError: If the encoding cannot hold the unlabeled id.
    """

    def __init__(self, count: int, *, encoding: str = "mono8", unlabeled_id: int = UNLABELED) -> None:
        limits = np.iinfo(LABEL_TYPES[encoding])
        if not limits.min <= unlabeled_id <= limits.max:
            raise ConfigError(
                f"parameter 'unlabeled_id' must be in {limits.min} .. {limits.max} with label_encoding {encoding}, "
                f"got {unlabeled_id}" + ("; 16SC1 holds more" if encoding == "mono8" else "")
            )
        self.encoding = encoding
        self.unlabeled_id = unlabeled_id
        self.ids = tuple(index + (0 <= unlabeled_id <= index) for index in range(count))
        self._is_identity = encoding == "mono8" and unlabeled_id == UNLABELED
        self._table = np.full(256, unlabeled_id, LABEL_TYPES[encoding])
        self._table[:count] = self.ids

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        """uint8 ``[H, W]`` indices of published classes, 255 for none -> their ids, uint8 or int16 as the encoding has it."""
        return labels if self._is_identity else self._table[labels]
