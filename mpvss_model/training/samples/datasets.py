"""Training samples: single frames, with labels or with and without flaws, and key frames with later frames of their clip.

Which sample has which index, and how it is augmented, follows from the seed and the index alone. A run can therefore go on at
any index, with any number of loading processes, as if it had never stopped.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from mpvss_model.data import Clip, ClipSet
from mpvss_model.errors import DataError
from mpvss_model.image import FramePadding
from mpvss_model.propagation.optical_flow import TrackedFlowPropagator, warped_image
from mpvss_model.training.recipe.config import AugmentationConfig
from mpvss_model.training.samples.augmentation import (
    augmented,
    augmented_frames,
    augmented_synthetic_pair,
    augmented_with_and_without_flaws,
)
from mpvss_model.training.samples.repeats import repeat_factors
from mpvss_model.training.samples.style import RandomStyle
from mpvss_model.training.samples.targets import panoptic_targets, present_targets

__all__ = ["FlawedFrameDataset", "FrameDataset", "FramePairDataset", "PanopticFrameDataset"]

# Of the motion module's flow: 1/8 of the frame.
FLOW_STRIDE = 8

# Epochs in one when some frames come more often, for fractions of times.
REPEATED_PASSES = 4

Sample = dict[str, torch.Tensor]
Draw = tuple[Clip, list[int]]


class ClipDataset(Dataset):
    """An endless series of samples, each about one frame, its target.

    Args:
        clips: Where the samples come from.
        augmentation: Random changes to them.
        seed: Of all choices.
        sampling: With ``frames``, each epoch takes every frame once, in random order; with ``clips`` a random one from every
            clip, so that frames of short clips come more often.
        repeat_threshold: With ``frames``: those with a class that is rarer than this come more often, see `repeat_factors`;
            0 for all equally often.
        style: Changes the images before anything else does; None for no change.

    Raises:
        DataError: If no clip has a frame to train on, or a label cannot be read for ``repeat_threshold``.
    """

    def __init__(
        self,
        clips: ClipSet,
        *,
        augmentation: AugmentationConfig,
        seed: int,
        sampling: str = "frames",
        repeat_threshold: float = 0.0,
        style: RandomStyle | None = None,
    ) -> None:
        self._augmentation = augmentation
        self._seed = seed
        self._style = style
        candidates = [(clip, self._targets(clip)) for clip in clips.clips]
        draws = [(clip, targets) for clip, targets in candidates if targets]
        if not draws:
            raise DataError(f"{clips.name} has nothing to train on: none of its {len(clips.clips)} clips has {self.needed}")
        if sampling == "frames":
            draws = [(clip, [target]) for clip, targets in draws for target in targets]
            if repeat_threshold:
                draws = _repeated(draws, repeat_threshold)
        self._draws = draws

    def __getitem__(self, index: int) -> Sample:
        epoch, position = divmod(index, len(self._draws))
        clip, targets = self._draws[_order(self._seed, epoch, len(self._draws))[position]]
        rng = np.random.default_rng([self._seed, epoch, position])
        return self._sample(clip, int(rng.choice(targets)), rng)

    # Of the samples that ``batch_size`` counts, so many come at each index.
    samples_per_item = 1
    needed: str

    @staticmethod
    @abstractmethod
    def _targets(clip: Clip) -> list[int]:
        """Indices of the frames that can be trained on."""

    @abstractmethod
    def _sample(self, clip: Clip, target: int, rng: np.random.Generator) -> Sample:
        """The sample whose (later) frame has the index ``target``."""

    def _images(self, clip: Clip, indices: Iterable[int], rng: np.random.Generator) -> list[np.ndarray]:
        """Frames of a clip in the sample's style, uint8 RGB ``[H, W, 3]``."""
        images = [clip.frames[i].read_image() for i in indices]
        return images if self._style is None else self._style(images, rng)


class FrameDataset(ClipDataset):
    """Single labelled frames: ``image`` uint8 RGB ``[3, H, W]`` and ``label`` uint8 ``[H, W]``."""

    needed = "a labelled frame"

    @staticmethod
    def _targets(clip: Clip) -> list[int]:
        return [i for i, frame in enumerate(clip.frames) if frame.is_labelled]

    def _sample(self, clip: Clip, target: int, rng: np.random.Generator) -> Sample:
        images = self._images(clip, [target], rng)
        (image,), label = augmented(images, clip.frames[target].read_label(), self._augmentation, rng)
        return {"image": _channels_first(image), "label": torch.from_numpy(label)}


