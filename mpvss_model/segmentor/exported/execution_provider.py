"""ONNX Runtime's execution providers, by the names that users know."""

from __future__ import annotations

from types import ModuleType

import torch

from mpvss_model.config import AUTO_PROVIDER, EXECUTION_PROVIDERS
from mpvss_model.errors import ConfigError, one_line

__all__ = ["onnx_runtime", "resolve_provider"]

CPU_PROVIDER = "CPUExecutionProvider"
# ONNX Runtime's own names, and the packages that have them.
PROVIDERS = {
    "cpu": (CPU_PROVIDER, "onnxruntime"),
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "tensorrt": ("TensorrtExecutionProvider", "onnxruntime-gpu"),
    "openvino": ("OpenVINOExecutionProvider", "onnxruntime-openvino"),
}


def onnx_runtime() -> ModuleType:
    """The package ``onnxruntime``.

    Raises:
        ConfigError: If it is not installed, or cannot be imported.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ConfigError(f"ONNX Runtime needs {error.name}, which is not installed: pip install onnxruntime") from error
    except ImportError as error:  # built for another numpy, or lacks a library
        raise ConfigError(f"onnxruntime is installed but cannot be imported: {one_line(error)}") from error
    return onnxruntime


def resolve_provider(name: str, device: torch.device) -> str:
    """ONNX Runtime's name of an execution provider.

    Args:
        name: ``cpu``, ``cuda``, ``tensorrt``, ``openvino``, or ``auto`` for CUDA where the device is one and ONNX Runtime has
            it, else the CPU.
        device: Where the rest of the model runs.

    Raises:
        ConfigError: If there is no such provider, or the installed ONNX Runtime does not have it.
    """
    runtime = onnx_runtime()
    available = runtime.get_available_providers()
    if name == AUTO_PROVIDER:
        name = "cuda" if device.type == "cuda" and PROVIDERS["cuda"][0] in available else "cpu"
    if name not in PROVIDERS:
        raise ConfigError(f"execution_provider must be one of {AUTO_PROVIDER}, {', '.join(EXECUTION_PROVIDERS)}, got {name!r}")
    full_name, package = PROVIDERS[name]
    if full_name not in available:
        known = ", ".join(known for known, (provider, _) in PROVIDERS.items() if provider in available)
        raise ConfigError(
            f"execution_provider {name!r} is not in the installed ONNX Runtime {runtime.__version__}, which has {known}: "
            f"install {package} in its place"
        )
    return full_name
