"""One layer of the transformer decoder, for batches: of the network for export, and of that in training."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["decoder_layer"]


def decoder_layer(
    layer: nn.Module,
    x: torch.Tensor,
    embed: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    visible: torch.Tensor,
) -> torch.Tensor:
    """Queries after attention to pixels and to each other, ``[N, Q, d]``.

    Args:
        layer: A ``Mask2FormerMaskedAttentionDecoderLayer`` with norms after attention.
        x: Queries, ``[N, Q, d]``.
        embed: Their position embeddings, ``[Q, d]``.
        keys: Of the pixels of one level, ``[N, S, d]``.
        values: Likewise.
        visible: Which pixels each query attends to, bool ``[N, Q, S]``.
    """
    cross, own = layer.cross_attn, layer.self_attn
    weights = zip((x + embed, keys, values), cross.in_proj_weight.chunk(3), cross.in_proj_bias.chunk(3), strict=True)
    attended = _attention(*(F.linear(*arguments) for arguments in weights), cross.num_heads, visible)
    x = layer.cross_attn_layer_norm(x + cross.out_proj(attended))
    located = x + embed
    attended = _attention(own.q_proj(located), own.k_proj(located), own.v_proj(x), own.num_heads)
    x = layer.self_attn_layer_norm(x + own.out_proj(attended))
    return layer.final_layer_norm(x + layer.fc2(layer.activation_fn(layer.fc1(x))))


def _attention(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, num_heads: int, visible: torch.Tensor | None = None
) -> torch.Tensor:
    """Multi-head attention of ``[N, Q, d]`` to ``[N, S, d]``."""
    heads = (x.unflatten(2, (num_heads, -1)).transpose(1, 2) for x in (queries, keys, values))
    mask = None if visible is None else visible[:, None]
    return F.scaled_dot_product_attention(*heads, attn_mask=mask).transpose(1, 2).flatten(2)
