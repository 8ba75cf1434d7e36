"""Draws scenes: colour, and the exact instance, depth and optical flow of each pixel."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import cv2
import moderngl
import numpy as np

from mpvss_model.data.rooms.camera import CameraPose, Lens
from mpvss_model.data.rooms.mesh import TEXTURE_SIZE_PX, VERTEX, Mesh
from mpvss_model.data.rooms.scene import Placed, RoomLight, Scene
from mpvss_model.errors import DataError
from mpvss_model.semantics import UNLABELED

__all__ = ["Moment", "RenderedFrame", "Renderer"]

SUPERSAMPLING = 2
SHADOW_SIZE_PX = 1024
SHADOW_FOV = 2.6
MAX_LAMPS = 4
MESHES_ON_GPU = 250
MILLIMETRES_PER_M = 1000
ATTRIBUTES = "3i2 1u1 1f1 4i1 2f4 4f1"
NAMES = ("position", "layer", "gloss", "normal", "uv", "colour")
GLSL = "#version 330\n"

VERTEX_SHADER = """
in ivec3 position; in uint layer; in float gloss; in ivec4 normal; in vec2 uv; in vec4 colour;
uniform mat4 pose, next_pose, view, next_view, light_view; uniform vec3 half_size;
out vec3 at, facing, paint; out vec2 texel; out vec4 now, next, in_light; out float shine; flat out uint texture_layer;
void main() {
    vec4 local = vec4(vec3(position) / 32767. * half_size + vec3(0, 0, half_size.z), 1);
    vec4 world = pose * local;
    at = world.xyz; facing = mat3(pose) * vec3(normal.xyz); paint = colour.rgb;
    texel = uv; shine = gloss; texture_layer = layer;
    now = view * world; next = next_view * next_pose * local; in_light = light_view * world;
    gl_Position = now;
}"""

# Lambert and Blinn lamps of the room, of which the first throws soft shadows, and ambient light that corners get less of.
COLOUR_SHADER = """
in vec3 at, facing, paint; in vec2 texel; in vec4 in_light; in float shine; flat in uint texture_layer;
uniform sampler2DArray textures; uniform sampler2DShadow shadow; uniform vec3 tint, eye, ambient, room_low, room_high;
uniform vec3 lamp[4], lamp_colour[4]; uniform int lamps; uniform float emission;
out vec4 result;
float lit() {
    vec3 s = in_light.xyz / in_light.w * .5 + .5;
    if (in_light.w <= 0. || any(lessThan(s.xy, vec2(0))) || any(greaterThan(s.xy, vec2(1)))) return .6;
    float sum = 0.;
    for (int i = -1; i < 2; i++)
        for (int j = -1; j < 2; j++) sum += texture(shadow, vec3(s.xy + vec2(i, j) * 1.5 / 1024., s.z - .0015));
    return sum / 9.;
}
void main() {
    vec4 texture_colour = texture_layer == 255u ? vec4(1) : texture(textures, vec3(texel, float(texture_layer)));
    if (texture_colour.a < .4) discard;
    vec3 albedo = pow(clamp(texture_colour.rgb * paint * tint, 0., 1.), vec3(2.2));
    vec3 to_eye = normalize(eye - at);
    vec3 n = normalize(dot(facing, facing) > .01 ? facing : cross(dFdx(at), dFdy(at)));
    if (dot(n, to_eye) < 0.) n = -n;
    vec3 inside = min(at - room_low, room_high - at);
    float open = mix(.7, 1., smoothstep(0., .6, inside.x)) * mix(.7, 1., smoothstep(0., .6, inside.y));
    open *= mix(.55, 1., smoothstep(0., .5, at.z)) * mix(.75, 1., smoothstep(0., .5, room_high.z - at.z));
    vec3 sum = albedo * ambient * open * (.75 + .25 * n.z);
    float unshadowed = lit();
    for (int i = 0; i < lamps; i++) {
        vec3 way = lamp[i] - at;
        float distance2 = dot(way, way);
        way *= inversesqrt(distance2);
        float strength = (i == 0 ? unshadowed : .6 + .4 * unshadowed) / (1. + distance2 * .35);
        sum += albedo * lamp_colour[i] * max(dot(n, way), 0.) * strength;
        sum += lamp_colour[i] * shine * .4 * pow(max(dot(n, normalize(way + to_eye)), 0.), 40.) * strength;
    }
    sum += albedo * emission;
    sum = sum * (2.51 * sum + .03) / (sum * (2.43 * sum + .59) + .14);  // filmic tone curve
    result = vec4(pow(clamp(sum, 0., 1.), vec3(1 / 2.2)), 1);
}"""

GEOMETRY_SHADER = """
in vec2 texel; in vec4 now, next; flat in uint texture_layer;
uniform sampler2DArray textures; uniform float instance; uniform vec2 size;
out vec4 result;
void main() {
    if (texture_layer != 255u && texture(textures, vec3(texel, float(texture_layer))).a < .4) discard;
    vec2 flow = (next.xy / next.w - now.xy / now.w) * .5 * size * vec2(1, -1);
    result = vec4(instance, next.w > .01 ? flow : vec2(1e4), now.w);
}"""

SHADOW_VERTEX_SHADER = """
in ivec3 position; uniform mat4 pose, light_view; uniform vec3 half_size;
void main() { gl_Position = light_view * pose * vec4(vec3(position) / 32767. * half_size + vec3(0, 0, half_size.z), 1); }"""


@dataclass(frozen=True)
class Moment:
    """Where everything is when a frame is taken: the camera, and each thing's pose ``[4, 4]``."""

    camera: CameraPose
    poses: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, scene: Scene, camera: CameraPose) -> Moment:
        """The present one of a scene."""
        return cls(camera, tuple(_pose(thing) for thing in scene.placed))


