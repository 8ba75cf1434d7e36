"""A network in an ONNX file, ready to run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mpvss_model.segmentor.exported.description import NetworkDescription
from mpvss_model.segmentor.exported.execution_provider import OPENVINO, resolve_provider
from mpvss_model.segmentor.exported.onnx_session import OnnxSession
from mpvss_model.segmentor.exported.openvino_session import OpenVinoSession

__all__ = ["ExportedNetwork"]


class ExportedNetwork:
    """Runs a file that `mpvss_model.segmentor.exported.export` wrote, with as many threads as torch has.

    Several threads may call it at a time.

    Args:
        content: The file, or all of its bytes.
        provider: See `resolve_provider`.
        device: Where the rest of the model runs; the CPU by default.
        name: What to call it in messages; the file by default.
        dynamic: Whether it may be given several frames at a time, which makes some runtimes slower with one.

    Attributes:
        description: What the file says.
        provider: What runs it.

    Raises:
        CheckpointError: If the file is damaged or of another kind.
        ConfigError: If the provider is not installed, or does not work on this machine.
    """

    def __init__(
        self,
        content: Path | bytes,
        *,
        provider: str = "cpu",
        device: torch.device | None = None,
        name: str = "",
        dynamic: bool = False,
    ) -> None:
        device = device or torch.device("cpu")
        name = name or str(content)
        self.provider = resolve_provider(provider, device)
        self._session: OnnxSession | OpenVinoSession
        if self.provider == OPENVINO:
            self._session = OpenVinoSession(content, name, dynamic=dynamic)
        else:
            self._session = OnnxSession(content, name, provider=self.provider, device=device, dynamic=dynamic)
        self.description = NetworkDescription.from_entries(self._session.entries, name)

    def run(self, frames: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """uint8 RGB frames ``[N, H, W, 3]`` -> mask logits, class logits and queries, float32 on the CPU.

        Shapes are those of `BaseSegmentor.exportable`. ``N`` is 1 unless the network is ``dynamic``.
        """
        masks, classes, queries = map(torch.from_numpy, self._session.run(np.ascontiguousarray(frames)))
        return masks, classes, queries
