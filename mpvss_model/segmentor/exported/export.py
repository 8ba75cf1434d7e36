"""Writes a segmentor's network as an ONNX file, and checks it against PyTorch."""

from __future__ import annotations

import copy
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import nn

from mpvss_model.errors import CheckpointError, ConfigError, one_line
from mpvss_model.files import full_disk_named, write_whole
from mpvss_model.image import FramePadding
from mpvss_model.segmentor.exported.description import INPUT_NAME, OUTPUT_NAMES, NetworkDescription
from mpvss_model.segmentor.exported.execution_provider import required_package
from mpvss_model.segmentor.exported.file_name import file_name
from mpvss_model.segmentor.exported.label_check import check_labels
from mpvss_model.segmentor.exported.network import ExportedNetwork
from mpvss_model.segmentor.key_frame import KeyFrameSegmentor

__all__ = [
    "DEFAULT_OPSET",
    "MAX_OPSET",
    "MIN_OPSET",
    "Export",
    "check_exportable",
    "export_network",
    "exported_bytes",
    "write_exported",
]

# grid_sample came with 16, the others are for what reads newer files only.
MIN_OPSET, DEFAULT_OPSET, MAX_OPSET = 17, 17, 20
STDOUT = 1
MIN_SIDE_PX, MAX_SIDE_PX = 32, 8192


@dataclass(frozen=True)
class Export:
    """What came of an export.

    Attributes:
        file: That was written.
        description: What it says of itself.
        opset: Of its operators.
        equal_share: Share of the pixels of the checked frames, 0..1, with the same class as in PyTorch.
        num_frames: Frames that were checked.
    """

    file: Path
    description: NetworkDescription
    opset: int
    equal_share: float
    num_frames: int


def export_network(
    segmentor: KeyFrameSegmentor, out: Path, *, frames: Sequence[np.ndarray], opset: int = DEFAULT_OPSET
) -> Export:
    """Write the network for frames of one size, in batches of any number, once it is known to give the same labels.

    Args:
        segmentor: As it was loaded, not accelerated.
        out: File to write, ``.onnx``; or an existing folder, for a file that `ExportingSegmentor` finds there.
        frames: To check it with, uint8 RGB ``[H, W, 3]``, at least one; the file is for frames of their size.
        opset: Version of ONNX's operators, 17 to 20.

    Raises:
        CheckpointError: If the segmentor cannot be exported, or the file does not give the same labels.
        ConfigError: If file, size or opset cannot be used, or ``onnx`` or ``onnxruntime`` is not installed.
        DataError: If there is no space left.
    """
    frame_size: tuple[int, int] = frames[0].shape[:2]
    file = out / file_name(segmentor, frame_size) if out.is_dir() else out
    _check_file(file)
    required_package("onnxruntime")  # before minutes are spent on it
    content = exported_bytes(segmentor, frame_size, opset=opset)
    network = ExportedNetwork(content, name=str(file), dynamic=True)
    share = check_labels(network, segmentor, frames)
    write_exported(file, content)
    return Export(file, network.description, opset, share, len(frames))


def write_exported(file: Path, content: bytes) -> None:
    """Write an exported network whole or not at all.

    Raises:
        ConfigError: If there is no such folder, or it may not be written to.
        DataError: If there is no space left.
    """
    with full_disk_named(file.parent, "free some and export again"):
        try:
            write_whole(file, lambda unfinished: unfinished.write_bytes(content))
        except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
            raise ConfigError(f"cannot write {str(file)!r}: {error.strerror}") from error


def exported_bytes(segmentor: KeyFrameSegmentor, frame_size: tuple[int, int], *, opset: int = DEFAULT_OPSET) -> bytes:
    """The content of an ONNX file, unchecked.

    Args:
        segmentor: As it was loaded, not accelerated.
        frame_size: Height and width of the frames in pixels, 32 to 8192 each.
        opset: Version of ONNX's operators, 17 to 20.

    Raises:
        CheckpointError: If the segmentor cannot be exported.
        ConfigError: If size or opset are out of range, or ``onnx`` is not installed.
    """
    if not MIN_OPSET <= opset <= MAX_OPSET:
        raise ConfigError(f"opset must be in {MIN_OPSET} .. {MAX_OPSET}, got {opset!r}")
    if not all(MIN_SIDE_PX <= side <= MAX_SIDE_PX for side in frame_size):
        height, width = frame_size
        raise ConfigError(f"frames to export for must have {MIN_SIDE_PX} to {MAX_SIDE_PX} pixels a side, got {width}x{height}")
    network = _network(segmentor, frame_size)
    onnx = _onnx()  # which torch needs, too
    try:
        traced = _traced(network, frame_size, opset)
    except Exception as error:  # torch has a dozen types for what it cannot trace
        raise CheckpointError(f"model {segmentor.name!r} cannot be exported: {one_line(error)}") from error
    model = onnx.load_from_string(traced)
    onnx.helper.set_model_props(model, _description(segmentor, frame_size).entries())
    model.producer_name = "mpvss"
    content: bytes = model.SerializeToString()
    return content


