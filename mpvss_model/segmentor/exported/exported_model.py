"""Models whose key-frame network ONNX Runtime runs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from mpvss_model.config import AUTO_PROVIDER, ExecutionConfig
from mpvss_model.errors import CheckpointError, ConfigError
from mpvss_model.segmentor.exported.exporting_segmentor import ExportingSegmentor
from mpvss_model.segmentor.exported.file_segmentor import FileSegmentor
from mpvss_model.segmentor.exported.network import ExportedNetwork
from mpvss_model.segmentor.registry import EXPORTED_SUFFIX, LoadedModel, load_model
from mpvss_model.segmentor.tensor_files import foreign_content

__all__ = ["load", "load_to_execute"]


def load(file: str, *, device: torch.device, provider: str = AUTO_PROVIDER) -> LoadedModel:
    """The model in a file that `mpvss export` wrote: a segmentor for frames of one size, without a motion module.

    It recommends to resize frames to its size, as far as their shape allows it.

    Args:
        file: Its path, ``.onnx``.
        device: Where propagation runs.
        provider: See `mpvss_model.segmentor.exported.execution_provider.resolve_provider`.

    Raises:
        CheckpointError: If it is missing, damaged or of another kind.
        ConfigError: If ONNX Runtime or the provider is not installed, or does not work on this machine.
    """
    path = Path(file)
    if not path.is_file():
        raise CheckpointError(f"no model at {file!r}: give an .onnx file that mpvss export wrote, or a model directory")
    foreign = foreign_content(path)
    if foreign is not None:
        raise CheckpointError(f"{file!r} is {foreign}")
    segmentor = FileSegmentor(ExportedNetwork(path, provider=provider, device=device), device=device)
    return LoadedModel(segmentor, inference_size=min(segmentor.frame_size))


def load_to_execute(
    location: str,
    *,
    device: torch.device,
    execution: ExecutionConfig,
    report: Callable[[str], None] = warnings.warn,
) -> LoadedModel:
    """A model directory, hub id or ``.onnx`` file, with a segmentor that runs as asked for.

    Args:
        location: See `mpvss_model.segmentor.registry.load_model`.
        device: Of the rest of the model.
        execution: Runtime and execution provider.
        report: Told what takes long while frames come.

    Raises:
        CheckpointError: If the model cannot be loaded, or cannot be exported.
        ConfigError: If the runtime cannot run it, or is not installed.
    """
    is_file = location.endswith(EXPORTED_SUFFIX)
    runtime = execution.runtime if execution.runtime != "auto" else "onnx" if is_file else "torch"
    if runtime == "torch":
        if is_file:
            raise ConfigError(f"runtime 'torch' cannot run {location!r}: leave it to 'auto', or give the model directory")
        if execution.execution_provider != AUTO_PROVIDER:
            raise ConfigError(
                f"execution_provider {execution.execution_provider!r} is of runtime onnx, but runtime is "
                f"{execution.runtime!r}: set runtime to 'onnx'"
            )
        return load_model(location, device=device)
    if is_file:
        return load(location, device=device, provider=execution.execution_provider)
    folder = Path(execution.onnx_folder).expanduser() if execution.onnx_folder else None
    if folder is not None and not folder.is_dir():
        raise ConfigError(f"onnx_folder {execution.onnx_folder!r} is no folder: make it, or leave it empty")
    loaded = load_model(location, device=device)
    segmentor = ExportingSegmentor(loaded.segmentor, provider=execution.execution_provider, folder=folder, report=report)
    return replace(loaded, segmentor=segmentor)
