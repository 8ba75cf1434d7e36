"""A digest of what a network is: its weights, and whatever else decides what it computes."""

from __future__ import annotations

import hashlib

import torch

__all__ = ["content_digest"]


def content_digest(*parts: torch.nn.Module | object) -> bytes:
    """Changes with any part.

    Args:
        *parts: Networks, of which names and values of all parameters and buffers count; of anything else its ``repr`` does.
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, torch.nn.Module):
            for name, tensor in part.state_dict().items():
                digest.update(repr((name, tensor.shape, tensor.dtype)).encode())
                digest.update(tensor.cpu().flatten().view(torch.uint8).numpy())
        else:
            digest.update(repr(part).encode())
    return digest.digest()