class PanopticFrameDataset(ClipDataset):
    """Single frames with labels and instances.

    ``image`` is uint8 RGB ``[3, H, W]``; ``label``, uint8 ``[H, W]``, has the number of each pixel's target in this frame, 255
    for none, and ``target_classes``, int64 ``[MAX_TARGETS]``, the class of each number, see
    `mpvss_model.training.samples.targets`.

    Args:
        clips: Where the samples come from.
        things: Class indices of things.
        settings: As of `ClipDataset`.
    """

    needed = "a labelled frame with instances"

    def __init__(self, clips: ClipSet, *, things: Collection[int], **settings: Any) -> None:
        super().__init__(clips, **settings)
        self._things = things

    @staticmethod
    def _targets(clip: Clip) -> list[int]:
        return [i for i, frame in enumerate(clip.frames) if frame.is_labelled and frame.read_instances is not None]

    def _sample(self, clip: Clip, target: int, rng: np.random.Generator) -> Sample:
        frame = clip.frames[target]
        numbers, classes = panoptic_targets(frame.read_label(), frame.read_instances(), self._things)
        (image,), numbers = augmented(self._images(clip, [target], rng), numbers, self._augmentation, rng)
        numbers, classes = present_targets(numbers, classes)
        return {
            "image": _channels_first(image),
            "label": torch.from_numpy(numbers),
            "target_classes": torch.from_numpy(classes),
        }


class FlawedFrameDataset(ClipDataset):
    """Single frames, labelled or not: ``image`` with the flaws of a camera, ``original`` without; uint8 RGB ``[3, H, W]``."""

    needed = "a frame"

    @staticmethod
    def _targets(clip: Clip) -> list[int]:
        return list(range(len(clip.frames)))

    def _sample(self, clip: Clip, target: int, rng: np.random.Generator) -> Sample:
        (image,) = self._images(clip, [target], rng)
        flawed, original = augmented_with_and_without_flaws(image, self._augmentation, rng)
        return {"image": _channels_first(flawed), "original": _channels_first(original)}


