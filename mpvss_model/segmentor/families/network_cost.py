"""What a network costs, counted on a copy without values."""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
) -> dict[str, PartCost]:
    """Cost of the parts of a network, each time it segments a key frame.

    Args:
        model: Of which a copy is counted.
        function: What is done with a network like this one and its input; calls each part as a whole.
        input_shape: Of the input.
        part_names: Names of attributes of the network, by what to call them; dots lead to parts of parts.
        rest: What to call all else.
    """
    with quiet(), torch.device("meta"):
        network = type(model)(model.config)
    network = network.to("meta").eval()  # some constructors ignore the default device
    parts = {name: network.get_submodule(path) for name, path in part_names.items()}
    spent = gflops_by_part(lambda pixels: function(network, pixels), meta_tensor(*input_shape), parts=parts, rest=rest)
    sizes = {name: count_parameters(part) for name, part in parts.items()}
    sizes[rest] = count_parameters(network) - sum(sizes.values())
    return {name: PartCost(gflops, sizes[name], "key") for name, gflops in spent.items()}
