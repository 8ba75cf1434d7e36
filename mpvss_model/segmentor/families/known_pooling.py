"""Adaptive average pooling in operators that runtimes have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

__all__ = ["KnownPooling"]


class KnownPooling(TorchFunctionMode):
    """While it is entered, ``adaptive_avg_pool2d`` is a product with matrices of shares, in this thread alone.

    ONNX has no such operator but for sizes that divide each other. Of an image whose size is known, the shares of its pixels
    are constants, which tracing writes down.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Called by torch with each function and its arguments."""
        if func is F.adaptive_avg_pool2d:
            return _pooled(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _pooled(image: torch.Tensor, output_size: int | Sequence[int]) -> torch.Tensor:
    """``[N, d, h, w]`` -> ``[N, d, *output_size]``."""
    height, width = (output_size, output_size) if isinstance(output_size, int) else output_size
    rows, columns = _shares(int(image.shape[2]), height, image), _shares(int(image.shape[3]), width, image)
    return rows @ image @ columns.transpose(0, 1)


def _shares(side: int, count: int, like: torch.Tensor) -> torch.Tensor:
    """What each pixel along a side has of each of ``count`` means, ``[count, side]``: parts overlap where they must."""
    shares = torch.zeros(count, side, dtype=like.dtype, device=like.device)
    for i in range(count):
        begin, end = i * side // count, -(-(i + 1) * side // count)
        shares[i, begin:end] = 1 / (end - begin)
    return shares
