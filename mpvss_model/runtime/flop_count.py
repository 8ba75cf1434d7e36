"""Counts multiply-adds of a computation on tensors that have shapes but no values, so that nothing is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["count_parameters", "counted", "gflops", "gflops_by_part", "meta_tensor", "total_gflops"]

aten = torch.ops.aten


def meta_tensor(*shape: int) -> torch.Tensor:
    """A float32 tensor of a shape, without values."""
    return torch.empty(shape, device="meta")


def count_parameters(module: torch.nn.Module) -> int:
    """Learned numbers of a network."""
    return sum(parameter.numel() for parameter in module.parameters())


def counted(function: Callable[..., object], *inputs: object) -> FlopCounterMode:
    """Call a function or network and count its operations.

    Args:
        function: Its parameters, if it has any, on the device ``meta`` as its inputs are.
        *inputs: Of the function.
    """
    counter = FlopCounterMode(display=False, custom_mapping=ELEMENTWISE)
    with torch.no_grad(), counter:
        function(*inputs)
    return counter


def gflops_by_part(
    function: Callable[..., object], *inputs: object, parts: Mapping[str, torch.nn.Module], rest: str
) -> dict[str, float]:
    """Multiply-adds, in 1e9, of networks that a function calls, and of all else that it does.

    Args:
        function: As of `counted`.
        *inputs: Of the function.
        parts: By name; none of them calls another.
        rest: Name of all else.
    """
    counter = FlopCounterMode(display=False, custom_mapping=ELEMENTWISE)
    spent, begun = dict.fromkeys(parts, 0.0), []
    hooks = []
    for name, part in parts.items():
        hooks.append(part.register_forward_pre_hook(lambda *_: begun.append(counter.get_total_flops())))

        def end(*_: object, name: str = name) -> None:
            spent[name] += (counter.get_total_flops() - begun.pop()) / 2e9

        hooks.append(part.register_forward_hook(end))
    try:
        with torch.no_grad(), counter:
            function(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return {**spent, rest: counter.get_total_flops() / 2e9 - sum(spent.values())}


def total_gflops(counter: FlopCounterMode) -> float:
    """Multiply-adds, in 1e9, of all that was counted."""
    return gflops(counter.get_flop_counts()["Global"])


def gflops(by_operator: Mapping[object, int]) -> float:
    """Multiply-adds, in 1e9, from the counts of operators in which each is two operations, as in PyTorch's counter."""
    return sum(by_operator.values()) / 2e9


def _per_input(flops: int) -> Callable[..., int]:
    return lambda shape, *_, **__: 2 * flops * math.prod(shape)


def _per_output(flops: int) -> Callable[..., int]:
    return lambda *_, out_shape, **__: 2 * flops * math.prod(out_shape)


# What PyTorch's counter leaves out, as fvcore counts it (for each number of the input or output). PyTorch's counts a
# multiply-add as 2.
ELEMENTWISE = {
    aten.native_layer_norm: _per_input(5),
    aten.native_group_norm: _per_input(5),
    aten.native_batch_norm: _per_input(2),
    aten._native_batch_norm_legit_no_training: _per_input(2),
    aten.upsample_bilinear2d: _per_output(4),
    aten.grid_sampler_2d: _per_output(4),
}
