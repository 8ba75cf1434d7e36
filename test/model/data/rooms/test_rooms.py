"""The rooms generator, on furniture made of boxes."""

import zipfile
from itertools import pairwise

import cv2
import numpy as np
import pytest

from mpvss_model.data.folder import open_folder
from mpvss_model.data.rooms import RoomsConfig
from mpvss_model.data.rooms.camera import CameraPose, Lens, Roads, RobotCamera
from mpvss_model.data.rooms.catalogue import CLASS_NAMES, model_classes, read_archives
from mpvss_model.data.rooms.floor_grid import CELL_M, FloorGrid, footprint
from mpvss_model.data.rooms.floor_plan import MIN_SIDE_M, draw_floor_plan
from mpvss_model.data.rooms.furniture_library import FurnitureLibrary, prepare_library
from mpvss_model.data.rooms.generate import RoomsGenerator, generate, write_folder_clip
from mpvss_model.data.rooms.mesh import NO_TEXTURE, load_mesh, mesh_from_obj, save_mesh
from mpvss_model.data.rooms.renderer import Moment, Renderer
from mpvss_model.data.rooms.scene import draw_scene
from mpvss_model.data.rooms.sensor import Sensor
from mpvss_model.data.rooms.textures import TEXTURE_KINDS, draw_texture
from mpvss_model.errors import ConfigError, DataError
from mpvss_ros.bags.bag import GROUND_TRUTH_TOPIC, Bag
from mpvss_ros.bags.rooms_bag import TOPIC, write_bag_clip

SIZES_CM = {"person": (50, 40, 170), "window": (90, 20, 120), "door": (90, 20, 200), "bed": (140, 200, 50)}
SMALL_CM = (30, 30, 30)
BOX_FACES = ((1, 2, 3, 4), (5, 8, 7, 6), (1, 5, 6, 2), (2, 6, 7, 3), (3, 7, 8, 4), (5, 1, 4, 8))
BOX = (
    "mtllib box.mtl\nusemtl paint\n"
    + "".join(f"v {x} {y} {z}\n" for y in (0, 3) for x, z in ((0, 0), (2, 0), (2, 1), (0, 1)))
    + "".join(f"f {' '.join(map(str, face))}\n" for face in BOX_FACES)
)
PAINT = "newmtl paint\nKd 0.8 0.4 0.2\nd 1\nnewmtl glass\nKd 1 1 1\nd 0.1\n"
UPRIGHT = (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)
PER_CLASS = 5


def has_egl():
    try:
        Renderer(16, 16)
    except DataError:
        return False
    return True


needs_egl = pytest.mark.skipif(not has_egl(), reason="no OpenGL through EGL: apt install libegl1 libgl1-mesa-dri")


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """A library with five boxes of each class, under the names of real models."""
    folder = tmp_path_factory.mktemp("archives")
    lines, classes = [], model_classes()
    for class_name in CLASS_NAMES[3:]:
        ids = [model for model, name in classes.items() if name == class_name][:PER_CLASS]
        for number, model in enumerate(ids, start=len(lines) + 1):
            width, depth, height = SIZES_CM.get(class_name, SMALL_CM if number % 2 else (60, 60, 80))
            fields = {"id": model, "name": class_name, "category": "Test", "model": "/boxes/box.obj"}
            fields |= {"width": width, "depth": depth, "height": height}
            lines.append("".join(f"{key}#{number}={value}\n" for key, value in fields.items()))
    with zipfile.ZipFile(folder / "Test.sh3f", "w") as file:
        file.writestr("PluginFurnitureCatalog.properties", "".join(lines).encode("latin-1"))
        file.writestr("boxes/box.obj", BOX)
        file.writestr("boxes/box.mtl", PAINT)
    return folder


@pytest.fixture(scope="module")
def furniture(archives, tmp_path_factory):
    folder = tmp_path_factory.mktemp("furniture")
    prepare_library(archives, folder)
    return folder


@pytest.fixture
def scene(furniture):
    library = FurnitureLibrary(furniture)
    return draw_scene(np.random.default_rng(5), furniture=list(library.furniture), mesh=library.mesh, rate_hz=15.0)


# -- the catalogue and its meshes ------------------------------------------------------------------------------------


def test_the_class_table_gives_each_of_the_820_models_a_class():
    classes = model_classes()
    assert len(classes) == 820
    assert set(classes.values()) == set(CLASS_NAMES[3:])


