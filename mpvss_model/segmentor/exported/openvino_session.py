"""An ONNX file in OpenVINO."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from mpvss_model.errors import CheckpointError, one_line
from mpvss_model.segmentor.exported.description import INPUT_NAME, OUTPUT_NAMES
from mpvss_model.segmentor.exported.execution_provider import OPENVINO, required_package

__all__ = ["OpenVinoSession"]

# Of the metadata that ONNX files come with.
METADATA = "framework"


class OpenVinoSession:
    """Runs a file on the CPU in fp32, with as many threads as torch has. Several threads may call it at a time.

    Args:
        content: The file, or all of its bytes.
        name: Of the file, for messages.
        dynamic: Whether it may be given several frames at a time, which makes it slower with one.

    Raises:
        CheckpointError: If the file is damaged or of another kind.
    """

    def __init__(self, content: Path | bytes, name: str, *, dynamic: bool) -> None:
        core = required_package(OPENVINO).Core()
        try:
            model = core.read_model(content) if isinstance(content, bytes) else core.read_model(str(content))
            if not dynamic:
                shape = model.input(INPUT_NAME).partial_shape
                model.reshape({INPUT_NAME: [1, *(side.get_length() for side in list(shape)[1:])]})
            # Left to itself it takes half precision on some processors.
            settings = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": "f32"}
            self._compiled = core.compile_model(model, "CPU", settings)
        except Exception as error:  # OpenVINO has one type for all, with its own source files in the text
            raise CheckpointError(f"{name!r} is damaged or no ONNX file, export it again: {one_line(error)}") from error
        found = {key: dict(entries) for key, entries in model.get_rt_info().items() if key == METADATA}
        self.entries: Mapping[str, str] = {key: entry.value for key, entry in found.get(METADATA, {}).items()}
        self._requests = threading.local()

    def run(self, frames: np.ndarray) -> list[np.ndarray]:
        """uint8 frames ``[N, H, W, 3]`` -> the outputs."""
        if not hasattr(self._requests, "request"):
            self._requests.request = self._compiled.create_infer_request()
        results = self._requests.request.infer({INPUT_NAME: frames})
        # The memory is that of the next call, too.
        return [results[name].copy() for name in OUTPUT_NAMES]
