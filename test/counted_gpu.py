"""A GPU that is none: tensors on the processor that say they are elsewhere, and count what a real GPU would be asked.

Numbers are computed, so that results can be compared. Refused is what a GPU refuses: operands on two devices, and, while a
graph is recorded, whatever waits for it or brings numbers from memory that may move.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager

import numpy as np
import torch
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("cuda", 0)
CPU = torch.device("cpu")
# What needs values on the processor, such as a size that depends on them.
WAITS = {
    "__bool__", "__contains__", "__float__", "__index__", "__int__", "allclose", "argwhere", "equal", "item", "masked_select",
    "nonzero", "repeat_interleave", "tolist", "unique", "unique_consecutive",
}  # fmt: skip
FACTORIES = {"arange", "as_tensor", "empty", "eye", "full", "linspace", "ones", "rand", "randn", "tensor", "zeros"}
QUESTIONS = {"is_cuda": True, "is_cpu": False, "device": DEVICE}


class OnGpu(torch.Tensor):
    """A tensor that a mode `CountedGpu` takes for one on the GPU."""


class Event:
    """Done when the GPU has been waited for; until then it is not, as if the GPU took its time."""

    gpu = recorded_at = None

    def record(self, stream=None):
        self.recorded_at = self.gpu.time

    def query(self):
        return self.recorded_at is None or self.recorded_at <= self.gpu.waited_until

    def synchronize(self):
        if not self.query():
            self.gpu.wait("event", until=self.recorded_at)


class Stream:
    gpu = None

    def __init__(self, device=None):
        pass

    def wait_stream(self, other):
        """Of the GPU; the processor goes on."""

    def synchronize(self):
        self.gpu.wait("stream")


class Graph:
    """The operations of a function, done again on the same memory."""

    gpu = None

    def __init__(self):
        self.operations = []

    def replay(self):
        self.gpu.replays += 1
        self.gpu.time += 1
        with torch._C.DisableTorchFunction():
            for function, args, kwargs, result in self.operations:
                for new, old in zip(tree_leaves(function(*args, **kwargs)), tree_leaves(result), strict=True):
                    if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)


class CountedGpu(TorchFunctionMode):
    """While it is entered, there is one.

    Attributes:
        uploads: Number of copies to it.
        downloads: Number of copies from it.
        waits: Why the processor has waited for it.
        pinned_bytes: Of each piece of page-locked memory that was allocated.
        replays: Graphs that were started.
    """

    def __init__(self, monkeypatch):
        super().__init__()
        self.time = 0
        self.waited_until = 0
        self.pinned = []
        self.graph = None
        self.reset()
        for name, kind in (("Event", Event), ("Stream", Stream), ("CUDAGraph", Graph)):
            # Classes, since that is what type hints of other packages need.
            monkeypatch.setattr(torch.cuda, name, type(name, (kind,), {"gpu": self}))
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: torch.cuda.Stream(device))
        monkeypatch.setattr(torch.cuda, "stream", self._on_stream)
        monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: self.wait("device"))
        monkeypatch.setattr(torch.cuda, "graph", self._recording)

    def reset(self):
        """Count from here on."""
        self.uploads = self.downloads = self.replays = 0
        self.pinned_bytes = []
        self.waits = Counter()

    def wait(self, reason, until=None):
        """The processor stands still until the GPU has done all that it was given, or all up to some time."""
        if self.graph is not None:
            raise RuntimeError(f"operation not permitted when stream is capturing: {reason}")
        self.waits[reason] += 1
        self.waited_until = max(self.waited_until, self.time if until is None else until)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(function, "__name__", str(function))
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        if name == "__get__":
            return self._attribute(function, args, tensors)
        if kwargs.get("pin_memory"):
            return self._page_locked(function, args, kwargs)
        wanted = _device_of(args, kwargs)
        on_gpu = any(isinstance(x, OnGpu) for x in tensors)
        if name in ("to", "cpu", "cuda", "copy_"):
            return self._copied(name, args, kwargs, wanted)
        if name == "numpy" and on_gpu:
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if wanted is not None and name.removeprefix("new_") in FACTORIES:
            if wanted.type == "cuda" and name in ("tensor", "as_tensor", "new_tensor"):
                self._upload("numbers from Python")
            made = function(*_off(args), **{**_off(kwargs), "device": CPU})
            return made.as_subclass(OnGpu) if wanted.type == "cuda" else made
        if name == "new_tensor" and on_gpu:
            self._upload("numbers from Python")
        if on_gpu:
            self._check(function, name, args, tensors)
        result = function(*args, **kwargs)
        if self.graph is not None:
            self.graph.operations.append((function, args, kwargs, result))
        return result

    def _attribute(self, function, args, tensors):
        asked = getattr(function.__self__, "__name__", "")
        if asked in QUESTIONS and isinstance(tensors[0], OnGpu):
            return QUESTIONS[asked]
        return function(*args)

    def _check(self, function, name, args, tensors):
        """Refuse what is on two devices, and count what the processor has to wait for."""
        places = [x for x in tensors if x.ndim or isinstance(x, OnGpu)]
        if not all(isinstance(x, OnGpu) for x in places):
            raise RuntimeError(f"{resolve_name(function) or name}: expected all tensors to be on the same device")
        self.time += 1
        by_mask = name in ("__getitem__", "__setitem__") and any(
            isinstance(x, torch.Tensor) and x.dtype == torch.bool for x in tree_leaves(args[1])
        )
        from_python = name in ("__getitem__", "__setitem__") and any(
            isinstance(x, (list, np.ndarray)) for x in _parts(args[1])
        )
        if name in WAITS or by_mask:
            self.wait(name)
        if from_python:
            self._upload("indices from Python")

    def _page_locked(self, function, args, kwargs):
        memory = function(*args, **{**kwargs, "pin_memory": False})
        self.pinned.append(memory)
        self.pinned_bytes.append(memory.numel())
        return memory

    def _copied(self, name, args, kwargs, wanted):
        """``to``, ``cpu``, ``copy_``."""
        source = args[1] if name == "copy_" else args[0]
        to_gpu = isinstance(args[0], OnGpu) if name == "copy_" else wanted is not None and wanted.type == "cuda"
        to_gpu = to_gpu or (name == "to" and wanted is None and _follows_gpu(args))
        if name == "to" and wanted is None and not _has_other(args):
            to_gpu = isinstance(source, OnGpu)
        self.time += 1
        waits = not (kwargs.get("non_blocking") and self._is_pinned(args[0] if isinstance(source, OnGpu) else source))
        if isinstance(source, OnGpu) and not to_gpu:
            self.downloads += 1
            if waits:
                self.wait(name)
        elif to_gpu and not isinstance(source, OnGpu):
            self._upload(name, waits=waits)
        result = _copy(name, args, kwargs)
        if self.graph is not None and name != "cpu":
            self.graph.operations.append((_copy, (name, args, kwargs), {}, result))
        return result if name == "copy_" else result.as_subclass(OnGpu if to_gpu else torch.Tensor)

    def _upload(self, reason, waits=True):
        self.time += 1
        self.uploads += 1
        if waits:
            self.wait(reason)
        elif self.graph is not None:
            raise RuntimeError("a graph would read this memory each time")

    def _is_pinned(self, tensor):
        begin = tensor.data_ptr()
        return any(memory.data_ptr() <= begin < memory.data_ptr() + memory.numel() for memory in self.pinned)

    @contextmanager
    def _recording(self, graph, **_):
        self.graph = graph
        try:
            yield
        finally:
            self.graph = None

    @contextmanager
    def _on_stream(self, stream):
        yield


def move_to_gpu(module):
    """What a module's ``to`` does; to be called before a `CountedGpu` is entered."""
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            part.register_parameter(name, torch.nn.Parameter(parameter.detach().as_subclass(OnGpu), requires_grad=False))
        for name, buffer in part.named_buffers(recurse=False):
            setattr(part, name, buffer.as_subclass(OnGpu))


def _device_of(args, kwargs):
    """The device that is asked for, if any."""
    for value in (kwargs.get("device"), *args):
        if isinstance(value, torch.device) or (isinstance(value, str) and value.startswith(("cuda", "cpu"))):
            return torch.device(value)
    return None


def _has_other(args):
    return len(args) > 1 and isinstance(args[1], torch.Tensor)


def _follows_gpu(args):
    """Whether a tensor is to be where another one is, which is on the GPU."""
    return _has_other(args) and isinstance(args[1], OnGpu)


def _off(arguments):
    return tree_map(lambda x: CPU if isinstance(x, torch.device) else x, arguments)


def _parts(index):
    return index if isinstance(index, tuple) else (index,)


def _copy(name, args, kwargs):
    kwargs = {key: value for key, value in kwargs.items() if key != "non_blocking"}
    if name == "cpu":
        return args[0].clone()
    if name == "copy_":
        return args[0].copy_(args[1])
    plain = [x.as_subclass(torch.Tensor) if isinstance(x, torch.Tensor) else x for x in args]
    result = plain[0].to(*_off(plain[1:]), **_off(kwargs))
    return result.clone() if result is plain[0] else result


__all__ = ["DEVICE", "CountedGpu", "OnGpu", "move_to_gpu"]