class FramePairDataset(ClipDataset):
    """A labelled frame, as in `FrameDataset`, and an earlier one of its clip, ``key_image`` uint8 RGB ``[3, H, W]``.

    With ``augmentation.synthetic_probability``, the labelled frame is instead the key frame of a `synthetic_pair`. ``flow`` is
    float32 ``[2, H/8, W/8]``, as `Motion.pixel_flow`: exact in such pairs, NaN in all others.

    With a ``tracked_stride``, ``tracked_flow`` is float32 ``[2, H/4, W/4]``, as `TrackedFlowPropagator` adds it up over all
    frames between the two, and ``tracked_image`` the key image that it carries to the labelled frame, uint8 RGB ``[3, H, W]``.
    The motion of a synthetic pair then takes up to ``max_frame_distance`` frames.

    With several ``pairs``, there are so many labelled frames for each key frame, and everything but ``key_image`` has them as
    its first dimension.

    Args:
        clips: Where the samples come from.
        max_frame_distance: Between a key frame and a later one; at least 1.
        pairs: Labelled frames for each key frame; 1 in the published recipe.
        tracked_stride: For a motion module that refines tracked flow: its `MotionConfig.tracked_flow_stride`; 0 for others.
        settings: As of `ClipDataset`; the frames of a sample are changed alike.
    """

    needed = "a labelled frame after its first frame"

    def __init__(
        self, clips: ClipSet, *, max_frame_distance: int, pairs: int = 1, tracked_stride: int = 0, **settings: Any
    ) -> None:
        super().__init__(clips, **settings)
        self._max_frame_distance = max_frame_distance
        self.samples_per_item = pairs
        self._tracked_stride = tracked_stride

    @staticmethod
    def _targets(clip: Clip) -> list[int]:
        return [i for i, frame in enumerate(clip.frames) if frame.is_labelled and i > 0]

    def _sample(self, clip: Clip, target: int, rng: np.random.Generator) -> Sample:
        synthetic_probability = self._augmentation.synthetic_probability
        if synthetic_probability and rng.random() < synthetic_probability:
            steps = int(rng.integers(self._max_frame_distance)) + 1 if self._tracked_stride else 1
            (image,) = self._images(clip, [target], rng)
            images, label, flow_px = augmented_synthetic_pair(
                image, clip.frames[target].read_label(), self._augmentation, rng, steps=steps
            )
            sample = _pairs(images[0], [images[-1]], [label], [_at_flow_resolution(flow_px)])
            return sample | self._tracking(images, [steps])
        key = int(rng.integers(max(0, target - self._max_frame_distance), target))
        later = self._later(clip, key, target, rng)
        shown = range(key, max(later) + 1) if self._tracked_stride else sorted({key, *later})
        labels = [clip.frames[i].read_label() for i in later]
        images, labels = augmented_frames(self._images(clip, shown, rng), labels, self._augmentation, rng)
        height, width = labels[0].shape
        unknown = np.full((height // FLOW_STRIDE, width // FLOW_STRIDE, 2), np.nan, np.float32)
        places = [shown.index(i) for i in later]
        sample = _pairs(images[0], [images[i] for i in places], labels, [unknown] * len(later))
        return sample | self._tracking(images, places)

    def _tracking(self, images: list[np.ndarray], places: list[int]) -> Sample:
        """At the indices ``places`` of successive frames, the first of them the key frame; nothing if nothing is tracked."""
        if not self._tracked_stride:
            return {}
        key_image, *later = images
        padding = FramePadding(*key_image.shape[:2])
        tracker = TrackedFlowPropagator(self._tracked_stride)
        flows = [None, *(tracker.flow_to_key(key_image, image, padding) for image in later)]
        return {
            "tracked_flow": _stacked([_channels_first(flows[i]) for i in places]),
            "tracked_image": _stacked([_channels_first(warped_image(key_image, flows[i], padding)) for i in places]),
        }

    def _later(self, clip: Clip, key: int, target: int, rng: np.random.Generator) -> list[int]:
        """The target and other labelled frames that are not too far from the key frame; some twice if there are too few."""
        if self.samples_per_item == 1:
            return [target]
        end = min(key + self._max_frame_distance + 1, len(clip.frames))
        others = [i for i in range(key + 1, end) if clip.frames[i].is_labelled and i != target] or [target]
        count = self.samples_per_item - 1
        return [target, *(int(i) for i in rng.choice(others, count, replace=count > len(others)))]


def _pairs(
    key_image: np.ndarray, images: Sequence[np.ndarray], labels: Sequence[np.ndarray], flows: Sequence[np.ndarray]
) -> Sample:
    return {
        "key_image": _channels_first(key_image),
        "image": _stacked([_channels_first(image) for image in images]),
        "label": _stacked([torch.from_numpy(label) for label in labels]),
        "flow": _stacked([_channels_first(flow) for flow in flows]),
    }


def _stacked(tensors: list[torch.Tensor]) -> torch.Tensor:
    """A single one stays as it is."""
    return torch.stack(tensors) if len(tensors) > 1 else tensors[0]


def _at_flow_resolution(flow_px: np.ndarray) -> np.ndarray:
    """``[H, W, 2]`` -> ``[H/8, W/8, 2]``, in pixels of that grid."""
    height, width = flow_px.shape[:2]
    # Linear interpolation is exact: the mean of the four pixels around the middle of each cell.
    size = width // FLOW_STRIDE, height // FLOW_STRIDE
    return cv2.resize(flow_px, size, interpolation=cv2.INTER_LINEAR) / FLOW_STRIDE


def _channels_first(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(cv2.split(image)))


def _repeated(draws: list[Draw], threshold: float) -> list[Draw]:
    """Draws of single frames for one longer epoch, frames with rare classes more often."""
    factors = repeat_factors([clip.frames[target] for clip, (target,) in draws], threshold)
    counts = np.rint(REPEATED_PASSES * factors).astype(int)
    return [draw for draw, count in zip(draws, counts, strict=True) for _ in range(count)]


@lru_cache(maxsize=8)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Of an epoch's clips; kept, since it takes as long as reading a frame where there are many."""
    return np.random.default_rng([seed, epoch]).permutation(count)
