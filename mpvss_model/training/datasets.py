"""Training samples: single frames, with labels or with and without flaws, and pairs of frames of one clip.

Which sample has which index, and how it is augmented, follows from the seed and the index alone. A run can therefore go on at
any index, with any number of loading processes, as if it had never stopped.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from mpvss_model.data import Clip, ClipSet
from mpvss_model.errors import DataError
from mpvss_model.image import FramePadding
from mpvss_model.propagation.optical_flow import TrackedFlowPropagator, warped_image
from mpvss_model.training.augmentation import augmented, augmented_synthetic_pair, augmented_with_and_without_flaws
from mpvss_model.training.config import AugmentationConfig

__all__ = ["FlawedFrameDataset", "FrameDataset", "FramePairDataset"]

# Of the motion module's flow: 1/8 of the frame.
FLOW_STRIDE = 8

Sample = dict[str, torch.Tensor]


class ClipDataset(Dataset):
    """An endless series of samples. Each epoch takes one from every clip, in random order.

    Args:
        clips: Where the samples come from.
        augmentation: Random changes to them.
        seed: Of all choices.

    Raises:
        DataError: If no clip has a frame to train on.
    """

    def __init__(self, clips: ClipSet, *, augmentation: AugmentationConfig, seed: int) -> None:
        self._augmentation = augmentation
        self._seed = seed
        candidates = [(clip, self._targets(clip)) for clip in clips.clips]
        self._clips = [(clip, targets) for clip, targets in candidates if targets]
        if not self._clips:
            raise DataError(f"{clips.name} has nothing to train on: none of its {len(clips.clips)} clips has {self.needed}")

    def __getitem__(self, index: int) -> Sample:
        epoch, position = divmod(index, len(self._clips))
        clip, targets = self._clips[_order(self._seed, epoch, len(self._clips))[position]]
        rng = np.random.default_rng([self._seed, epoch, position])
        return self._sample(clip, int(rng.choice(targets)), rng)

    needed: str

    @staticmethod
    @abstractmethod
    def _targets(clip: Clip) -> list[int]:
        """Indices of the frames that can be trained on."""

    @abstractmethod
    def _sample(self, clip: Clip, target: int, rng: np.random.Generator) -> Sample:
        """The sample whose (later) frame has the index ``target``."""


class FrameDataset(ClipDataset):
    """Single labelled frames: ``image`` uint8 RGB ``[3, H, W]`` and ``label`` uint8 ``[H, W]``."""

    needed = "a labelled frame"

    @staticmethod
    def _targets(clip: Clip) -> list[int]:
        return [i for i, frame in enumerate(clip.frames) if frame.is_labelled]

    def _sample(self, clip: Clip, target: int, rng: np.random.Generator) -> Sample:
        frame = clip.frames[target]
        (image,), label = augmented([frame.read_image()], frame.read_label(), self._augmentation, rng)
        return {"image": _channels_first(image), "label": torch.from_numpy(label)}


class FlawedFrameDataset(ClipDataset):
    """Single frames, labelled or not: ``image`` with the flaws of a camera, ``original`` without; uint8 RGB ``[3, H, W]``."""

    needed = "a frame"

    @staticmethod
    def _targets(clip: Clip) -> list[int]:
        return list(range(len(clip.frames)))

    def _sample(self, clip: Clip, target: int, rng: np.random.Generator) -> Sample:
        flawed, original = augmented_with_and_without_flaws(clip.frames[target].read_image(), self._augmentation, rng)
        return {"image": _channels_first(flawed), "original": _channels_first(original)}


class FramePairDataset(ClipDataset):
    """A labelled frame, as in `FrameDataset`, and an earlier one of its clip, ``key_image`` uint8 RGB ``[3, H, W]``.

    With ``augmentation.synthetic_probability``, the labelled frame is instead the key frame of a `synthetic_pair`. ``flow`` is
    float32 ``[2, H/8, W/8]``, as `Motion.pixel_flow`: exact in such pairs, NaN in all others.

    With ``tracked``, ``tracked_flow`` is float32 ``[2, H/4, W/4]``, as `TrackedFlowPropagator` adds it up over all frames
    between the two, and ``tracked_image``, uint8 RGB ``[3, H, W]``, the key image that it carries to the labelled frame.

    Args:
        max_frame_distance: Between the two; at least 1.
        tracked: For a motion module that refines tracked flow.
    """

    needed = "a labelled frame after its first frame"

    def __init__(
        self, clips: ClipSet, *, max_frame_distance: int, tracked: bool = False, augmentation: AugmentationConfig, seed: int
    ) -> None:
        super().__init__(clips, augmentation=augmentation, seed=seed)
        self._max_frame_distance = max_frame_distance
        self._tracked = tracked

    @staticmethod
    def _targets(clip: Clip) -> list[int]:
        return [i for i, frame in enumerate(clip.frames) if frame.is_labelled and i > 0]

    def _sample(self, clip: Clip, target: int, rng: np.random.Generator) -> Sample:
        frame, synthetic_probability = clip.frames[target], self._augmentation.synthetic_probability
        if synthetic_probability and rng.random() < synthetic_probability:
            read = frame.read_image(), frame.read_label()
            images, label, flow_px = augmented_synthetic_pair(*read, self._augmentation, rng)
            flow = _at_flow_resolution(flow_px)
        else:
            key = int(rng.integers(max(0, target - self._max_frame_distance), target))
            between = range(key + 1, target) if self._tracked else ()
            read = [clip.frames[i].read_image() for i in (key, *between, target)]
            images, label = augmented(read, frame.read_label(), self._augmentation, rng)
            height, width = label.shape
            flow = np.full((height // FLOW_STRIDE, width // FLOW_STRIDE, 2), np.nan, np.float32)
        sample = {
            "key_image": _channels_first(images[0]),
            "image": _channels_first(images[-1]),
            "label": torch.from_numpy(label),
            "flow": _channels_first(flow),
        }
        return sample | _tracking(images) if self._tracked else sample


def _tracking(images: list[np.ndarray]) -> Sample:
    """Of successive frames, the first of them the key frame."""
    key_image, *later = images
    padding = FramePadding(*key_image.shape[:2])
    tracker = TrackedFlowPropagator()
    for image in later:
        flow = tracker.flow_to_key(key_image, image, padding)
    return {
        "tracked_flow": _channels_first(flow),
        "tracked_image": _channels_first(warped_image(key_image, flow, padding)),
    }


def _at_flow_resolution(flow_px: np.ndarray) -> np.ndarray:
    """``[H, W, 2]`` -> ``[H/8, W/8, 2]``, in pixels of that grid."""
    height, width = flow_px.shape[:2]
    # Linear interpolation is exact: the mean of the four pixels around the middle of each cell.
    size = width // FLOW_STRIDE, height // FLOW_STRIDE
    return cv2.resize(flow_px, size, interpolation=cv2.INTER_LINEAR) / FLOW_STRIDE


def _channels_first(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(cv2.split(image)))


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Of an epoch's clips; kept, since it takes as long as reading a frame where there are many."""
    return np.random.default_rng([seed, epoch]).permutation(count)
