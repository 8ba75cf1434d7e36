"""Samples of several data sets in every batch."""

from __future__ import annotations

from collections.abc import Sequence

from mpvss_model.training.samples.datasets import ClipDataset, Sample

__all__ = ["MixedDataset"]


class MixedDataset:
    """An endless series of samples, of which each data set has its share in any stretch of it, so in each batch.

    Args:
        main: Whose share is what the others leave.
        others: Each with its share, 0 to 1; together less than 1. They have as many samples at an index as ``main``.
    """

    def __init__(self, main: ClipDataset, others: Sequence[tuple[ClipDataset, float]]) -> None:
        self._main = main
        self._others = []
        left = 1.0
        for dataset, share in others:
            self._others.append((dataset, share / left))
            left -= share
        self.samples_per_item = main.samples_per_item

    def __getitem__(self, index: int) -> Sample:
        for dataset, share in self._others:
            taken = int(index * share)
            if int((index + 1) * share) > taken:
                return dataset[taken]
            index -= taken
        return self._main[index]
