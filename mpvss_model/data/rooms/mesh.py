"""Meshes as the renderer draws them, made from OBJ files and kept in compact files."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import trimesh

__all__ = ["NO_TEXTURE", "TEXTURE_SIZE_PX", "VERTEX", "Mesh", "load_mesh", "mesh_from_obj", "quads", "save_mesh"]

# Positions fill the box [-1, 1]^3 and are scaled when they are drawn. `layer` is the texture's, `gloss` 255 for a mirror.
# Where the normal is 0, the triangle's own one holds.
VERTEX = np.dtype(
    [("position", "<i2", 3), ("layer", "u1"), ("gloss", "u1"), ("normal", "i1", 4), ("uv", "<f4", 2), ("colour", "u1", 4)]
)
NO_TEXTURE = 255
TEXTURE_SIZE_PX = 256
TEXTURE_SHAPE = (TEXTURE_SIZE_PX, TEXTURE_SIZE_PX, 4)
# Panes of glass and the like are left out: what is behind them is what a camera sees.
MIN_OPACITY = 0.35
WEBP_QUALITY = 85
Y_UP_TO_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


@dataclass(frozen=True)
class Mesh:
    """Triangles with materials.

    Attributes:
        vertices: ``[V]`` of `VERTEX`.
        triangles: uint32 ``[T, 3]``.
        textures: uint8 RGBA ``[L, S, S, 4]``, with the first row at the top; ``S`` is `TEXTURE_SIZE_PX`.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    textures: np.ndarray


def mesh_from_obj(obj: bytes, *, read: Callable[[str], bytes], rotation: tuple[float, ...]) -> Mesh:
    """Turn a y-up OBJ file into a z-up mesh that fills the unit box.

    Args:
        obj: Its text.
        read: Returns the bytes of a material or texture file that it names; raises KeyError if there is none.
        rotation: Row-major 3x3 matrix to apply first.

    Raises:
        ValueError: If no opaque triangle is left.
    """
    scene = trimesh.load_scene(io.BytesIO(obj), file_type="obj", resolver=_Resolver(read), process=False)
    parts = [part for part in scene.geometry.values() if len(part.faces) and _opacity(part) >= MIN_OPACITY]
    if not parts:
        raise ValueError("the model has no opaque triangle")
    has_normals = b"\nvn " in obj
    upright = Y_UP_TO_Z_UP @ np.array(rotation).reshape(3, 3)
    positions = [part.vertices @ upright.T for part in parts]
    low = np.min([p.min(axis=0) for p in positions], axis=0)
    high = np.max([p.max(axis=0) for p in positions], axis=0)
    vertices, triangles, textures, first_vertex = [], [], [], 0
    for part, position in zip(parts, positions, strict=True):
        unit = (position - (low + high) / 2) / np.maximum((high - low) / 2, 1e-9)
        texture = _texture(part)
        if texture is not None:
            textures.append(texture)
        layer = NO_TEXTURE if texture is None else len(textures) - 1
        # Averaged over the faces they would make a box look like a pillow.
        normals = part.vertex_normals @ upright.T if has_normals else np.zeros_like(unit)
        vertices.append(_vertices(part, unit, normals, layer))
        triangles.append(part.faces.astype(np.uint32) + first_vertex)
        first_vertex += len(position)
    layers = np.array(textures, np.uint8).reshape(-1, *TEXTURE_SHAPE)
    return _compact(np.concatenate(vertices), np.concatenate(triangles), layers)


