"""Frames as the squares that an EoMT takes, and what it finds there back in the frame.

EoMT has position embeddings of one size, so that it takes squares of one side alone. Two rules bring an image to them, as its
image processor does it: it is made to fit into one square, whose rest is zeros; or its shorter side is made that of a square,
and it is split into squares along the longer side, which overlap where they have to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from mpvss_model.image import MASK_STRIDE, FramePadding

__all__ = ["Squares"]


@dataclass(frozen=True)
class Squares:
    """Where a frame's squares are.

    Attributes:
        frame_size: Height and width of the frame.
        side_px: Of each square.
        is_split: Whether there may be several.
    """

    frame_size: tuple[int, int]
    side_px: int
    is_split: bool

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width that the frame is resized to."""
        side_px = min(self.frame_size) if self.is_split else max(self.frame_size)
        height, width = (max(1, self.side_px * side // side_px) for side in self.frame_size)
        return height, width

    @property
    def starts_px(self) -> tuple[int, ...]:
        """Where each square begins, along the longer side of the resized image."""
        longer_px = max(self.image_size)
        count = math.ceil(longer_px / self.side_px)
        overlap_px = (count * self.side_px - longer_px) / max(1, count - 1)
        return tuple(int(i * (self.side_px - overlap_px)) for i in range(count))

    def cut(self, pixels: torch.Tensor) -> torch.Tensor:
        """Squares ``[N * B, 3, side, side]`` of resized images ``[B, 3, *image_size]``: the first of each image, and so on."""
        dim = 2 + self._longer
        squares = [pixels.narrow(dim, start, min(self.side_px, pixels.shape[dim] - start)) for start in self.starts_px]
        return torch.cat([F.pad(x, (0, self.side_px - x.shape[3], 0, self.side_px - x.shape[2])) for x in squares])

    def in_frame(self, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mask logits of squares at the places of the frame's mask values.

        Args:
            masks: ``[N, ..., h, w]``, at any resolution of the squares.

        Returns:
            Mask logits ``[N, ..., H'/4, W'/4]``, beyond a square its outermost values; and which of them lie in the square,
            ``[N, H'/4, W'/4]``. In the frame's padding there are the values at its edge.
        """
        places = [self._places(axis, masks) for axis in range(2)]
        size = tuple(len(axis) for axis in places)
        found, inside = [], []
        for i, start in enumerate(self.starts_px):
            places_px = [axis - start if number == self._longer else axis for number, axis in enumerate(places)]
            rows, columns = (self._values(place_px, masks.shape[axis - 2]) for axis, place_px in enumerate(places_px))
            found.append(_interpolated(_interpolated(masks[i], rows, dim=-2), columns, dim=-1))
            along = places_px[self._longer]
            is_last = i == len(self.starts_px) - 1
            covered = (along >= 0) & ((along < self.side_px) | torch.tensor(is_last, device=along.device))
            inside.append((covered[:, None] if self._longer == 0 else covered[None, :]).expand(size))
        return torch.stack(found), torch.stack(inside)

    @property
    def _longer(self) -> int:
        """The axis that squares lie along."""
        return int(self.frame_size[1] >= self.frame_size[0])

    def _places(self, axis: int, like: torch.Tensor) -> torch.Tensor:
        """Where the frame's mask values lie along an axis, in pixels of the resized image from its beginning."""
        frame_px, image_px = self.frame_size[axis], self.image_size[axis]
        padded_px = FramePadding(*self.frame_size).padded_size[axis]
        middles_px = torch.arange(MASK_STRIDE / 2, padded_px, MASK_STRIDE, device=like.device, dtype=torch.float32)
        return middles_px.clamp(max=frame_px - 0.5) * (image_px / frame_px)

    def _values(self, places_px: torch.Tensor, count: int) -> torch.Tensor:
        """Places in a square, in pixels, as places among its mask values."""
        return (places_px * (count / self.side_px) - 0.5).clamp(0, count - 1)


def _interpolated(values: torch.Tensor, places: torch.Tensor, *, dim: int) -> torch.Tensor:
    """Linearly, at places along one of the last two dimensions of ``[..., h, w]``."""
    before = places.floor().long()
    after = (before + 1).clamp(max=values.shape[dim] - 1)
    shares = (places - before).to(values).view([-1 if i == dim else 1 for i in (-2, -1)])
    return torch.lerp(values.index_select(dim, before), values.index_select(dim, after), shares)
