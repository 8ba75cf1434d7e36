"""Comparison with numbers that the authors' code computed, from weights that a formula defines."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from mpvss_model.checkpoints.convert import is_motion_only, model_from_released, motion_from_released
from mpvss_model.checkpoints.mpvss_model import MPVSSModel
from mpvss_model.errors import DataError, MPVSSError
from mpvss_model.motion.encoder import half_size_input
from mpvss_model.motion.module import MotionModule, propagate_masks
from mpvss_model.propagation.motion_module import MotionPropagator
from mpvss_model.segmentor.mask2former.segmentor import Mask2FormerSegmentor
from mpvss_model.semantics import class_scores, label_map
from mpvss_model.text_files import read_text

__all__ = ["ArrayParity", "ParityReport", "check_parity", "fixture_weights"]

KEY_FRAME_INTERVAL = 5
MODEL_INPUTS = ("image",)
MOTION_INPUTS = ("current_image", "key_image", "query", "key_mask_logits")
# Largest absolute difference from the released code that still counts as the same, by the last part of an array's name.
BOUNDS = {
    "encoder_input": 2e-5,
    "pixel_flow": 2e-5,
    "segment_flow": 2e-5,
    "mask_features": 2e-4,
    "mask_logits": 2e-4,
    "warped_mask_logits": 2e-4,
    "query": 2e-4,
    "class_logits": 1e-3,
    "class_scores": 1e-3,
    "labels": 0.0,
}


@dataclass(frozen=True)
class ArrayParity:
    """One array of a fixture, compared.

    Attributes:
        name: In the fixture.
        shape: Of the array.
        max_abs_difference: From the released code's numbers; for labels, of class indices.
        bound: The largest that is allowed.
    """

    name: str
    shape: tuple[int, ...]
    max_abs_difference: float
    bound: float

    @property
    def ok(self) -> bool:
        """Whether the difference is within its bound; not a number never is."""
        return self.max_abs_difference <= self.bound


@dataclass(frozen=True)
class ParityReport:
    """All arrays of a fixture, compared.

    Attributes:
        prefix: Of the fixture's files.
        arrays: In the order of the fixture.
    """

    prefix: str
    arrays: tuple[ArrayParity, ...]

    @property
    def ok(self) -> bool:
        """Whether all arrays are within their bounds."""
        return all(array.ok for array in self.arrays)

    @property
    def labels_identical(self) -> bool | None:
        """Whether all label maps are the same; None for a fixture without any."""
        labels = [array.ok for array in self.arrays if _kind(array.name) == "labels"]
        return all(labels) if labels else None

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        arrays = [{**asdict(array), "ok": array.ok} for array in self.arrays]
        return {"prefix": self.prefix, "ok": self.ok, "labels_identical": self.labels_identical, "arrays": arrays}


def check_parity(prefix: str | os.PathLike) -> ParityReport:
    """Build a fixture's weights, convert them as a released checkpoint, run the model and compare.

    Args:
        prefix: Of ``PREFIX_weights.json``, the released tensors' names, shapes and formulas, and ``PREFIX.npz``, the inputs
            and the released code's outputs: of a whole model (``frame0/image``, ..) or a motion module
            (``a/current_image``, ..).

    Raises:
        DataError: If a file is missing, broken or not such a fixture.
        CheckpointError: If the tensors make no model; names all that do not fit.
    """
    weights = fixture_weights(f"{prefix}_weights.json")
    arrays = _read_arrays(Path(f"{prefix}.npz"))
    if is_motion_only(weights):
        model, outputs_of, inputs = motion_from_released(weights), _motion_outputs, MOTION_INPUTS
    else:
        model, outputs_of, inputs = model_from_released(weights), _model_outputs, MODEL_INPUTS
    try:
        with torch.inference_mode():
            ours = outputs_of(model, arrays)
    except MPVSSError:
        raise
    except (IndexError, RuntimeError, ValueError) as error:
        raise DataError(f"the inputs in {prefix}.npz do not fit the model: {error}") from error
    theirs = {name: array for name, array in arrays.items() if _kind(name) not in inputs}
    if not theirs:
        raise DataError(f"{prefix}.npz holds no outputs to compare with")
    unknown = sorted(set(theirs) - set(ours))
    if unknown:
        raise DataError(f"{prefix}.npz holds arrays that this model does not compute: {', '.join(unknown)}")
    return ParityReport(str(prefix), tuple(_compared(name, ours[name], array) for name, array in theirs.items()))


def fixture_weights(file: str | os.PathLike) -> dict[str, torch.Tensor]:
    """The tensors that a ``_weights.json`` file defines, float32, by their released names.

    A tensor is ``offset + scale * normal``, with standard normal numbers seeded by the CRC-32 of its name; ``exp`` of that; or
    explicit values.

    Raises:
        DataError: If the file is missing, broken or not of that form.
    """
    text = read_text(file)
    try:
        specifications = json.loads(text)
        return {name: torch.from_numpy(_tensor(name, specification)) for name, specification in specifications.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{str(file)!r} is no list of weights and their formulas: {error!r}") from error


def _tensor(name: str, specification: Mapping[str, object]) -> np.ndarray:
    shape, kind = tuple(specification["shape"]), specification["kind"]
    if kind == "explicit":
        return np.array(specification["values"], np.float32).reshape(shape)
    if kind not in ("normal", "exp"):
        raise ValueError(f"kind of {name} is {kind!r}, expected normal, exp or explicit")
    normal = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, dtype=np.float32)
    values = np.float32(specification["offset"]) + np.float32(specification["scale"]) * normal
    return np.exp(values) if kind == "exp" else values


def _read_arrays(file: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(file) as arrays:
            return dict(arrays)
    except OSError as error:
        raise DataError(f"cannot read {str(file)!r}: {error.strerror or error}") from None
    except Exception as error:  # numpy and zipfile raise half a dozen unrelated types for a broken archive
        raise DataError(f"{str(file)!r} is broken or no .npz file: {error}") from error


def _kind(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _motion_outputs(module: MotionModule, arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    cases = [name.removesuffix("current_image") for name in arrays if _kind(name) == "current_image"]
    if not cases:
        raise DataError("a fixture of a motion module needs an array 'a/current_image'")
    outputs = {}
    for case in cases:
        current, key, queries, mask_logits = (torch.from_numpy(_array(arrays, case + name)) for name in MOTION_INPUTS)
        current, key = current.unsqueeze(0), key.unsqueeze(0)
        motion = module(current, key, queries.transpose(0, 1))
        outputs[case + "encoder_input"] = torch.cat([half_size_input(current), half_size_input(key)], dim=1)
        outputs[case + "pixel_flow"] = motion.pixel_flow
        outputs[case + "segment_flow"] = motion.segment_flow[0]
        outputs[case + "warped_mask_logits"] = propagate_masks(mask_logits, motion.segment_flow, released_grid=True)
    return outputs


def _model_outputs(model: MPVSSModel, arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor | np.ndarray]:
    """Every fifth frame is a key frame; arrays that do not belong to a frame are of the first one."""
    frames = sorted(int(match[1]) for match in (re.fullmatch(r"frame(\d+)/image", name) for name in arrays) if match)
    if not frames or frames[0] != 0:
        raise DataError("a fixture of a whole model needs an array 'frame0/image'")
    if model.motion is None and any(i % KEY_FRAME_INTERVAL for i in frames):
        raise DataError("the fixture has propagated frames, but no weights of a motion module")
    segmentor = Mask2FormerSegmentor(model=model.segmentor, name="parity", device=torch.device("cpu"))
    mask_features = []
    mask_projection = model.segmentor.model.pixel_level_module.decoder.mask_projection
    mask_projection.register_forward_hook(lambda _module, _inputs, output: mask_features.append(output))
    outputs = {}
    for i in frames:
        image = np.ascontiguousarray(arrays[f"frame{i}/image"].transpose(1, 2, 0))
        if i % KEY_FRAME_INTERVAL == 0:
            key_frame = segmentor.segment(image, float(i))
            mask_logits = key_frame.mask_logits
        else:
            motion = MotionPropagator(model.motion).estimate(key_frame, image, torch.arange(len(key_frame.queries)))
            outputs[f"frame{i}/pixel_flow"] = motion.pixel_flow
            outputs[f"frame{i}/segment_flow"] = motion.segment_flow[0]
            mask_logits = propagate_masks(key_frame.mask_logits.unsqueeze(0), motion.segment_flow, released_grid=True)[0]
        scores = class_scores(mask_logits, key_frame.class_logits, key_frame.padding)
        outputs[f"frame{i}/mask_logits"] = mask_logits.unsqueeze(0)
        outputs[f"frame{i}/class_scores"] = scores
        outputs[f"frame{i}/labels"] = label_map(scores)
        if i == 0:
            outputs["class_logits"] = key_frame.class_logits.unsqueeze(0)
            outputs["query"] = key_frame.queries.unsqueeze(1)
    outputs["mask_features"] = mask_features[0]
    return outputs


def _array(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in arrays:
        raise DataError(f"the fixture lacks the array {name!r}")
    return arrays[name]


def _compared(name: str, ours: torch.Tensor | np.ndarray, theirs: np.ndarray) -> ArrayParity:
    ours = np.asarray(ours)
    if ours.shape != theirs.shape:
        raise DataError(f"array {name!r} is {theirs.shape} in the fixture, but the model computes {ours.shape}")
    difference = np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max(initial=0.0)
    return ArrayParity(name=name, shape=theirs.shape, max_abs_difference=float(difference), bound=BOUNDS[_kind(name)])
