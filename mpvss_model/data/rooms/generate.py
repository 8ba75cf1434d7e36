"""Renders sets of clips, on several processes, and goes on where an interrupted run was."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from mpvss_model.data.rooms.camera import Lens, Roads, RobotCamera
from mpvss_model.data.rooms.catalogue import CLASS_NAMES
from mpvss_model.data.rooms.config import SPLITS, RoomsConfig
from mpvss_model.data.rooms.furniture_library import FurnitureLibrary
from mpvss_model.data.rooms.renderer import Moment, RenderedFrame, Renderer
from mpvss_model.data.rooms.scene import Scene, draw_scene
from mpvss_model.data.rooms.sensor import Sensor, draw_sensor
from mpvss_model.errors import DataError
from mpvss_model.text_files import read_text

__all__ = ["RenderedClip", "RoomsGenerator", "WriteClip", "generate", "write_folder_clip"]

VIEW_TRIES = 4
MIN_CLASSES = 4
MIN_MEDIAN_DEPTH_M = 0.9


@dataclass(frozen=True)
class RenderedClip:
    """What one camera saw.

    Attributes:
        name: Unique in its split.
        frames: ``image`` is as the sensor took it.
        jpeg_quality: Of the camera.
        rate_hz: Frames per second of the clip.
        lens: Of the camera.
    """

    name: str
    frames: tuple[RenderedFrame, ...]
    jpeg_quality: int
    rate_hz: float
    lens: Lens

    def jpeg(self, frame: RenderedFrame) -> bytes:
        """A frame as the camera sends it."""
        bgr = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
        return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, self.jpeg_quality])[1].tobytes()


WriteClip = Callable[[RenderedClip, Path, RoomsConfig], None]


class RoomsGenerator:
    """Renders the clips of apartments, in any order.

    Args:
        config: What to render.
        library: Furniture.

    Raises:
        DataError: If there is no OpenGL through EGL.
    """

    def __init__(self, config: RoomsConfig, library: FurnitureLibrary) -> None:
        self._config = config
        self._library = library
        held_out = config.split == "test-b"
        self._furniture = [item for item in library.furniture if item.held_out == held_out]
        self._renderer = Renderer(config.width, config.height)

    def clips(self, apartment: int) -> Iterator[RenderedClip]:
        """The clips of one apartment, by its index."""
        config = self._config
        rng = np.random.default_rng([SPLITS.index(config.split), config.seed, apartment])
        scene = draw_scene(rng, furniture=self._furniture, mesh=self._library.mesh, rate_hz=config.rate_hz)
        roads = Roads(scene, rng)
        for name in clip_names(config, apartment):
            camera, sensor = self._interesting_view(scene, roads, rng), draw_sensor(rng)
            stride = int(rng.integers(1, config.max_stride + 1))
            frames = tuple(self._frames(scene, camera, sensor, stride, rng))
            yield RenderedClip(name, frames, sensor.jpeg_quality, config.rate_hz / stride, camera.lens)

    def _interesting_view(self, scene: Scene, roads: Roads, rng: np.random.Generator) -> RobotCamera:
        """A camera that does not start with its lens against a wardrobe."""
        for _ in range(VIEW_TRIES):
            camera = RobotCamera(scene=scene, roads=roads, rng=rng, rate_hz=self._config.rate_hz)
            now = Moment.of(scene, camera.pose())
            frame = self._renderer.render(scene, now, now, camera.lens)
            if len(np.unique(frame.labels)) >= MIN_CLASSES and np.median(frame.depth_m) >= MIN_MEDIAN_DEPTH_M:
                break
        return camera

    def _frames(
        self, scene: Scene, camera: RobotCamera, sensor: Sensor, stride: int, rng: np.random.Generator
    ) -> Iterator[RenderedFrame]:
        now = Moment.of(scene, camera.pose())
        for _ in range(self._config.frames):
            moments = [now]
            for _ in range(stride):
                scene.move(rng, camera.position)
                moments.append(Moment.of(scene, camera.pose()))
            ideal = self._renderer.render(scene, now, moments[1], camera.lens)
            image = sensor.take(ideal.image, ideal.flow_px, rng)
            yield replace(ideal, image=image)
            now = moments[-1]


def generate(
    config: RoomsConfig,
    *,
    furniture: Path,
    out: Path,
    write_clip: WriteClip,
    workers: int = 1,
    on_progress: Callable[[int], None] | None = None,
) -> None:
    """Render all clips that ``out`` lacks. Those of several seeds can be in one folder.

    Args:
        config: What to render.
        furniture: A prepared library.
        out: Folder with a folder for each clip; each is written whole or not at all.
        write_clip: Writes one to a path that does not exist; must be importable by its name.
        workers: Processes.
        on_progress: Called with the number of apartments done.

    Raises:
        DataError: If ``out`` holds clips of other settings, or something is missing that rendering needs.
    """
    out.mkdir(parents=True, exist_ok=True)
    _check_same_settings(config, out)
    todo = [a for a in range(config.apartments) if not all((out / name).exists() for name in clip_names(config, a))]
    already_done = config.apartments - len(todo)
    if on_progress is not None:
        on_progress(already_done)
    # Mesa's software renderer would take all cores in each process.
    os.environ.setdefault("LP_NUM_THREADS", "1")
    settings = (config, furniture, out, write_clip)
    here = _Worker(*settings)  # what is missing on this machine shows here, and not in another process
    rendered = map(here.render, todo) if workers == 1 else _rendered_elsewhere(workers, settings, todo)
    for done, _ in enumerate(rendered, start=already_done + 1):
        if on_progress is not None:
            on_progress(done)
    names = [name for apartment in range(config.apartments) for name in clip_names(config, apartment)]
    (out / "classes.txt").write_text("\n".join(CLASS_NAMES) + "\n", encoding="utf-8")
    clip_list = out / f"{config.split}.txt"
    names = _listed_of_other_seeds(clip_list, config) + names
    clip_list.write_text("\n".join(names) + "\n", encoding="utf-8")


def clip_names(config: RoomsConfig, apartment: int) -> list[str]:
    """Of the clips of one apartment."""
    return [f"{_series(config)}-{apartment:05d}-{view:02d}" for view in range(config.views)]


def _series(config: RoomsConfig) -> str:
    return f"{config.split}-{config.seed}"


def _listed_of_other_seeds(clip_list: Path, config: RoomsConfig) -> list[str]:
    listed = read_text(clip_list).split() if clip_list.exists() else []
    return [name for name in listed if not name.startswith(f"{_series(config)}-")]


def write_folder_clip(clip: RenderedClip, path: Path, config: RoomsConfig) -> None:
    """Write a clip in the folder layout, see `mpvss_model.data.folder`."""
    kinds = ("images", "labels") + ("instances", "depth", "flow") * config.ground_truth
    for kind in kinds:
        (path / kind).mkdir(parents=True)
    for number, frame in enumerate(clip.frames):
        stem = f"{number:04d}"
        (path / "images" / f"{stem}.jpg").write_bytes(clip.jpeg(frame))
        _write_png(path / "labels" / f"{stem}.png", frame.labels)
        if config.ground_truth:
            _write_png(path / "instances" / f"{stem}.png", frame.instances)
            _write_png(path / "depth" / f"{stem}.png", frame.depth_mm)
            np.savez_compressed(path / "flow" / f"{stem}.npz", flow_px=frame.flow_px)


def _write_png(path: Path, values: np.ndarray) -> None:
    path.write_bytes(cv2.imencode(".png", values)[1].tobytes())


def _check_same_settings(config: RoomsConfig, out: Path) -> None:
    """Settings are kept beside the clips; only the number of apartments may change from call to call."""
    path = out / f"{_series(config)}.settings"
    settings = "".join(f"{name}: {value}\n" for name, value in vars(config).items() if name != "apartments")
    if not path.exists():
        path.write_text(settings, encoding="utf-8")
    elif read_text(path) != settings:
        raise DataError(f"{out} holds clips of other settings, see {path.name}: choose an empty folder, or those settings")


class _Worker:
    """Renders apartments into a folder."""

    def __init__(self, config: RoomsConfig, furniture: Path, out: Path, write_clip: WriteClip) -> None:
        self._config, self._out, self._write_clip = config, out, write_clip
        self._generator = RoomsGenerator(config, FurnitureLibrary(furniture))

    def render(self, apartment: int) -> None:
        for clip in self._generator.clips(apartment):
            # A bag's files are called like its folder, so that the unfinished one has the final name, too.
            path, partial = self._out / clip.name, self._out / f".unfinished-{apartment}" / clip.name
            shutil.rmtree(partial.parent, ignore_errors=True)
            partial.parent.mkdir()
            self._write_clip(clip, partial, self._config)
            shutil.rmtree(path, ignore_errors=True)
            partial.rename(path)
            partial.parent.rmdir()


def _rendered_elsewhere(workers: int, settings: tuple, apartments: list[int]) -> Iterator[None]:
    """Renders in other processes; yields whenever one more apartment is done."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=settings) as pool:
        try:
            for future in as_completed([pool.submit(_render_in_worker, apartment) for apartment in apartments]):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_worker: _Worker | None = None  # of a process that `_rendered_elsewhere` started


def _start_worker(*settings) -> None:
    global _worker
    cv2.setNumThreads(1)
    _worker = _Worker(*settings)


def _render_in_worker(apartment: int) -> None:
    assert _worker is not None
    _worker.render(apartment)
