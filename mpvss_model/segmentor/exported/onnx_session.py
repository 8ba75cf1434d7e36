"""An ONNX file in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from mpvss_model.errors import CheckpointError, ConfigError, one_line
from mpvss_model.segmentor.exported.description import INPUT_NAME, OUTPUT_NAMES
from mpvss_model.segmentor.exported.execution_provider import ONNX_RUNTIME_NAMES, required_package

__all__ = ["OnnxSession"]

FATAL = 4  # of ONNX Runtime's log: what it says else is for those who build models, and errors are raised anyway


class OnnxSession:
    """Runs a file with as many threads as torch has. Several threads may call it at a time.

    Args:
        content: The file, or all of its bytes.
        name: Of the file, for messages.
        provider: ``cpu``, ``cuda`` or ``tensorrt``.
        device: Where the rest of the model runs.
        dynamic: Whether it may be given several frames at a time.

    Raises:
        CheckpointError: If the file is damaged or of another kind.
        ConfigError: If the provider does not work on this machine.
    """

    def __init__(self, content: Path | bytes, name: str, *, provider: str, device: torch.device, dynamic: bool) -> None:
        runtime = required_package("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = FATAL
        # Threads that wait would take cores from whatever else the robot does.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if not dynamic:
            options.add_free_dimension_override_by_name("batch", 1)
        source = content if isinstance(content, bytes) else str(content)
        full_name, cpu = ONNX_RUNTIME_NAMES[provider], ONNX_RUNTIME_NAMES["cpu"]
        settings = {} if provider == "cpu" or device.index is None else {"device_id": str(device.index)}
        providers = [(full_name, settings), *([cpu] if provider != "cpu" else [])]
        try:
            self._session = runtime.InferenceSession(source, options, providers=providers)
        except Exception as error:  # each kind of damage shows as another type of ONNX Runtime's
            raise CheckpointError(f"{name!r} is damaged or no ONNX file, export it again: {one_line(error)}") from error
        if self._session.get_providers()[0] != full_name:  # it steps aside for the CPU where a library of its own is missing
            raise ConfigError(
                f"execution_provider {provider!r} is installed, but does not work on this machine: its libraries or its "
                "device are missing"
            )

    @property
    def entries(self) -> Mapping[str, str]:
        """The file's metadata."""
        entries: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        return entries

    def run(self, frames: np.ndarray) -> list[np.ndarray]:
        """uint8 frames ``[N, H, W, 3]`` -> the outputs."""
        outputs: list[np.ndarray] = self._session.run(OUTPUT_NAMES, {INPUT_NAME: frames})
        return outputs