@dataclass(frozen=True)
class RenderedFrame:
    """One frame with exact ground truth.

    Attributes:
        image: uint8 RGB ``[H, W, 3]``, before the camera's own flaws.
        labels: uint8 ``[H, W]``, class indices; 255 where nothing is.
        instances: uint16 ``[H, W]``, 1 + index of ``Scene.placed``; 0 where nothing is.
        depth_m: float32 ``[H, W]``, along the optical axis.
        flow_px: float32 ``[H, W, 2]``, to where each pixel's surface is in the next frame, in pixels right and down.
        camera: Where the camera was.
    """

    image: np.ndarray
    labels: np.ndarray
    instances: np.ndarray
    depth_m: np.ndarray
    flow_px: np.ndarray
    camera: CameraPose

    @property
    def depth_mm(self) -> np.ndarray:
        """uint16 ``[H, W]``, as depth cameras give it: whole millimetres along the optical axis, 0 where nothing is."""
        return np.rint(self.depth_m * MILLIMETRES_PER_M).astype(np.uint16)


class Renderer:
    """Draws on the GPU, or with Mesa in software where there is none. Needs no display.

    Args:
        width: Of the frames, in pixels.
        height: Likewise.

    Raises:
        DataError: If there is no OpenGL through EGL.
    """

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        try:
            self._context = moderngl.create_context(standalone=True, backend="egl")
        except Exception as error:  # glcontext raises bare exceptions
            raise DataError(
                f"no OpenGL through EGL ({error}): install Debian's packages libegl1 and libgl1-mesa-dri "
                "(apt install libegl1 libgl1-mesa-dri), or a GPU driver with EGL"
            ) from error
        context = self._context
        context.enable(moderngl.DEPTH_TEST)
        self._colour_program = context.program(GLSL + VERTEX_SHADER, GLSL + COLOUR_SHADER)
        self._geometry_program = context.program(GLSL + VERTEX_SHADER, GLSL + GEOMETRY_SHADER)
        self._shadow_program = context.program(GLSL + SHADOW_VERTEX_SHADER, GLSL + "void main() {}")
        large = (width * SUPERSAMPLING, height * SUPERSAMPLING)
        self._colour_target = context.framebuffer([context.texture(large, 3)], context.depth_renderbuffer(large))
        size = (width, height)
        self._geometry_target = context.framebuffer([context.texture(size, 4, dtype="f4")], context.depth_renderbuffer(size))
        self._shadow_map = context.depth_texture((SHADOW_SIZE_PX, SHADOW_SIZE_PX))
        self._shadow_map.compare_func = "<="
        self._shadow_map.repeat_x = self._shadow_map.repeat_y = False
        self._shadow_target = context.framebuffer(depth_attachment=self._shadow_map)
        self._white = _texture_array(context, np.full((1, TEXTURE_SIZE_PX, TEXTURE_SIZE_PX, 4), 255, np.uint8))
        self._on_gpu: OrderedDict[int, _OnGpu] = OrderedDict()
        self._surfaces: tuple[Scene | None, moderngl.TextureArray] = (None, self._white)

    def render(self, scene: Scene, now: Moment, following: Moment, lens: Lens) -> RenderedFrame:
        """Draw a scene as it is ``now``, with the flow to the ``following`` moment."""
        projection = lens.projection(self._width, self._height)
        view = projection @ now.camera.world_to_camera()
        next_view = projection @ following.camera.world_to_camera()
        self._use_surfaces(scene)
        image = self._draw_colour(scene, now, view)
        geometry = self._draw_geometry(scene, now, following, view, next_view)
        instances = np.rint(geometry[..., 0]).astype(np.uint16)
        class_index_of = np.array([UNLABELED] + [thing.class_index for thing in scene.placed], np.uint8)
        return RenderedFrame(
            image=image,
            labels=class_index_of[instances],
            instances=instances,
            depth_m=geometry[..., 3].copy(),
            flow_px=geometry[..., 1:3].copy(),
            camera=now.camera,
        )

    def _draw_colour(self, scene: Scene, now: Moment, view: np.ndarray) -> np.ndarray:
        program = self._colour_program
        self._colour_target.use()
        self._colour_target.clear()
        _set(program, view=view, eye=now.camera.position)
        for room, lights in enumerate(scene.lights):
            members = [i for i, thing in enumerate(scene.placed) if thing.room == room]
            light_view = self._draw_shadows(scene, now, members, lights)
            self._colour_target.use()
            self._shadow_map.use(1)
            _set(program, light_view=light_view, ambient=lights.ambient, lamps=len(lights.lamps), textures=0, shadow=1)
            lamps = list(lights.lamps) + [lights.lamps[0]] * (MAX_LAMPS - len(lights.lamps))
            _set(program, lamp=[lamp.position for lamp in lamps], lamp_colour=[lamp.colour for lamp in lamps])
            box = scene.plan.rooms[room]
            _set(program, room_low=(box.x0, box.y0, 0.0), room_high=(box.x1, box.y1, scene.plan.height_m))
            for i in members:
                thing = scene.placed[i]
                _set(program, pose=now.poses[i], half_size=thing.size_m / 2, tint=thing.tint, emission=thing.emission)
                self._draw(thing, "colour")
        pixels = np.frombuffer(self._colour_target.read(components=3), np.uint8)
        large = pixels.reshape(self._height * SUPERSAMPLING, self._width * SUPERSAMPLING, 3)[::-1]
        return cv2.resize(large, (self._width, self._height), interpolation=cv2.INTER_AREA)

    def _draw_shadows(self, scene: Scene, now: Moment, members: list[int], lights: RoomLight) -> np.ndarray:
        """Fill the shadow map of a room's first lamp; returns the lamp's view ``[4, 4]``."""
        lamp = lights.lamps[0].position
        down = CameraPose(lamp, 0.0, -np.pi / 2 + 1e-3, 0.0)
        light_view = Lens(SHADOW_FOV).projection(1, 1) @ down.world_to_camera()
        self._shadow_target.use()
        self._shadow_target.clear()
        _set(self._shadow_program, light_view=light_view)
        for i in members:
            thing = scene.placed[i]
            _set(self._shadow_program, pose=now.poses[i], half_size=thing.size_m / 2)
            self._draw(thing, "shadow")
        return light_view

    def _draw_geometry(self, scene: Scene, now: Moment, following: Moment, view, next_view) -> np.ndarray:
        """float32 ``[H, W, 4]``: instance, flow right and down, depth."""
        program = self._geometry_program
        self._geometry_target.use()
        self._geometry_target.clear()
        _set(program, view=view, next_view=next_view, size=(self._width, self._height), textures=0)
        for i, thing in enumerate(scene.placed):
            poses = {"pose": now.poses[i], "next_pose": following.poses[i]}
            _set(program, half_size=thing.size_m / 2, instance=float(i + 1), **poses)
            self._draw(thing, "geometry")
        values = np.frombuffer(self._geometry_target.read(components=4, dtype="f4"), np.float32)
        return values.reshape(self._height, self._width, 4)[::-1]

    def _draw(self, thing: Placed, purpose: str) -> None:
        mesh = thing.mesh()
        key = id(mesh)
        if key not in self._on_gpu:
            self._on_gpu[key] = _OnGpu(self._context, mesh, self._colour_program, self._geometry_program, self._shadow_program)
        self._on_gpu.move_to_end(key)
        uploaded = self._on_gpu[key]
        (uploaded.textures or self._surfaces[1]).use(0)
        uploaded.arrays[purpose].render()

    def _use_surfaces(self, scene: Scene) -> None:
        """Upload the scene's own textures, and make room on the GPU, when another scene begins."""
        if scene is self._surfaces[0]:
            return
        if self._surfaces[1] is not self._white:
            self._surfaces[1].release()
        self._surfaces = (scene, _texture_array(self._context, scene.textures))
        while len(self._on_gpu) > MESHES_ON_GPU:
            self._on_gpu.popitem(last=False)[1].release()