def test_every_fifth_model_of_each_class_is_held_out(archives):
    items = read_archives(archives)
    for class_name in CLASS_NAMES[3:]:
        assert [item.held_out for item in items if item.class_name == class_name] == [False] * 4 + [True]


def test_missing_libraries_are_reported_with_the_package_to_install(tmp_path):
    with pytest.raises(DataError, match="apt install sweethome3d-furniture"):
        prepare_library(tmp_path, tmp_path / "out")


def test_a_file_that_is_no_library_is_reported_by_name(tmp_path):
    (tmp_path / "Broken.sh3f").write_text("no archive")
    with pytest.raises(DataError, match=r"Broken\.sh3f is no furniture library"):
        read_archives(tmp_path)


def test_an_interrupted_preparation_goes_on_where_it_was(archives, furniture, tmp_path):
    done = next(furniture.glob("*.npz"))
    kept = tmp_path / done.name
    kept.write_bytes(done.read_bytes())
    prepare_library(archives, tmp_path)
    assert kept.stat().st_mtime < (tmp_path / "catalogue.json").stat().st_mtime
    assert FurnitureLibrary(tmp_path).furniture == FurnitureLibrary(furniture).furniture


def read_material(name):
    assert name == "box.mtl"
    return PAINT.encode()


def test_a_mesh_fills_the_unit_box_upright():
    mesh = mesh_from_obj(BOX.encode(), read=read_material, rotation=UPRIGHT)
    assert mesh.vertices["position"].min(axis=0).tolist() == [-32767] * 3
    assert mesh.vertices["position"].max(axis=0).tolist() == [32767] * 3
    assert not mesh.vertices["normal"].any()
    assert (mesh.vertices["layer"] == NO_TEXTURE).all()
    np.testing.assert_allclose(mesh.vertices["colour"][0, :3], [204, 102, 51], atol=1)


def test_glass_is_left_out():
    glass_front = BOX.replace("f 3 7 8 4", "usemtl glass\nf 3 7 8 4\nusemtl paint")
    whole = mesh_from_obj(BOX.encode(), read=read_material, rotation=UPRIGHT)
    assert len(mesh_from_obj(glass_front.encode(), read=read_material, rotation=UPRIGHT).triangles) == len(whole.triangles) - 2
    with pytest.raises(ValueError, match="no opaque triangle"):
        mesh_from_obj(BOX.replace("usemtl paint", "usemtl glass").encode(), read=read_material, rotation=UPRIGHT)


def test_a_textured_mesh_survives_its_file(tmp_path):
    image = cv2.imencode(".png", np.full((8, 8, 3), (20, 120, 220), np.uint8))[1].tobytes()
    files = {"box.mtl": (PAINT + "newmtl cloth\nmap_Kd cloth.png\n").encode(), "cloth.png": image}
    uv = "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
    textured = BOX.replace("f 3 7 8 4", uv + "usemtl cloth\nf 3/1 7/2 8/3 4/4\nusemtl paint")
    mesh = mesh_from_obj(textured.encode(), read=files.__getitem__, rotation=UPRIGHT)
    assert mesh.textures.shape == (1, 256, 256, 4)
    np.testing.assert_allclose(mesh.textures[0, 0, 0], [220, 120, 20, 255], atol=2)
    assert set(mesh.vertices["layer"]) == {0, NO_TEXTURE}
    save_mesh(mesh, tmp_path / "box.npz")
    loaded = load_mesh(tmp_path / "box.npz")
    np.testing.assert_array_equal(loaded.vertices, mesh.vertices)
    np.testing.assert_array_equal(loaded.triangles, mesh.triangles)
    assert np.abs(loaded.textures.astype(int) - mesh.textures).max() < 8


# -- apartments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_one_can_walk_from_each_room_to_each_other(seed):
    plan = draw_floor_plan(np.random.default_rng(seed))
    assert len(plan.rooms) >= 1
    assert all(room.size_m.min() >= MIN_SIDE_M - 1e-9 for room in plan.rooms)
    _, regions = cv2.connectedComponents(free_cells(plan))
    centres = [regions[cell_of(plan, room.centre)] for room in plan.rooms]
    assert len(set(centres)) == 1 and centres[0] > 0


def free_cells(plan):
    grid = FloorGrid(plan)
    half = plan.half_size_m[0]
    axis = np.arange(-half + CELL_M / 2, half - CELL_M, CELL_M)
    x, y = np.meshgrid(axis, axis)
    return (grid.clearance_m(np.stack([x, y], axis=-1)) > 0).astype(np.uint8)


