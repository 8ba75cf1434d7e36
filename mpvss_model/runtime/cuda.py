"""What only a GPU needs: functions replayed as one CUDA graph."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from mpvss_model.errors import first_line
from mpvss_model.runtime.frame_parts import frame_part
from mpvss_model.runtime.last_values import LastValues

__all__ = ["GraphedFunction"]

KEPT_GRAPHS = 4
WARM_UP_CALLS = 3
# Parallel capture of two graphs is not supported.
_capturing = threading.Lock()


@dataclass
class _Graph:
    graph: torch.cuda.CUDAGraph
    inputs: tuple[torch.Tensor, ...]
    outputs: tuple[torch.Tensor, ...]

    def replayed(self, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        for kept, given in zip(self.inputs, inputs, strict=True):
            kept.copy_(given)
        self.graph.replay()
        return tuple(x.clone() for x in self.outputs)


class GraphedFunction:
    """Calls a function of tensors; on a GPU as a CUDA graph, which spares the launch of each operation.

    A graph is captured at the first call with inputs of some shapes, and the last few are kept. Several threads may call, on
    the same CUDA stream: what they have computed there happens in the order of their calls. The function must not depend
    on the values of its inputs other than through operations on the GPU. Where capture fails, the function is called plainly.

    Args:
        function: From tensors on one device to a tuple of tensors, or one that can be indexed along its first dimension.
    """

    def __init__(self, function: Callable[..., Sequence[torch.Tensor]]) -> None:
        self._function = function
        self._graphs: LastValues[_Graph | None] = LastValues(KEPT_GRAPHS)
        # A graph reads and writes the same memory each time: from one thread's inputs to its outputs, no other may use it.
        self._in_use = threading.Lock()

    def __reduce__(self) -> tuple:
        # A copy captures its own graphs; neither they nor a lock can be copied.
        return type(self), (self._function,)

    @frame_part("graph")
    def __call__(self, *inputs: torch.Tensor) -> Sequence[torch.Tensor]:
        """The function's outputs, in memory of their own."""
        if not inputs[0].is_cuda:
            return self._function(*inputs)
        key = tuple((x.shape, x.stride(), x.dtype) for x in inputs)
        with self._in_use:
            captured = self._graphs.get(key, lambda: self._capture(inputs))
            if captured is not None:
                return captured.replayed(inputs)
        return self._function(*inputs)

    def _capture(self, inputs: tuple[torch.Tensor, ...]) -> _Graph | None:
        kept = tuple(x.clone() for x in inputs)
        try:
            with _capturing:
                side = torch.cuda.Stream(kept[0].device)
                side.wait_stream(torch.cuda.current_stream(kept[0].device))
                with torch.cuda.stream(side):
                    for _ in range(WARM_UP_CALLS):
                        self._function(*kept)
                torch.cuda.current_stream(kept[0].device).wait_stream(side)
                graph = torch.cuda.CUDAGraph()
                # Other threads may use the GPU meanwhile.
                with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                    outputs = tuple(self._function(*kept))
        except RuntimeError as error:
            warnings.warn(f"runs without CUDA graph, more slowly: {first_line(error)}", stacklevel=2)
            return None
        return _Graph(graph, kept, outputs)
