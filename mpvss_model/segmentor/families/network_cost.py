"""What a network costs, counted on a copy without values, or on the network itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from transformers.modeling_utils import PreTrainedModel

from mpvss_model.runtime.flop_count import count_parameters, gflops_by_part, meta_tensor
from mpvss_model.segmentor.cost import PartCost
from mpvss_model.segmentor.network_files import quiet

__all__ = ["network_cost"]


def network_cost(
    model: PreTrainedModel,
    function: Callable[..., object],
    input_shape: tuple[int, ...],
    *,
    part_names: Mapping[str, str],
    rest: str,
    needs_values: bool = False,
) -> dict[str, PartCost]:
    """Cost of the parts of a network, each time it segments a key frame.

    Args:
        model: The network.
        function: What is done with a network like this one and its input; calls each part as a whole.
        input_shape: Of the input.
        part_names: Names of attributes of the network, by what to call them; dots lead to parts of parts.
        rest: What to call all else.
        needs_values: Whether the network decides by values of tensors, so that it has to run once to be counted.
    """
    network = model if needs_values else _without_values(model)
    parts = {name: network.get_submodule(path) for name, path in part_names.items()}
    pixels = meta_tensor(*input_shape)
    if needs_values:
        pixels = torch.zeros(input_shape, device=model.device, dtype=model.dtype)
    spent = gflops_by_part(partial(function, network), pixels, parts=parts, rest=rest)
    sizes = {name: count_parameters(part) for name, part in parts.items()}
    sizes[rest] = count_parameters(network) - sum(sizes.values())
    return {name: PartCost(gflops, sizes[name], "key") for name, gflops in spent.items()}


def _without_values(model: PreTrainedModel) -> PreTrainedModel:
    """A network of the same sizes on the device ``meta``."""
    with quiet(), torch.device("meta"):
        network = type(model)(model.config)
    return network.to("meta").eval()  # some constructors ignore the default device