def cell_of(plan, point):
    column, row = ((point + plan.half_size_m[0]) / CELL_M).astype(int)
    return row, column


def test_the_grid_knows_what_is_free():
    plan = draw_floor_plan(np.random.default_rng(1))
    grid, room = FloorGrid(plan), plan.rooms[0]
    table = footprint(room.centre, np.array([1.0, 0.6]), 0.4)
    assert grid.fits(table)
    grid.occupy(table)
    assert not grid.fits(table)
    assert grid.clearance_m(room.centre) == 0.0
    assert not grid.fits(table + 100.0)
    wall = np.array([room.x0, room.centre[1]])
    assert grid.line_clearance_m(wall[None], room.centre[None]).item() == 0.0


@pytest.mark.parametrize("kind", TEXTURE_KINDS)
def test_textures_are_images_that_differ(kind):
    rng = np.random.default_rng(0)
    textures = [draw_texture(kind, rng) for _ in range(8)]
    assert {(t.shape, t.dtype) for t in textures} == {((256, 256, 4), np.dtype(np.uint8))}
    assert len({t.tobytes() for t in textures}) == 8


def test_the_same_seed_furnishes_the_same_apartment(furniture):
    library = FurnitureLibrary(furniture)

    def things(seed):
        rng = np.random.default_rng(seed)
        scene = draw_scene(rng, furniture=list(library.furniture), mesh=library.mesh, rate_hz=15.0)
        return [(t.class_index, t.position.tolist(), t.yaw) for t in scene.placed]

    assert things(3) == things(3) != things(4)


def test_the_camera_drives_smoothly_and_keeps_off_walls_and_furniture(scene):
    rng = np.random.default_rng(2)
    roads = Roads(scene, rng)
    for _ in range(5):
        camera = RobotCamera(scene=scene, roads=roads, rng=rng, rate_hz=15.0)
        poses = []
        for _ in range(120):
            poses.append(camera.pose())
            scene.move(rng, camera.position)
        steps_m = [np.linalg.norm(b.position[:2] - a.position[:2]) for a, b in pairwise(poses)]
        assert max(steps_m) <= 0.9 / 15 + 1e-9
        assert max(abs(b.yaw - a.yaw) for a, b in pairwise(poses)) < 0.11
        assert min(scene.grid.clearance_m(pose.position[:2]) for pose in poses) > 0.1
    assert all(scene.grid.clearance_m(mover.position[:2]) > 0 for mover in scene.movers)


def test_a_pose_and_a_lens_project_what_is_ahead_to_the_middle():
    pose = CameraPose(np.array([1.0, 2.0, 0.5]), yaw=0.7, pitch=-0.2, roll=0.0)
    ahead = pose.position + 3 * np.array([np.cos(0.7) * np.cos(-0.2), np.sin(0.7) * np.cos(-0.2), np.sin(-0.2)])
    above = np.append(ahead + (0, 0, 0.1), 1.0)
    x, y, _, depth = Lens(1.0).projection(320, 240) @ pose.world_to_camera() @ np.append(ahead, 1.0)
    assert np.allclose([x, y, depth], [0.0, 0.0, 3.0])
    assert (Lens(1.0).projection(320, 240) @ pose.world_to_camera() @ above)[1] > 0


# -- rendering -------------------------------------------------------------------------------------------------------


@needs_egl
def test_flow_leads_to_the_same_surface_in_the_next_frame(scene):
    rng = np.random.default_rng(8)
    camera = RobotCamera(scene=scene, roads=Roads(scene, rng), rng=rng, rate_hz=15.0)
    moments = []
    for _ in range(3):
        moments.append(Moment.of(scene, camera.pose()))
        scene.move(rng, camera.position)
    renderer = Renderer(160, 120)
    now = renderer.render(scene, moments[0], moments[1], camera.lens)
    following = renderer.render(scene, moments[1], moments[2], camera.lens)
    y, x = np.mgrid[:120, :160].astype(np.float32)
    target = np.stack([x, y], axis=-1) + now.flow_px
    found = cv2.remap(following.instances, target, None, cv2.INTER_NEAREST, borderValue=0)
    inside = found > 0
    assert inside.mean() > 0.5
    assert (found == now.instances)[inside].mean() > 0.95
    class_index_of = np.array([255] + [thing.class_index for thing in scene.placed])
    np.testing.assert_array_equal(now.labels, class_index_of[now.instances])
    assert now.depth_m.min() >= 0.05 and now.depth_m.max() < 20.0


