"""Loads whatever a user may give as a model, by the ``model_type`` that its ``config.json`` names.

A loader is a function ``load(name_or_dir, *, device)`` that returns a `KeyFrameSegmentor`, or a `LoadedModel` where there is
more to a model. It is looked for in three places, first in the modules of this folder: ``mpvss_model/segmentor/NAME.py`` or
``NAME/__init__.py`` with a function ``load`` loads models of the type ``NAME``, in which hyphens become underscores. Then come
the entry points of installed packages, group `ENTRY_POINTS`, by whose names types are called; then `WHOLE_MODELS`.
An ``.onnx`` file is a model of its own.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import torch

import mpvss_model.segmentor
from mpvss_model.config import FRAME_SIZE
from mpvss_model.errors import CheckpointError, one_line
from mpvss_model.runtime.flop_count import count_parameters
from mpvss_model.runtime.precision import has_fast_bfloat16, resolve_precision
from mpvss_model.segmentor.config_file import check_location, listed_things, read_config, recommended_inference_size
from mpvss_model.segmentor.key_frame import KeyFrameSegmentor

__all__ = ["ENTRY_POINTS", "EXPORTED_SUFFIX", "LoadedModel", "load_model", "loader_of"]

ENTRY_POINTS = "mpvss_model.segmentors"
# What is more than a segmentor, and therefore loaded by rooms above this one; named so that nothing here imports them.
WHOLE_MODELS = {"mpvss": "mpvss_model.checkpoints.load:load"}
# Of files with a network for ONNX Runtime; their loader stands on this module, too.
EXPORTED_SUFFIX = ".onnx"
EXPORTED_LOADER = "mpvss_model.segmentor.exported.exported_model"


@dataclass(frozen=True)
class LoadedModel:
    """A model on its device, in evaluation mode.

    Attributes:
        segmentor: For key frames.
        motion: For the frames in between, a `mpvss_model.motion.module.MotionModule`; None if the checkpoint has none.
        released_grid: How ``motion`` was trained to warp, see `mpvss_model.warp.backward_warp`.
        propagation: What ``auto`` stands for, one of `mpvss_model.propagation.registry.propagation_names`.
        inference_size: What its configuration, or else its segmentor, recommends for `StreamConfig.inference_size`; 0 if
            neither recommends any.
        thing_classes: Names or indices of the classes that are things, as its configuration has them; empty if it does not
            say, see `mpvss_model.instances.thing_classes`.
    """

    segmentor: KeyFrameSegmentor
    motion: Any = None  # a type of a room that this one must not import
    released_grid: bool = False
    propagation: str = "tracked"
    inference_size: int = FRAME_SIZE
    thing_classes: tuple[str | int, ...] = ()

    @property
    def num_parameters(self) -> int:
        """Learned numbers of segmentor and motion module."""
        return self.segmentor.num_parameters + (0 if self.motion is None else count_parameters(self.motion))

    def accelerate(self, dtype: torch.dtype) -> None:
        """Run faster from now on, in some floating-point type; the model cannot be trained or saved afterwards."""
        self._accelerate(dtype, dtype)

    def accelerate_in(self, precision: str) -> None:
        """Run faster from now on, in a precision by its name; the model cannot be trained or saved afterwards.

        With ``auto``, a segmentor that takes it runs in bf16 on a CPU that is made for it. The motion module stays in fp32,
        since bf16 does not make it faster.

        Raises:
            ConfigError: If there is no such precision.
        """
        device = self.segmentor.device
        dtype = resolve_precision(precision, device)
        # A segmentor of a user's own may have no more than what a stream asks for.
        takes_bfloat16 = getattr(self.segmentor, "takes_bfloat16", False)
        if precision == "auto" and device.type == "cpu" and takes_bfloat16 and has_fast_bfloat16():
            self._accelerate(torch.bfloat16, dtype)
        else:
            self._accelerate(dtype, dtype)

    def _accelerate(self, segmentor: torch.dtype, motion: torch.dtype) -> None:
        self.segmentor.accelerate(segmentor)
        if self.motion is not None:
            self.motion.to(motion, memory_format=torch.channels_last)


Loader = Callable[..., "KeyFrameSegmentor | LoadedModel"]


def load_model(name_or_dir: str, *, device: torch.device) -> LoadedModel:
    """Load a model directory, a model of the hub by its id, or an ``.onnx`` file that ``mpvss export`` wrote.

    Raises:
        CheckpointError: If it is missing, incomplete, broken or of an unknown type.
        ConfigError: If it is an ``.onnx`` file and ONNX Runtime is not installed.
    """
    if name_or_dir.endswith(EXPORTED_SUFFIX):
        exported: LoadedModel = import_module(EXPORTED_LOADER).load(name_or_dir, device=device)
        return exported
    check_location(name_or_dir)
    config = read_config(name_or_dir)
    model_type, inference_size = str(config["model_type"]), recommended_inference_size(config, name_or_dir)
    loader = _own_loader(model_type) or _installed_loader(model_type)
    if loader is None:
        raise CheckpointError(f"model {name_or_dir!r} is of type {model_type!r}; known are {', '.join(_known_types())}")
    model = loader(name_or_dir, device=device)
    if not isinstance(model, LoadedModel):
        # A segmentor of a user's own may have no more than what a stream asks for.
        model = LoadedModel(model, inference_size=getattr(model, "recommended_inference_size", FRAME_SIZE))
    if inference_size is not None:
        model = replace(model, inference_size=inference_size)
    return replace(model, thing_classes=listed_things(config, name_or_dir))


def loader_of(segmentor: str) -> Loader:
    """A function ``load`` around the ``from_pretrained`` of a class, which is imported when it is called.

    Networks are not wanted where types of models are only looked for: ``transformers`` takes seconds to import.

    Args:
        segmentor: Where the class is, ``module:Class``.
    """

    def load(name_or_dir: str, *, device: torch.device) -> KeyFrameSegmentor:
        """Load a model directory, or a model of the hub by its id; raises `CheckpointError` if that cannot be done."""
        model: KeyFrameSegmentor = EntryPoint("", segmentor, "").load().from_pretrained(name_or_dir, device=device)
        return model

    return load


def _own_loader(model_type: str) -> Loader | None:
    """The function ``load`` of the module of this folder that is named after a type."""
    name = model_type.replace("-", "_")
    if name not in _module_names():
        return None
    loader: Loader | None = getattr(import_module(f"{mpvss_model.segmentor.__name__}.{name}"), "load", None)
    return loader


def _installed_loader(model_type: str) -> Loader | None:
    found = [entry for entry in _entry_points() if entry.name == model_type]
    if not found:
        return None
    try:
        loader: Loader = found[0].load()
    except (ImportError, AttributeError) as error:
        raise CheckpointError(
            f"models of type {model_type!r} are loaded by {found[0].value!r}, which fails: {one_line(error)}"
        ) from error
    return loader


def _known_types() -> list[str]:
    own = [name for name in _module_names() if _own_loader(name) is not None]
    return sorted({*own, *(entry.name for entry in _entry_points())})


def _module_names() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(mpvss_model.segmentor.__path__)]


def _entry_points() -> list[EntryPoint]:
    """Those of installed packages, then this package's own."""
    return [*entry_points(group=ENTRY_POINTS), *(EntryPoint(*row, ENTRY_POINTS) for row in WHOLE_MODELS.items())]
