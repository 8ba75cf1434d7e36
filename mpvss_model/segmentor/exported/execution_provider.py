"""What can run exported networks, by the names that users know."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import torch

from mpvss_model.config import AUTO_PROVIDER, EXECUTION_PROVIDERS
from mpvss_model.errors import ConfigError, one_line

__all__ = ["ONNX_RUNTIME_NAMES", "OPENVINO", "required_package", "resolve_provider"]

# Runs in the package of its name, which does in two thirds of the time what ONNX Runtime's provider of that name does.
OPENVINO = "openvino"
# As ONNX Runtime calls its providers.
ONNX_RUNTIME_NAMES = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


def required_package(name: str) -> ModuleType:
    """``onnxruntime`` or ``openvino``.

    Raises:
        ConfigError: If it is not installed, or cannot be imported.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        raise ConfigError(f"exported networks are run by {name}; {missing} is not installed: pip install {missing}") from error
    except ImportError as error:  # built for another numpy, or lacks a library
        raise ConfigError(f"{name} is installed but cannot be imported: {one_line(error)}") from error


def resolve_provider(name: str, device: torch.device) -> str:
    """What is to run a network: ``cpu``, ``cuda``, ``tensorrt`` or ``openvino``.

    Args:
        name: One of these, or ``auto`` for CUDA where the device is one and ONNX Runtime has it, else the CPU.
        device: Where the rest of the model runs.

    Raises:
        ConfigError: If there is no such provider, or it is not installed.
    """
    if name not in (AUTO_PROVIDER, *EXECUTION_PROVIDERS):
        raise ConfigError(f"execution_provider must be one of {AUTO_PROVIDER}, {', '.join(EXECUTION_PROVIDERS)}, got {name!r}")
    if name == OPENVINO:
        required_package(OPENVINO)
        return name
    runtime = required_package("onnxruntime")
    available = runtime.get_available_providers()
    if name == AUTO_PROVIDER:
        return "cuda" if device.type == "cuda" and ONNX_RUNTIME_NAMES["cuda"] in available else "cpu"
    if ONNX_RUNTIME_NAMES[name] not in available:
        known = ", ".join(known for known, full_name in ONNX_RUNTIME_NAMES.items() if full_name in available)
        raise ConfigError(
            f"execution_provider {name!r} is not in the installed ONNX Runtime {runtime.__version__}, which has {known}: "
            "install onnxruntime-gpu in its place"
        )
    return name