def quads(corners: np.ndarray, *, uv: np.ndarray, half_size: np.ndarray, layer: int, colour: np.ndarray, gloss: float) -> Mesh:
    """A mesh of rectangles, all of one material.

    Args:
        corners: float ``[N, 4, 3]``, counter-clockwise as seen from the front, within ``half_size`` of the origin.
        uv: float ``[N, 4, 2]``.
        half_size: ``[3]``, by which the positions are divided.
        layer: Texture of the renderer's surfaces.
        colour: ``[3]`` in 0..1, multiplied with the texture.
        gloss: 0..1.
    """
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    vertices = np.zeros(len(corners) * 4, VERTEX)
    vertices["position"] = np.rint(corners.reshape(-1, 3) / half_size * 32767)
    vertices["normal"][:, :3] = np.rint(np.repeat(normal, 4, axis=0) * 127)
    vertices["uv"] = uv.reshape(-1, 2)
    vertices["colour"][:, :3] = np.rint(np.clip(colour, 0, 1) * 255)
    vertices["layer"], vertices["gloss"] = layer, round(gloss * 255)
    triangles = np.array([0, 1, 2, 0, 2, 3], np.uint32) + 4 * np.arange(len(corners), dtype=np.uint32)[:, None]
    return Mesh(vertices, triangles.reshape(-1, 3), np.zeros((0, *TEXTURE_SHAPE), np.uint8))


def save_mesh(mesh: Mesh, path: Path) -> None:
    """Write a mesh; its textures lossily."""
    encoded = [
        cv2.imencode(".webp", cv2.cvtColor(texture, cv2.COLOR_RGBA2BGRA), [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])[1]
        for texture in mesh.textures
    ]
    textures = {f"texture{i}": data for i, data in enumerate(encoded)}
    with path.open("wb") as file:
        np.savez_compressed(file, vertices=mesh.vertices, triangles=mesh.triangles, **textures)


def load_mesh(path: Path) -> Mesh:
    """Read what `save_mesh` wrote."""
    with np.load(path) as arrays:
        textures = [
            cv2.cvtColor(cv2.imdecode(arrays[f"texture{i}"], cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)
            for i in range(len(arrays.files) - 2)
        ]
        return Mesh(arrays["vertices"], arrays["triangles"], np.array(textures, np.uint8).reshape(-1, *TEXTURE_SHAPE))


class _Resolver(trimesh.resolvers.Resolver):
    """Where trimesh finds the files that an OBJ file names."""

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self._read = read

    def get(self, name: str) -> bytes:
        return self._read(name)

    def keys(self) -> list[str]:
        return []

    def namespaced(self, namespace: str) -> _Resolver:
        return self

    def write(self, name: str, data: bytes) -> None:
        raise NotImplementedError("read only")


def _material(part: trimesh.Trimesh):
    return getattr(part.visual, "material", None)


def _opacity(part: trimesh.Trimesh) -> float:
    material = _material(part)
    return 1.0 if material is None else float(material.kwargs.get("d", ["1"])[0])


def _texture(part: trimesh.Trimesh) -> np.ndarray | None:
    """uint8 RGBA ``[S, S, 4]``, or None."""
    image = getattr(_material(part), "image", None)
    if image is None or getattr(part.visual, "uv", None) is None:
        return None
    return np.array(image.convert("RGBA").resize((TEXTURE_SIZE_PX, TEXTURE_SIZE_PX)))


def _compact(vertices: np.ndarray, triangles: np.ndarray, textures: np.ndarray) -> Mesh:
    """Keep one of equal vertices, and only those that a triangle uses."""
    corners, indices = np.unique(vertices[triangles.reshape(-1)], return_inverse=True)
    return Mesh(corners, indices.reshape(-1, 3).astype(np.uint32), textures)


def _vertices(part: trimesh.Trimesh, unit: np.ndarray, normals: np.ndarray, layer: int) -> np.ndarray:
    vertices = np.zeros(len(unit), VERTEX)
    vertices["position"] = np.rint(unit * 32767)
    vertices["normal"][:, :3] = np.rint(normals * 127)
    vertices["layer"] = layer
    vertices["colour"] = (190, 190, 190, 255)
    material = _material(part)
    if material is not None:
        vertices["colour"] = material.diffuse
        vertices["gloss"] = np.max(material.specular[:3])
    if layer != NO_TEXTURE:
        # A texture stands for itself: dark diffuse colours under one are leftovers of the program that wrote the file.
        vertices["colour"] = np.maximum(vertices["colour"], 150)
        # Half precision is plenty, and packs twice as tightly.
        vertices["uv"] = np.nan_to_num(part.visual.uv).astype(np.float16)
    return vertices
