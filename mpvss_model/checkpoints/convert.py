"""Checkpoints of the authors' code -> our model and its directory, strictly."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from mpvss_model.checkpoints.mpvss_model import MPVSSModel
from mpvss_model.checkpoints.released_names import is_ignored, released_tensor
from mpvss_model.checkpoints.released_sizes import TensorShapes, released_motion_config, released_mpvss_config
from mpvss_model.errors import CheckpointError, ConfigError, first_line
from mpvss_model.image import IMAGENET_MEAN, IMAGENET_STD
from mpvss_model.motion.config import MotionConfig
from mpvss_model.motion.module import MotionModule
from mpvss_model.segmentor.mask2former.backbones import backbone_name
from mpvss_model.segmentor.network_files import listed, quiet, write_network
from mpvss_model.segmentor.tensor_files import read_released

__all__ = [
    "Conversion",
    "convert",
    "is_motion_only",
    "model_from_released",
    "motion_from_released",
    "read_released",
]

Module = TypeVar("Module", bound=torch.nn.Module)

PREPROCESSOR_CONFIG = {
    "image_processor_type": "Mask2FormerImageProcessor",
    "do_resize": False,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": list(IMAGENET_MEAN),
    "image_std": list(IMAGENET_STD),
    "size_divisor": 32,
}


@dataclass(frozen=True)
class Conversion:
    """What `convert` read and wrote.

    Attributes:
        out_dir: The directory written.
        backbone: The paper's name, or a description.
        num_classes: Without "no object".
        num_queries: Of segmentor and motion module.
        decoder_layers: Of the segmentor's transformer decoder.
        motion: Sizes of the motion module; None if the checkpoint has none.
        num_parameters: Of the model.
        ignored: Tensors of the checkpoint that the model has no use for.
    """

    out_dir: str
    backbone: str
    num_classes: int
    num_queries: int
    decoder_layers: int
    motion: MotionConfig | None
    num_parameters: int
    ignored: tuple[str, ...]


def convert(file: str | os.PathLike, out_dir: str | os.PathLike, class_names: Sequence[str] | None = None) -> Conversion:
    """Turn a released ``.pth`` file into a model directory, written whole or not at all.

    Args:
        file: With detectron2 names, bare or under ``"model"``.
        out_dir: Must not exist, or be empty.
        class_names: By class index; ``LABEL_n`` by default.

    Raises:
        CheckpointError: If the file cannot be read or is not a whole MPVSS or Mask2Former, or ``out_dir`` holds something.
        ConfigError: If the number of names is not the number of classes.
    """
    out_path = Path(out_dir)
    _check_vacant(out_path)
    released = read_released(file)
    if is_motion_only(released):
        raise CheckpointError(f"checkpoint {str(file)!r} holds a motion module alone: a model needs the segmentor, too")
    try:
        model = model_from_released(released)
    except CheckpointError as error:
        raise CheckpointError(f"checkpoint {str(file)!r}: {error}") from error
    segmentor = model.config.segmentor
    if class_names is not None:
        if len(class_names) != segmentor.num_labels:
            raise ConfigError(f"got {len(class_names)} class names for a checkpoint of {segmentor.num_labels} classes")
        segmentor.id2label = dict(enumerate(class_names))
        segmentor.label2id = {name: i for i, name in segmentor.id2label.items()}
    _write_directory(model, out_path)
    return Conversion(
        out_dir=str(out_path),
        backbone=backbone_name(segmentor.backbone_config),
        num_classes=segmentor.num_labels,
        num_queries=segmentor.num_queries,
        decoder_layers=segmentor.decoder_layers - 1,
        motion=None if model.motion is None else model.motion.config,
        num_parameters=model.num_parameters(),
        ignored=tuple(sorted(filter(is_ignored, released))),
    )


def is_motion_only(released: Mapping[str, object]) -> bool:
    """Whether a state dict is that of a motion module alone, its names without ``motion.``."""
    return all(name.startswith(("encoder.", "decoder.")) for name in released)


def model_from_released(released: Mapping[str, torch.Tensor]) -> MPVSSModel:
    """The model that a released state dict describes, with its weights, in evaluation mode.

    Raises:
        CheckpointError: If tensors are missing, left over or of the wrong shape; counts them and names the first.
    """
    with quiet():
        model = _empty(lambda shapes: MPVSSModel(released_mpvss_config(shapes)), released)
        return MPVSSModel.from_pretrained(None, config=model.config, state_dict=_converted(released, model.state_dict()))


def motion_from_released(released: Mapping[str, torch.Tensor]) -> MotionModule:
    """The motion module that a state dict of it alone describes, in evaluation mode.

    Raises:
        CheckpointError: As `model_from_released`; names there begin with ``motion.``.
    """
    prefix = "motion."
    released = {prefix + name: value for name, value in released.items()}
    module = _empty(lambda shapes: MotionModule(released_motion_config(shapes)), released)
    state = _converted(released, {prefix + name: value for name, value in module.state_dict().items()})
    module.load_state_dict({name.removeprefix(prefix): value for name, value in state.items()}, assign=True)
    return module.eval()


def _empty(build: Callable[[TensorShapes], Module], released: Mapping[str, torch.Tensor]) -> Module:
    """A model of the sizes that a checkpoint's tensors tell, without values."""
    try:
        with torch.device("meta"):
            return build(TensorShapes({name: tuple(value.shape) for name, value in released.items()}))
    except CheckpointError:
        raise
    except Exception as error:  # sizes that no network can have fail wherever they are first used
        raise CheckpointError(f"the shapes of the tensors make no model: {first_line(error)}") from error


def _converted(released: Mapping[str, torch.Tensor], layout: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Released tensors under our names, where ``layout`` gives our names and shapes."""
    sources = {name: source for name in layout if (source := released_tensor(name)) is not None}
    expected = {source.name: _stacked(layout[name].shape, source.parts) for name, source in sources.items()}
    problems = {
        "missing": [name for name in expected if name not in released],
        "unexpected": [name for name in released if name not in expected and not is_ignored(name)],
        "of the wrong shape": [
            f"{name} {list(released[name].shape)} instead of {list(shape)}"
            for name, shape in expected.items()
            if name in released and tuple(released[name].shape) != shape
        ],
    }
    if any(problems.values()):
        raise CheckpointError(f"not the tensors of an MPVSS: {listed(problems)}")
    # Parts are copied, since tensors that share memory cannot be saved.
    return {
        name: released[source.name].detach().float().chunk(source.parts)[source.part].clone()
        for name, source in sources.items()
    }


def _stacked(shape: torch.Size, parts: int) -> tuple[int, ...]:
    return (shape[0] * parts, *shape[1:])


def _check_vacant(out_dir: Path) -> None:
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise CheckpointError(f"{str(out_dir)!r} exists and is not an empty directory: give a new one")


def _write_directory(model: MPVSSModel, out_dir: Path) -> None:
    partial = out_dir.absolute().parent / f".{out_dir.absolute().name}.{os.getpid()}.partial"
    try:
        partial.mkdir(parents=True)
        write_network(model, partial)
        (partial / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR_CONFIG, indent=2) + "\n")
        os.rename(partial, out_dir)
    except OSError as error:
        raise CheckpointError(f"cannot write {str(out_dir)!r}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
