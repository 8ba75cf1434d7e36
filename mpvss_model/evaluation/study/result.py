"""What a study found on one clip, and its file."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from mpvss_model.data import Clip
from mpvss_model.evaluation.study.code_digest import code_digest
from mpvss_model.evaluation.study.config import StudyConfig
from mpvss_model.files import write_whole
from mpvss_model.runtime.content_digest import content_digest
from mpvss_model.segmentor.registry import LoadedModel

__all__ = ["ClipResult", "cache_key", "study_digest"]


@dataclass(frozen=True)
class ClipResult:
    """Counts that add up over clips, and what is needed to find a clip's good and bad frames.

    ``R`` runs in the order of `StudyConfig.runs`, ``F`` frames, ``C`` classes.

    Attributes:
        frame_size: int ``[2]``, height and width.
        is_key: bool ``[R, F]``, whether the frame was segmented.
        agreement: float32 ``[R, F]``, share of the labelled pixels that are right; nan without ground truth.
        confusion: int64 ``[R, C, C + 1]``, see `mpvss_model.evaluation.metrics.ConfusionMatrix`.
        consistency: float64 ``[R, 2, 2]``, for each window of video consistency the sum of the accuracies and their number.
        confusion_by_distance: int64 ``[1 + M, D, C, C + 1]``, per frame and for each of ``M`` methods at the longest interval
            ``D``, by the frames since the last key frame of that interval.
        corrupted_confusion: int64 ``[N, 1 + K, C, C + 1]``, per frame, without and with each of ``K`` corruptions, for each of
            ``N`` repeats.
    """

    frame_size: np.ndarray
    is_key: np.ndarray
    agreement: np.ndarray
    confusion: np.ndarray
    consistency: np.ndarray
    confusion_by_distance: np.ndarray
    corrupted_confusion: np.ndarray

    def save(self, path: Path, key: str) -> None:
        """Write a file that `load` returns as long as it is asked for with the same key."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda unfinished: np.savez_compressed(unfinished, key=key, **vars(self)))

    @classmethod
    def load(cls, path: Path, key: str) -> ClipResult | None:
        """A saved result, or None if there is none with this key."""
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as saved:
            if str(saved["key"]) != key:
                return None
            return cls(**{field.name: saved[field.name] for field in fields(cls)})


def study_digest(model: LoadedModel, config: StudyConfig) -> bytes:
    """Changes with the model, the settings, the kind of device, and the code and the libraries that compute the results."""
    segmentor = model.segmentor
    digest = hashlib.sha256(code_digest())
    digest.update(repr((asdict(config), segmentor.device.type, segmentor.dtype)).encode())
    digest.update(repr((model.released_grid, model.propagation, model.inference_size)).encode())
    digest.update(repr(model.motion and model.motion.config).encode())
    digest.update(segmentor.digest())
    if model.motion is not None:
        digest.update(content_digest(model.motion))
    return digest.digest()


def cache_key(clip: Clip, study: bytes) -> str:
    """Changes with everything that a result depends on: a `study_digest`, and the clip's images and labels themselves."""
    digest = hashlib.sha256(study)
    for frame in clip.frames:
        digest.update(repr(frame.stamp_ns).encode())
        image = frame.read_image()
        digest.update(repr(image.shape).encode())
        digest.update(np.ascontiguousarray(image))
        digest.update(np.ascontiguousarray(frame.read_label()) if frame.is_labelled else b"-")
    return digest.hexdigest()
