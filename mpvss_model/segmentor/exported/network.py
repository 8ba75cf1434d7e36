"""A network in an ONNX file, ready to run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mpvss_model.errors import CheckpointError, ConfigError, one_line
from mpvss_model.segmentor.exported.description import INPUT_NAME, OUTPUT_NAMES, NetworkDescription
from mpvss_model.segmentor.exported.execution_provider import CPU_PROVIDER, onnx_runtime, resolve_provider

__all__ = ["ExportedNetwork"]

FATAL = 4  # of ONNX Runtime's log: what it says else is for those who build models, and errors are raised anyway


class ExportedNetwork:
    """Runs a file that `mpvss_model.segmentor.exported.export` wrote, with as many threads as torch has.

    Several threads may call it at a time.

    Args:
        content: The file, or all of its bytes.
        provider: See `resolve_provider`.
        device: Where the rest of the model runs.
        name: What to call it in messages; the file by default.
        dynamic: Whether it may be given several frames at a time, which makes some runtimes slower with one.

    Attributes:
        description: What the file says.

    Raises:
        CheckpointError: If the file is missing, damaged or of another kind.
        ConfigError: If ONNX Runtime or the provider is not installed, or does not work on this machine.
    """

    def __init__(
        self,
        content: Path | bytes,
        *,
        provider: str = "cpu",
        device: torch.device = torch.device("cpu"),  # noqa: B008  immutable
        name: str = "",
        dynamic: bool = False,
    ) -> None:
        name = name or str(content)
        full_name = resolve_provider(provider, device)
        self._session = _session(content, full_name, device, name, dynamic=dynamic)
        self.description = NetworkDescription.from_entries(self._session.get_modelmeta().custom_metadata_map, name)

    def run(self, frames: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """uint8 RGB frames ``[N, H, W, 3]`` -> mask logits, class logits and queries, float32 on the CPU.

        Shapes are those of `BaseSegmentor.exportable`. ``N`` is 1 unless the network is ``dynamic``.
        """
        masks, classes, queries = self._session.run(OUTPUT_NAMES, {INPUT_NAME: np.ascontiguousarray(frames)})
        return torch.from_numpy(masks), torch.from_numpy(classes), torch.from_numpy(queries)


def _session(content: Path | bytes, provider: str, device: torch.device, name: str, *, dynamic: bool):
    runtime = onnx_runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = FATAL
    # Threads that wait would take cores from whatever else the robot does.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not dynamic:
        options.add_free_dimension_override_by_name("batch", 1)
    others = [CPU_PROVIDER] if provider != CPU_PROVIDER else []
    try:
        source = content if isinstance(content, bytes) else str(content)
        session = runtime.InferenceSession(source, options, providers=[(provider, _settings(provider, device)), *others])
    except Exception as error:  # each kind of damage shows as another type of ONNX Runtime's
        if provider != CPU_PROVIDER and _opens_on_the_cpu(content):
            raise ConfigError(f"{provider} cannot run {name!r} on this machine: {one_line(error)}") from error
        raise CheckpointError(f"{name!r} is missing, damaged or no ONNX file, export it again: {one_line(error)}") from error
    if session.get_providers()[0] != provider:  # it steps aside for the CPU where a library of its own is missing
        raise ConfigError(f"{provider} is installed, but does not work on this machine: libraries or its device are missing")
    return session


def _settings(provider: str, device: torch.device) -> dict[str, str]:
    """Of a provider, as ONNX Runtime takes them."""
    if provider == "OpenVINOExecutionProvider":
        return {"device_type": "CPU", "num_of_threads": str(torch.get_num_threads())}
    if provider == CPU_PROVIDER or device.index is None:
        return {}
    return {"device_id": str(device.index)}


def _opens_on_the_cpu(content: Path | bytes) -> bool:
    try:
        ExportedNetwork(content)
    except CheckpointError:
        return False
    return True