def test_a_sensor_without_flaws_changes_nothing_and_flaws_do():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (60, 80, 3), np.uint8)
    flow_px = np.full((60, 80, 2), (6.0, 0.0), np.float32)
    ideal = {"gain": np.ones(3), "gamma": 1.0, "shutter": 0.0, "noise": 0.0, "vignette": 0.0, "jpeg_quality": 90}
    np.testing.assert_array_equal(Sensor(**ideal).take(image, flow_px, rng), image)
    blurred = Sensor(**ideal | {"shutter": 1.0}).take(image, flow_px, rng)
    assert np.diff(blurred.astype(float), axis=1).std() < 0.6 * np.diff(image.astype(float), axis=1).std()
    assert Sensor(**ideal | {"gain": np.full(3, 0.5)}).take(image, flow_px, rng).mean() < 0.6 * image.mean()


@needs_egl
@pytest.mark.parametrize(("split", "held_out"), [("train", False), ("test-a", False), ("test-b", True)])
def test_only_test_b_shows_what_is_held_out(furniture, split, held_out):
    library = FurnitureLibrary(furniture)
    generator = RoomsGenerator(RoomsConfig(split=split), library)
    assert {item.held_out for item in generator._furniture} == {held_out}


@needs_egl
def test_a_set_of_clips_is_the_same_on_one_process_and_on_two_and_can_be_continued(furniture, tmp_path):
    def rendered(folder, apartments, workers):
        config = RoomsConfig(split="val", apartments=apartments, views=1, frames=2, width=64, height=48, ground_truth=True)
        generate(config, furniture=furniture, out=folder, write_clip=write_folder_clip, workers=workers)
        return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

    first = rendered(tmp_path / "one", 1, 1)
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "one").rglob("*.jpg")}
    assert rendered(tmp_path / "one", 2, 1) == rendered(tmp_path / "two", 2, 2)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert len(first) == 2 * 5 + 3
    clips = open_folder(tmp_path / "one", "val")
    assert clips.class_names == CLASS_NAMES
    frame = clips.clips[0].frames[1]
    assert frame.read_image().shape == (48, 64, 3) and frame.read_label().max() < len(CLASS_NAMES)
    with pytest.raises(DataError, match=r"val-0\.settings: choose an empty folder"):
        generate(RoomsConfig(split="val", views=2), furniture=furniture, out=tmp_path / "one", write_clip=write_folder_clip)


@needs_egl
def test_a_folder_lists_the_clips_of_all_its_seeds(furniture, tmp_path):
    for seed in (11, 1, 11):
        config = RoomsConfig(split="val", seed=seed, apartments=1, views=1, frames=1, width=64, height=48)
        generate(config, furniture=furniture, out=tmp_path, write_clip=write_folder_clip)
    assert {clip.name for clip in open_folder(tmp_path, "val").clips} == {"val-11-00000-00", "val-1-00000-00"}
    assert len((tmp_path / "val.txt").read_text().split()) == 2


@needs_egl
def test_clips_can_be_written_as_bags_with_ground_truth(furniture, tmp_path):
    config = RoomsConfig(split="test-b", apartments=1, views=1, frames=3, max_stride=1, width=64, height=48)
    generate(config, furniture=furniture, out=tmp_path, write_clip=write_bag_clip)
    assert (tmp_path / "test-b-0-00000-00" / "test-b-0-00000-00.mcap").is_file()
    with Bag(tmp_path / "test-b-0-00000-00") as bag:
        assert bag.image_topic() == TOPIC
        geometry = ("/camera/depth_registered/image_raw", "/camera/camera_info", "/tf")
        assert {bag.count(topic) for topic in (TOPIC, GROUND_TRUTH_TOPIC, *geometry)} == {3}
        assert bag.count("/tf_static") == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "test"}, "split must be one of train, val, test-a, test-b, got 'test'"),
        ({"apartments": 0}, "apartments must be at least 1, got 0"),
        ({"width": 8}, "width must be 16 to 4096 pixels, got 8"),
        ({"rate_hz": 0.0}, "rate_hz must be 1 to 240, got 0.0"),
        ({"seed": -1}, "seed must not be negative, got -1"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        RoomsConfig(**settings)