class _OnGpu:
    """A mesh in the GPU's memory. Holds the mesh itself too, so that its identity is not given to another one."""

    def __init__(self, context: moderngl.Context, mesh: Mesh, colour, geometry, shadow) -> None:
        self.mesh = mesh
        self._vertices = context.buffer(mesh.vertices.tobytes())
        self._triangles = context.buffer(mesh.triangles.tobytes())
        self.textures = _texture_array(context, mesh.textures) if len(mesh.textures) else None
        self.arrays = {
            "colour": self._array(context, colour, NAMES),
            "geometry": self._array(context, geometry, ("position", "layer", "uv")),
            "shadow": self._array(context, shadow, ("position",)),
        }

    def _array(self, context: moderngl.Context, program: moderngl.Program, names) -> moderngl.VertexArray:
        parts = [part if name in names else _padding(name) for name, part in zip(NAMES, ATTRIBUTES.split(), strict=True)]
        used = [name for name in NAMES if name in names]
        return context.vertex_array(program, [(self._vertices, " ".join(parts), *used)], self._triangles)

    def release(self) -> None:
        for item in (*self.arrays.values(), self._vertices, self._triangles, *([self.textures] if self.textures else [])):
            item.release()


def _padding(name: str) -> str:
    dtype = VERTEX.fields[name][0]
    return f"{dtype.itemsize}x1"


def _texture_array(context: moderngl.Context, layers: np.ndarray) -> moderngl.TextureArray:
    # OpenGL's first row is the lowest.
    texture = context.texture_array((TEXTURE_SIZE_PX, TEXTURE_SIZE_PX, len(layers)), 4, np.ascontiguousarray(layers[:, ::-1]))
    texture.build_mipmaps()
    texture.filter = (moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR)
    return texture


def _set(program: moderngl.Program, **uniforms) -> None:
    for name, value in uniforms.items():
        member = program.get(name, None)
        if member is None:  # the compiler removes those that do not matter
            continue
        array = np.asarray(value)
        if array.ndim == 0:
            member.value = array.item()
        else:
            # Matrices are stored by columns.
            member.write(np.ascontiguousarray(array.T if array.shape == (4, 4) else array, np.float32).tobytes())


def _pose(thing: Placed) -> np.ndarray:
    cos, sin = np.cos(thing.yaw), np.sin(thing.yaw)
    pose = np.eye(4)
    pose[:2, :2] = (cos, -sin), (sin, cos)
    pose[:3, 3] = thing.position
    return pose
