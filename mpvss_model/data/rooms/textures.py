"""Procedural textures of floors, walls, ceilings, and of what is seen through a window."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np

__all__ = ["TEXTURE_KINDS", "draw_texture"]

SIZE_PX = 256


def _wood(rng: np.random.Generator) -> np.ndarray:
    grain = cv2.blur(_noise(rng, [(64, 1.0)]), (61, 1))
    grain /= grain.std() + 1e-6
    plank_px = int(rng.choice([16, 32, 64]))
    position = np.arange(SIZE_PX)
    shade = rng.uniform(-0.15, 0.15, SIZE_PX // plank_px)[position // plank_px]
    gap = 0.6 ** (position % plank_px < 1)
    planks = (
        _colour(rng, hue=(0.04, 0.11), saturation=(0.2, 0.7), value=(0.3, 0.9))
        * ((1 + 0.08 * grain + shade[:, None]) * gap[:, None])[..., None]
    )
    return planks if rng.random() < 0.5 else planks.transpose(1, 0, 2)


def _tiles(rng: np.random.Generator) -> np.ndarray:
    first = _colour(rng, saturation=(0.0, 0.3), value=(0.3, 0.97))
    second = first if rng.random() < 0.6 else _colour(rng, saturation=(0.0, 0.3), value=(0.15, 0.97))
    tile_px = int(rng.choice([32, 64, 128]))
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX]
    chequered = np.where(((x // tile_px + y // tile_px) % 2)[..., None], first, second)
    joint = ((x % tile_px < 2) | (y % tile_px < 2))[..., None]
    return np.where(joint, rng.uniform(0.3, 0.8), chequered * (1 + 0.05 * _noise(rng, [(8, 1.0), (64, 0.5)])[..., None]))


def _bricks(rng: np.random.Generator) -> np.ndarray:
    height_px = int(rng.choice([16, 32]))
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX]
    row = y // height_px
    shifted = (x + (row % 2) * height_px) % SIZE_PX
    shade = rng.uniform(-0.15, 0.15, (SIZE_PX // height_px, SIZE_PX // height_px))[row, shifted // (2 * height_px)]
    joint = ((y % height_px < 2) | (shifted % (2 * height_px) < 2))[..., None]
    colour = _colour(rng, hue=(0.0, 0.1), saturation=(0.1, 0.6), value=(0.4, 0.9))
    return np.where(joint, rng.uniform(0.5, 0.8), colour * (1 + shade + 0.06 * _noise(rng, [(64, 1.0)]))[..., None])


def _stripes(rng: np.random.Generator) -> np.ndarray:
    colour = _colour(rng, saturation=(0.05, 0.4), value=(0.55, 0.97))
    stripe = (np.arange(SIZE_PX) // int(rng.choice([8, 16, 32]))) % 2
    return np.broadcast_to(colour * np.where(stripe, 1.0, rng.uniform(0.8, 1.1))[None, :, None], (SIZE_PX, SIZE_PX, 3))


def _carpet(rng: np.random.Generator) -> np.ndarray:
    colour = _colour(rng, saturation=(0.0, 0.6), value=(0.2, 0.9))
    return colour * (1 + rng.uniform(0.05, 0.15) * _noise(rng, [(256, 1.0), (16, 0.4)]))[..., None]


def _concrete(rng: np.random.Generator) -> np.ndarray:
    colour = _colour(rng, saturation=(0.0, 0.1), value=(0.35, 0.9))
    return colour * (1 + rng.uniform(0.04, 0.12) * _noise(rng, [(4, 1.0), (16, 0.7), (64, 0.4)]))[..., None]


def _paint(rng: np.random.Generator) -> np.ndarray:
    colour = _colour(rng, saturation=(0.0, 0.1) if rng.random() < 0.5 else (0.0, 0.45), value=(0.5, 1.0))
    return colour * (1 + rng.uniform(0.0, 0.04) * _noise(rng, [(8, 0.6), (256, 0.6)]))[..., None]


def _plaster(rng: np.random.Generator) -> np.ndarray:
    colour = _colour(rng, saturation=(0.0, 0.1), value=(0.75, 1.0))
    return colour * (1 + rng.uniform(0.0, 0.03) * _noise(rng, [(8, 0.6), (256, 0.6)]))[..., None]


def _panels(rng: np.random.Generator) -> np.ndarray:
    return _tiles(rng) * 0.3 + 0.65


def _outdoors(rng: np.random.Generator) -> np.ndarray:
    """Sky above a horizon, and blurred greens or greys below."""
    sky = _colour(rng, hue=(0.5, 0.65), saturation=(0.0, 0.4), value=(0.8, 1.0))
    ground = _colour(rng, hue=(0.08, 0.4), saturation=(0.1, 0.6), value=(0.2, 0.7))
    horizon_px = rng.uniform(0.35, 0.8) * SIZE_PX + 12 * _noise(rng, [(8, 1.0), (32, 0.4)])[:1]
    below = (np.arange(SIZE_PX)[:, None] > horizon_px)[..., None]
    return np.where(below, ground * (1 + 0.25 * _noise(rng, [(16, 1.0), (64, 0.5)])[..., None]), sky)


TEXTURE_KINDS = {
    "floor": ((_wood, 0.4), (_tiles, 0.25), (_carpet, 0.2), (_concrete, 0.15)),
    "wall": ((_paint, 0.6), (_bricks, 0.1), (_stripes, 0.1), (_wood, 0.08), (_tiles, 0.12)),
    "ceiling": ((_plaster, 0.7), (_panels, 0.2), (_wood, 0.1)),
    "outdoors": ((_outdoors, 1.0),),
}


def draw_texture(kind: str, rng: np.random.Generator) -> np.ndarray:
    """A random texture that tiles, uint8 RGBA ``[256, 256, 4]``; ``kind`` is one of `TEXTURE_KINDS`."""
    painters, weights = zip(*TEXTURE_KINDS[kind], strict=True)
    rgb = painters[rng.choice(len(painters), p=weights)](rng)
    alpha = np.full((SIZE_PX, SIZE_PX, 1), 255, np.uint8)
    return np.concatenate([np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8), alpha], axis=2)


def _noise(rng: np.random.Generator, octaves: list[tuple[int, float]]) -> np.ndarray:
    """Smooth noise that tiles, float32 ``[S, S]``, as a sum of (cells along a side, amplitude)."""
    total = np.zeros((SIZE_PX, SIZE_PX), np.float32)
    for cells, amplitude in octaves:
        values = np.tile(rng.standard_normal((cells, cells)).astype(np.float32), (3, 3))
        smooth = cv2.resize(values, (3 * SIZE_PX, 3 * SIZE_PX), interpolation=cv2.INTER_CUBIC)
        total += amplitude * smooth[SIZE_PX : 2 * SIZE_PX, SIZE_PX : 2 * SIZE_PX]
    return total


def _colour(rng: np.random.Generator, *, hue=(0.0, 1.0), saturation, value) -> np.ndarray:
    return np.array(colorsys.hsv_to_rgb(rng.uniform(*hue) % 1.0, rng.uniform(*saturation), rng.uniform(*value)))
