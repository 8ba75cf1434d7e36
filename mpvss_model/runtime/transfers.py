"""Arrays to a device and tensors back; on a GPU in one transfer each, through page-locked memory that is kept.

A GPU reads and writes page-locked memory while the processor goes on, and allocating it takes longer than a frame's transfer.
So each thread keeps a piece for each device and direction, as large as the largest transfer so far: threads share none, and
cameras that one thread serves do. It is written again only when the GPU has read it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

import numpy as np
import torch

from mpvss_model.runtime.frame_parts import frame_part

__all__ = ["all_to_device", "to_device", "to_host"]

# Torch's own memory begins at multiples of so many bytes, which its fastest kernels need.
ALIGNMENT = 512
# Page-locked memory is allocated in whole pieces of so many bytes, so that a few more do not need another one.
PIECE_BYTES = 2**16


def to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """An array as a tensor on ``device``; on the CPU it shares the array's memory, if that is in one piece."""
    return all_to_device((array,), device)[0]


@frame_part("upload")
def all_to_device(arrays: Sequence[np.ndarray], device: torch.device) -> tuple[torch.Tensor, ...]:
    """Several arrays as tensors on ``device``, as `to_device`; to a GPU they go together, and share a piece of its memory.

    The arrays may be changed afterwards if the device is a GPU, which has not to be done with them: what it is given later
    on the same CUDA stream sees the tensors.
    """
    if device.type != "cuda":
        return tuple(torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in arrays)
    places = _places(array.nbytes for array in arrays)
    staging = _of_this_thread(device).uploads
    staged = staging.free(places[-1].stop)
    for array, place in zip(arrays, places, strict=True):
        _as_array(staged, place, array.dtype, array.shape)[...] = array
    sent = torch.empty(places[-1].stop, dtype=torch.uint8, device=device)
    sent.copy_(staged, non_blocking=True)
    staging.note_copy()
    return tuple(
        sent[place].view(torch.from_numpy(np.empty(0, array.dtype)).dtype).view(array.shape)
        for array, place in zip(arrays, places, strict=True)
    )


@frame_part("download")
def to_host(*tensors: torch.Tensor) -> tuple[np.ndarray, ...]:
    """Tensors of one device as arrays with memory of their own; a GPU is waited for once, until it has computed them."""
    if not tensors or not tensors[0].is_cuda:
        return tuple(x.cpu().numpy().copy() for x in tensors)
    pieces = [x.reshape(-1).view(torch.uint8) for x in tensors]
    packed = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
    staging = _of_this_thread(packed.device).downloads
    staged = staging.free(len(packed))
    staged.copy_(packed, non_blocking=True)
    staging.note_copy()
    staging.wait()
    ends = np.cumsum([len(piece) for piece in pieces])
    return tuple(
        _as_array(staged, slice(end - len(piece), end), torch.empty(0, dtype=x.dtype).numpy().dtype, x.shape).copy()
        for x, piece, end in zip(tensors, pieces, ends.tolist(), strict=True)
    )


class _Staging:
    """Page-locked memory that one thread sends from, or receives in, on one device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._memory: torch.Tensor | None = None
        self._copy: torch.cuda.Event | None = None

    def free(self, num_bytes: int) -> torch.Tensor:
        """uint8 ``[num_bytes]``, which no copy reads or writes any more."""
        self.wait()
        if self._memory is None or len(self._memory) < num_bytes:
            # A tensor of inference mode could not be written outside it.
            with torch.inference_mode(False):
                size = max(1, -(-num_bytes // PIECE_BYTES)) * PIECE_BYTES
                self._memory = torch.empty(size, dtype=torch.uint8, pin_memory=True)
        return self._memory[:num_bytes]

    def note_copy(self) -> None:
        """A copy from or to the memory was begun on the thread's CUDA stream."""
        if self._copy is None:
            self._copy = torch.cuda.Event()
        self._copy.record(torch.cuda.current_stream(self._device))

    def wait(self) -> None:
        """Until the last copy is done."""
        if self._copy is not None and not self._copy.query():
            self._copy.synchronize()


class _ThreadsMemory:
    """What one thread keeps for transfers from and to one device."""

    def __init__(self, device: torch.device) -> None:
        self.uploads = _Staging(device)
        self.downloads = _Staging(device)


class _Threads(threading.local):
    def __init__(self) -> None:
        self.memory: dict[torch.device, _ThreadsMemory] = {}


_threads = _Threads()


def _of_this_thread(device: torch.device) -> _ThreadsMemory:
    if device not in _threads.memory:
        _threads.memory[device] = _ThreadsMemory(device)
    return _threads.memory[device]


def _places(sizes: Iterable[int]) -> list[slice]:
    """Where pieces of so many bytes lie one after the other, each at an aligned place."""
    places, begin = [], 0
    for size in sizes:
        places.append(slice(begin, begin + size))
        begin = -(-(begin + size) // ALIGNMENT) * ALIGNMENT
    return places


def _as_array(memory: torch.Tensor, place: slice, dtype: np.dtype, shape: Sequence[int]) -> np.ndarray:
    """A view of a part of uint8 memory as an array."""
    return memory.numpy()[place].view(dtype).reshape(tuple(shape))
