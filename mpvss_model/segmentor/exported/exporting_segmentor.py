"""Key frames by ONNX Runtime, of any size that comes: each is exported once."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mpvss_model.runtime.last_values import LastValues
from mpvss_model.segmentor.cost import SegmentorCost
from mpvss_model.segmentor.exported.execution_provider import resolve_provider
from mpvss_model.segmentor.exported.export import check_exportable, exported_bytes, write_exported
from mpvss_model.segmentor.exported.exported_segmentor import ExportedSegmentor
from mpvss_model.segmentor.exported.file_name import file_name, frame_size_of
from mpvss_model.segmentor.exported.label_check import check_labels
from mpvss_model.segmentor.exported.network import ExportedNetwork
from mpvss_model.segmentor.key_frame import KeyFrame, KeyFrameSegmentor

__all__ = ["ExportingSegmentor"]

KEPT_SIZES = 4


class ExportingSegmentor(ExportedSegmentor):
    """A `KeyFrameSegmentor` that runs another one's network by ONNX Runtime.

    Frames of a new size wait for its export, unless it is in the folder already; what was exported is checked with the frame.

    Args:
        segmentor: As it was loaded, not accelerated.
        provider: See `resolve_provider`.
        folder: Where exported networks are found and kept; None to export them anew each time.
        report: Told before something takes long, and after.

    Raises:
        CheckpointError: If the segmentor has a memory, so that it cannot be exported.
        ConfigError: If ONNX Runtime or the provider is not installed.
    """

    def __init__(
        self, segmentor: KeyFrameSegmentor, *, provider: str, folder: Path | None, report: Callable[[str], None]
    ) -> None:
        resolve_provider(provider, segmentor.device)
        check_exportable(segmentor)
        self._segmentor = segmentor
        self._provider = provider
        self._folder = folder
        self._report = report
        self._networks: LastValues[ExportedNetwork] = LastValues(KEPT_SIZES)
        self.name = segmentor.name
        self.class_names = segmentor.class_names
        self.device = segmentor.device

    def warm_up_size(self, expected: tuple[int, int]) -> tuple[int, int] | None:
        """That of a network in the folder; none if that has none, since nobody may need the size that is exported then."""
        files = [] if self._folder is None else sorted(self._folder.glob(file_name(self._segmentor, None)))
        return None if not files else frame_size_of(files[0])

    @property
    def num_parameters(self) -> int:
        """Those of the segmentor."""
        return self._segmentor.num_parameters

    def segment(self, frame: np.ndarray, stamp_s: float) -> KeyFrame:
        """Segment a uint8 RGB frame ``[H, W, 3]``."""
        size: tuple[int, int] = frame.shape[:2]
        network = self._networks.get(size, lambda: self._network(frame))
        return self.key_frame(network, frame, stamp_s)

    def digest(self) -> bytes:
        """Changes with the segmentor, and since ONNX Runtime rounds otherwise than torch."""
        return b"onnx" + self._segmentor.digest()

    def cost(self, frame_size: tuple[int, int]) -> SegmentorCost | None:
        """Cost of a key frame of some height and width in pixels."""
        return self._segmentor.cost(frame_size)

    def _network(self, frame: np.ndarray) -> ExportedNetwork:
        """For frames of this one's size."""
        if self._folder is None:
            return self._open(self._exported(frame))
        file = self._folder / file_name(self._segmentor, frame.shape[:2])
        if not file.is_file():
            write_exported(file, self._exported(frame))
        self._report(f"model {self.name} runs from {str(file)!r}")
        return self._open(file)

    def _exported(self, frame: np.ndarray) -> bytes:
        height, width = frame.shape[:2]
        self._report(f"exporting model {self.name} for frames of {width}x{height}, once for this size ...")
        started_s = time.monotonic()
        content = exported_bytes(self._segmentor, (height, width))
        share = check_labels(ExportedNetwork(content, name=self.name, dynamic=True), self._segmentor, [frame])
        self._report(
            f"exported model {self.name} for {width}x{height} in {time.monotonic() - started_s:.1f} s; "
            f"{100 * share:.3f} % of labels as in PyTorch"
        )
        return content

    def _open(self, content: Path | bytes) -> ExportedNetwork:
        name = self.name if isinstance(content, bytes) else str(content)
        return ExportedNetwork(content, provider=self._provider, device=self.device, name=name)