def _check_file(file: Path) -> None:
    if file.suffix != ".onnx":
        raise ConfigError(f"cannot write {str(file)!r}: give a file that ends in .onnx, or an existing folder")
    if not file.parent.is_dir():
        raise ConfigError(f"cannot write {str(file)!r}: there is no folder {str(file.parent)!r}")
    if file.is_dir():
        raise ConfigError(f"cannot write {str(file)!r}: there is a folder of that name")


def check_exportable(segmentor: KeyFrameSegmentor) -> None:
    """Raise `CheckpointError` if key frames depend on those before them: a file's network sees each frame alone."""
    if getattr(segmentor, "has_memory", False):
        raise CheckpointError(
            f"model {segmentor.name!r} cannot be exported: {type(segmentor).__name__} has a memory of the key frames before, "
            "which an exported network has no input for: run it in PyTorch (runtime: torch)"
        )


def _network(segmentor: KeyFrameSegmentor, frame_size: tuple[int, int]) -> nn.Module:
    check_exportable(segmentor)
    # A segmentor of a user's own may have no more than what a stream asks for.
    exportable = getattr(segmentor, "exportable", lambda frame_size: None)
    network: nn.Module | None = exportable(frame_size)
    if network is None:
        raise CheckpointError(
            f"model {segmentor.name!r} cannot be exported: {type(segmentor).__name__} offers no network for it "
            "(BaseSegmentor.exportable)"
        )
    # On the CPU in fp32, whatever the segmentor runs on, which stays as it is.
    return copy.deepcopy(network).cpu().float().eval()


@contextmanager
def _silenced_stdout() -> Iterator[None]:
    """Torch writes pages of its graph there, past Python, before it raises what says all that users need."""
    sys.stdout.flush()
    kept, nowhere = os.dup(STDOUT), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, STDOUT)
    try:
        yield
    finally:
        os.dup2(kept, STDOUT)
        os.close(kept)
        os.close(nowhere)


@torch.no_grad()
def _traced(network: nn.Module, frame_size: tuple[int, int], opset: int) -> bytes:
    # The newer exporter takes twenty times as long, and what it writes runs no faster. Of a batch of two, since a size of one
    # is broadcast, which would be written down for all batches.
    example = torch.zeros(2, *frame_size, 3, dtype=torch.uint8)
    file = BytesIO()
    with _silenced_stdout(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sizes are meant to become constants
        torch.onnx.export(
            network,
            (example,),
            file,  # type: ignore[arg-type]  # its annotation is the newer exporter's
            input_names=[INPUT_NAME],
            output_names=[*OUTPUT_NAMES],
            dynamic_axes={name: {0: "batch"} for name in (INPUT_NAME, *OUTPUT_NAMES)},
            opset_version=opset,
            dynamo=False,
        )
    return file.getvalue()


def _onnx() -> ModuleType:
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise ConfigError(f"export needs {error.name}, which is not installed: pip install onnx") from error
    return onnx


def _description(segmentor: KeyFrameSegmentor, frame_size: tuple[int, int]) -> NetworkDescription:
    padding = FramePadding(*frame_size)
    config = getattr(getattr(segmentor, "model", None), "config", None)
    return NetworkDescription(
        model=segmentor.name,
        model_type=getattr(config, "model_type", type(segmentor).__name__),
        class_names=segmentor.class_names,
        height=padding.height,
        width=padding.width,
        padding_multiple=padding.multiple,
        image_mean=getattr(segmentor, "image_mean", None),
        image_std=getattr(segmentor, "image_std", None),
        digest=segmentor.digest().hex(),
    )
