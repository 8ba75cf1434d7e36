"""Annotations as labelling tools export them become the frames and labels that were annotated."""

import base64
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from mpvss_model.data import open_clips
from mpvss_model.data.annotations import ImportConfig, import_labels
from mpvss_model.data.annotations.pixels import ORIENTATION, upright
from mpvss_model.errors import ConfigError, DataError

HEIGHT, WIDTH = 24, 32
NO_SPLIT = {"validation_share": 0.0}


def write_image(path: Path, size=(HEIGHT, WIDTH), turn: int = 1) -> Path:
    """A photograph of a gradient, so that turning it shows; ``size`` is that of the stored pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = size
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = np.linspace(0, 250, height)[:, None], np.linspace(0, 250, width)
    exif = Image.Exif()
    exif[ORIENTATION] = turn
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def write_json(path: Path, content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def box(left, top, right, bottom):
    """Corners of a polygon over the pixels left..right-1, top..bottom-1, as COCO has them."""
    return [left, top, right, top, right, bottom, left, bottom]


def coco(images, annotations, categories=((3, "robot"), (7, "wall")), size=(HEIGHT, WIDTH)):
    """A COCO file; annotations are of an image's number, a category and what is segmented."""
    return {
        "images": [{"id": 10 + i, "file_name": name, "height": size[0], "width": size[1]} for i, name in enumerate(images)],
        "categories": [{"id": i, "name": name, "supercategory": ""} for i, name in categories],
        "annotations": [
            {"id": i, "image_id": 10 + image, "category_id": category, "iscrowd": 0, **segmentation}
            for i, (image, category, segmentation) in enumerate(annotations)
        ],
    }


def labels_of(out: Path, split=None) -> dict[str, np.ndarray]:
    """Label images by the names of their frames, read as training reads them."""
    clips = open_clips(out, layout="folder", split=split)
    return {
        path.stem: frame.read_label()
        for clip in clips.clips
        for path, frame in zip(sorted((out / clip.name / "images").iterdir()), clip.frames, strict=True)
        if frame.is_labelled
    }


def only_label(out: Path) -> np.ndarray:
    (label,) = labels_of(out).values()
    return label


def expected(*areas, size=(HEIGHT, WIDTH), background=0):
    """A label image of areas (value, left, top, right, bottom), one over the other."""
    label = np.full(size, background, np.uint8)
    for value, left, top, right, bottom in areas:
        label[top:bottom, left:right] = value
    return label


def test_polygons_run_lengths_crowds_and_category_ids_that_begin_anywhere(tmp_path):
    write_image(tmp_path / "in" / "images" / "a 1 ä.png")
    column_major = np.zeros((HEIGHT, WIDTH), np.uint8)
    column_major[10:14, 20:30] = 1
    flat = column_major.ravel(order="F")
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [0]])))
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    polygons = {"segmentation": [box(2, 3, 8, 9), box(10, 3, 12, 9)]}
    crowd = {"segmentation": {"size": [HEIGHT, WIDTH], "counts": counts}, "iscrowd": 1}
    write_json(tmp_path / "in/annotations/instances_default.json", coco(["a 1 ä.png"], [(0, 7, polygons), (0, 3, crowd)]))
    report = import_labels(tmp_path / "in", tmp_path / "out", ImportConfig(**NO_SPLIT))
    assert (tmp_path / "out/classes.txt").read_text() == "background\nrobot\nwall\n"
    areas = expected((2, 2, 3, 8, 9), (2, 10, 3, 12, 9), (1, 20, 10, 30, 14))
    np.testing.assert_array_equal(only_label(tmp_path / "out"), areas)
    assert report.images == {"linked": 1} and not report.left_out


def test_compressed_run_lengths(tmp_path):
    from pycocotools import mask

    write_image(tmp_path / "in/1.png")
    area = expected((1, 5, 6, 20, 9))
    encoded = mask.encode(np.asfortranarray(area))
    segmentation = {"size": encoded["size"], "counts": encoded["counts"].decode()}
    write_json(tmp_path / "in/coco.json", coco(["1.png"], [(0, 3, {"segmentation": segmentation})]))
    import_labels(tmp_path / "in", tmp_path / "out", ImportConfig(**NO_SPLIT))
    np.testing.assert_array_equal(only_label(tmp_path / "out"), area)


@pytest.mark.parametrize(("on_top", "middle"), [("auto", 1), ("smaller", 1), ("later", 2)])
def test_smaller_areas_lie_over_larger_ones_in_whatever_order(tmp_path, on_top, middle):
    write_image(tmp_path / "in/1.png")
    shapes = [(0, 3, {"segmentation": [box(8, 8, 12, 12)]}), (0, 7, {"segmentation": [box(2, 2, 20, 20)]})]
    write_json(tmp_path / "in/coco.json", coco(["1.png"], shapes))
    if on_top == "later":
        shapes.append((0, 3, {"segmentation": [box(30, 20, 32, 24)]}))
        write_json(tmp_path / "in/coco.json", coco(["1.png"], shapes))
    import_labels(tmp_path / "in", tmp_path / "out", ImportConfig(on_top=on_top, **NO_SPLIT))
    label = only_label(tmp_path / "out")
    assert (label[10, 10], label[3, 3], label[0, 0]) == (middle, 2, 0)


def test_the_split_of_a_roboflow_export_and_its_root_class(tmp_path):
    categories = ((0, "things"), (1, "robot"), (2, "wall"))
    for split, files in (("train", 2), ("valid", 1), ("test", 1)):
        names = [f"frame_{split}_{i}_png.rf.0a1b2c{i}.jpg" for i in range(files)]
        for name in names:
            write_image(tmp_path / "in" / split / name)
        content = coco(names, [(i, 1 + i % 2, {"segmentation": [box(0, 0, 9, 9)]}) for i in range(files)], categories)
        for category in content["categories"]:
            category["supercategory"] = "none" if category["name"] == "things" else "things"
        write_json(tmp_path / "in" / split / "_annotations.coco.json", content)
    report = import_labels(tmp_path / "in", tmp_path / "out")
    assert report.class_names == ("background", "robot", "wall")
    assert report.frames == {"train": 2, "val": 1, "test": 1}
    assert [clip.name for clip in open_clips(tmp_path / "out", split="val").clips] == ["valid-frame_valid"]


def test_splits_as_files_of_one_folder_of_images(tmp_path):
    for i in range(4):
        write_image(tmp_path / "in/images" / f"{i}.png")
    shapes = [(0, 3, {"segmentation": [box(0, 0, 9, 9)]}), (1, 7, {"segmentation": [box(0, 0, 9, 9)]})]
    write_json(tmp_path / "in/annotations/instances_train.json", coco(["0.png", "2.png"], shapes))
    write_json(tmp_path / "in/annotations/instances_val.json", coco(["1.png", "3.png"], shapes))
    import_labels(tmp_path / "in", tmp_path / "out")
    assert sorted(labels_of(tmp_path / "out", "train")) == ["0", "2"]
    assert sorted(labels_of(tmp_path / "out", "val")) == ["1", "3"]


def test_boxes_without_segmentation_are_unlabeled_and_counted(tmp_path):
    write_image(tmp_path / "in/1.png")
    shapes = [(0, 3, {"segmentation": [box(0, 0, 8, 8)]}), (0, 7, {"segmentation": [], "bbox": [4.0, 4.0, 10.0, 6.0]})]
    write_json(tmp_path / "in/coco.json", coco(["1.png"], shapes))
    report = import_labels(tmp_path / "in", tmp_path / "out", ImportConfig(**NO_SPLIT))
    np.testing.assert_array_equal(only_label(tmp_path / "out"), expected((255, 4, 4, 14, 10), (1, 0, 0, 8, 8)))
    assert report.left_out.total() == 1


@pytest.mark.parametrize("empty", [False, True])
def test_images_without_annotations_are_frames_without_labels_unless_they_are_empty(tmp_path, empty):
    for i in range(3):
        write_image(tmp_path / "in" / f"{i}.png")
    write_json(tmp_path / "in/coco.json", coco(["0.png", "2.png"], [(1, 3, {"segmentation": [box(0, 0, 8, 8)]})]))
    config = ImportConfig(images=tmp_path / "in", empty=empty, **NO_SPLIT)
    report = import_labels(tmp_path / "in/coco.json", tmp_path / "out", config)
    assert report.frames["train"] == 3 and report.labelled["train"] == (3 if empty else 1)
    if empty:
        assert not labels_of(tmp_path / "out")["0"].any()


def test_panoptic_label_images(tmp_path):
    write_image(tmp_path / "in/images/1.jpg")
    segments = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    segments[:8] = (44, 1, 0)  # 44 + 256
    segments[8:16] = (0, 0, 2)
    content = coco(["1.jpg"], [])
    info = [{"id": 300, "category_id": 7}, {"id": 131072, "category_id": 3}]
    content["annotations"] = [{"image_id": 10, "file_name": "1.png", "segments_info": info}]
    write_json(tmp_path / "in/annotations/panoptic.json", content)
    (tmp_path / "in/annotations/panoptic").mkdir()
    Image.fromarray(segments).save(tmp_path / "in/annotations/panoptic/1.png")
    import_labels(tmp_path / "in", tmp_path / "out", ImportConfig(**NO_SPLIT))
    assert (tmp_path / "out/classes.txt").read_text() == "robot\nwall\n"
    areas = expected((1, 0, 0, WIDTH, 8), (0, 0, 8, WIDTH, 16), background=255)
    np.testing.assert_array_equal(only_label(tmp_path / "out"), areas)


def test_paths_of_another_machine_find_their_images(tmp_path):
    for camera in ("left", "right"):
        write_image(tmp_path / "in" / camera / "1.png")
    names = ["C:\\data\\left\\1.png", "/upload/right/1.png"]
    shapes = [(i, 3 + 4 * i, {"segmentation": [box(0, 0, 8, 8)]}) for i in range(2)]
    write_json(tmp_path / "in/coco.json", coco(names, shapes))
    import_labels(tmp_path / "in", tmp_path / "out", ImportConfig(**NO_SPLIT))
    clips = open_clips(tmp_path / "out").clips
    assert [(clip.name, int(clip.frames[0].read_label()[0, 0])) for clip in clips] == [("left", 1), ("right", 2)]


BROKEN = {
    "odd": ([(0, 3, {"segmentation": [[0, 0, 5, 0, 5]]})], ["1.png"], "annotation 0 has a polygon of an odd number"),
    "size": ([(0, 3, {"segmentation": {"size": [9, 9], "counts": [81]}})], ["1.png"], r"of \[9, 9\] .*of \[24, 32\]"),
    "words": ([(0, 3, {"segmentation": ["a"]})], ["1.png"], "neither polygons nor RLE"),
    "category": ([(0, 4, {"segmentation": [box(0, 0, 5, 5)]})], ["1.png"], "of category 4, which is not declared"),
    "missing": ([], ["2.png"], r"names the image '2.png', which is nowhere in"),
    "none": ([], ["1.png"], "no annotation in any of them"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_used_is_named_and_nothing_is_left(tmp_path, case):
    annotations, images, message = BROKEN[case]
    write_image(tmp_path / "in/1.png")
    write_json(tmp_path / "in/coco.json", coco(images, annotations))
    with pytest.raises(DataError, match=message):
        import_labels(tmp_path / "in", tmp_path / "out", ImportConfig(**NO_SPLIT))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_an_image_of_which_there_are_two_or_that_two_files_name_is_named(tmp_path):
    for camera in ("left", "right"):
        write_image(tmp_path / "in" / camera / "1.png")
    path = write_json(tmp_path / "in/coco.json", coco(["1.png"], [(0, 3, {"segmentation": [box(0, 0, 5, 5)]})]))
    with pytest.raises(DataError, match=r"'1.png', which may be .*left/1.png or .*right/1.png; give --images"):
        import_labels(tmp_path / "in", tmp_path / "out")
    write_json(path, coco(["left/1.png"], []))
    write_json(path.with_name("again.json"), coco(["left/1.png"], []))
    with pytest.raises(DataError, match=r"left/1.png is in both .*again.json and .*coco.json; give one of them"):
        import_labels(tmp_path / "in", tmp_path / "out")


def test_coco_files_need_their_reader_and_others_do_not(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    write_image(tmp_path / "in/1.png")
    write_json(tmp_path / "in/coco.json", coco(["1.png"], [(0, 3, {"segmentation": [box(0, 0, 5, 5)]})]))
    with pytest.raises(ConfigError, match=r"pycocotools, which is not installed: pip install -r requirements-train.txt"):
        import_labels(tmp_path / "in", tmp_path / "out")
    (tmp_path / "in/coco.json").unlink()
    write_json(tmp_path / "in/1.json", labelme("1.png", ("robot", "rectangle", [[0, 0], [4, 4]])))
    assert import_labels(tmp_path / "in", tmp_path / "out", ImportConfig(**NO_SPLIT)).labelled == {"train": 1}


def test_a_json_file_that_was_cut_off_is_named(tmp_path):
    write_image(tmp_path / "in/1.png")
    (tmp_path / "in/coco.json").write_text('{"images": [')
    with pytest.raises(DataError, match=r"coco.json' is no JSON file"):
        import_labels(tmp_path / "in", tmp_path / "out", ImportConfig(format="coco"))


def labelme(image, *shapes, size=(HEIGHT, WIDTH)):
    """A LabelMe file of shapes (label, type, points)."""
    return {
        "version": "5.4.1",
        "imagePath": image,
        "imageData": None,
        "imageHeight": size[0],
        "imageWidth": size[1],
        "shapes": [
            {"label": label, "shape_type": kind, "points": points, "group_id": None, "flags": {}}
            for label, kind, points in shapes
        ],
    }


def test_shapes_are_drawn_in_their_order_and_those_without_area_left_out(tmp_path):
    write_image(tmp_path / "in/frames/1.png")
    shapes = [
        ("wall", "polygon", [[0, 0], [20, 0], [20, 10], [0, 10]]),
        ("robot", "rectangle", [[12, 8], [4, 2]]),
        ("ball", "circle", [[26, 18], [29, 18]]),
        ("ball", "point", [[1, 1]]),
        ("wall", "linestrip", [[1, 1], [5, 5], [9, 9]]),
    ]
    write_json(tmp_path / "in/json/1.json", labelme("..\\frames\\1.png", *shapes))
    report = import_labels(tmp_path / "in", tmp_path / "out", ImportConfig(**NO_SPLIT))
    assert report.class_names == ("background", "ball", "robot", "wall")
    areas = expected((3, 0, 0, 21, 11), (2, 4, 2, 13, 9))
    label = only_label(tmp_path / "out")
    disc = label == 1
    assert disc[18, 26] and disc.sum() == pytest.approx(np.pi * 3.5**2, rel=0.15)
    np.testing.assert_array_equal(np.where(disc, 0, label), areas)
    assert report.left_out == {"shapes of the type point": 1, "shapes of the type linestrip": 1}


def test_masks_of_the_assistant_and_names_that_mean_background_and_nothing(tmp_path):
    write_image(tmp_path / "in/1.png")
    encoded = io.BytesIO()
    Image.fromarray(np.full((5, 6), 255, np.uint8)).save(encoded, "png")
    corners = [[0, 0], [31, 0], [31, 3], [0, 3]]
    content = labelme("1.png", ("robot", "mask", [[10, 8], [15, 12]]), ("__ignore__", "polygon", corners))
    content["shapes"].append({"label": "_background_", "points": [[10, 8], [12, 8], [12, 12], [10, 12]]})
    content["shapes"][0]["mask"] = base64.b64encode(encoded.getvalue()).decode()
    write_json(tmp_path / "in/1.json", content)
    import_labels(tmp_path / "in", tmp_path / "out", ImportConfig(**NO_SPLIT))
    assert (tmp_path / "out/classes.txt").read_text() == "background\nrobot\n"
    areas = expected((255, 0, 0, 32, 4), (1, 13, 8, 16, 13))
    np.testing.assert_array_equal(only_label(tmp_path / "out"), areas)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (("robot", "polygon", [[0, 0], [5, 5]]), r"1.json: shape 0 \(polygon 'robot'\) is broken: 2 points are no area"),
        (("robot", "cuboid", [[0, 0], [5, 5]]), "shapes of this type are not known"),
        (("robot", "circle", [[0, 0]]), "is broken"),
        ((None, "polygon", []), "has a shape without a label"),
    ],
)
def test_what_cannot_be_drawn_is_named(tmp_path, shape, message):
    write_image(tmp_path / "in/1.png")
    write_json(tmp_path / "in/1.json", labelme("1.png", shape))
    with pytest.raises(DataError, match=message):
        import_labels(tmp_path / "in", tmp_path / "out", ImportConfig(**NO_SPLIT))


@pytest.mark.parametrize("turn", range(1, 9))
def test_photographs_are_turned_upright_with_labels_as_they_were_shown(tmp_path, turn):
    path = write_image(tmp_path / "in/1.jpg", turn=turn)
    shown = ImageOps.exif_transpose(Image.open(path))
    size = shown.height, shown.width
    corners = [[0, 0], [9, 0], [9, 4], [0, 4]]
    write_json(tmp_path / "in/1.json", labelme("1.jpg", ("robot", "polygon", corners), size=size))
    report = import_labels(tmp_path / "in", tmp_path / "out", ImportConfig(**NO_SPLIT))
    (clip,) = open_clips(tmp_path / "out").clips
    np.testing.assert_array_equal(clip.frames[0].read_label(), expected((1, 0, 0, 10, 5), size=size))
    np.testing.assert_allclose(clip.frames[0].read_image().astype(float), np.array(shown, float), atol=12)
    assert report.images == {"rewritten" if turn > 1 else "linked": 1}


def test_a_label_that_lies_as_the_pixels_are_stored_is_turned_with_them(tmp_path):
    write_image(tmp_path / "in/1.jpg", turn=6)
    corners = [[0, 0], [9, 0], [9, 4], [0, 4]]
    write_json(tmp_path / "in/1.json", labelme("1.jpg", ("robot", "polygon", corners)))
    import_labels(tmp_path / "in", tmp_path / "out", ImportConfig(**NO_SPLIT))
    turned = upright(expected((1, 0, 0, 10, 5)), 6)
    np.testing.assert_array_equal(only_label(tmp_path / "out"), turned)
    assert turned[0, WIDTH - HEIGHT - 1 : HEIGHT].any()  # the corner is at the upper right


def write_mask(path: Path, values, mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(values, np.uint8))
    if mode == "P":
        image.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    (image.convert("1") if mode == "1" else image).save(path)
    return path


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/a/1.jpg", "masks/a/1.png"),
        ("JPEGImages/1.jpg", "SegmentationClass/1.png"),
        ("drive ü/frame_0001.png", "drive ü/frame_0001_mask.png"),
        ("0001TP.png", "0001TP_L.png"),
    ],
)
@pytest.mark.parametrize("mode", ["L", "P"])
def test_label_images_are_found_and_their_values_get_names(tmp_path, image, mask, mode):
    write_image(tmp_path / "in" / image)
    write_mask(tmp_path / "in" / mask, expected((7, 0, 0, 9, 9), (33, 9, 9, 20, 20), (255, 20, 0, 32, 3)), mode)
    config = ImportConfig(classes="0=ground,7=robot,33=robot,255=", **NO_SPLIT)
    import_labels(tmp_path / "in", tmp_path / "out", config)
    assert (tmp_path / "out/classes.txt").read_text() == "ground\nrobot\n"
    areas = expected((1, 0, 0, 9, 9), (1, 9, 9, 20, 20), (255, 20, 0, 32, 3))
    np.testing.assert_array_equal(only_label(tmp_path / "out"), areas)


def test_names_alone_are_0_1_2_and_255_is_unlabeled(tmp_path):
    write_image(tmp_path / "in/images/1.png")
    areas = expected((1, 0, 0, 9, 9), (255, 20, 0, 32, 3))
    write_mask(tmp_path / "in/labels/1.png", areas)
    import_labels(tmp_path / "in", tmp_path / "out", ImportConfig(classes="ground,robot", **NO_SPLIT))
    np.testing.assert_array_equal(only_label(tmp_path / "out"), areas)


@pytest.mark.parametrize(
    "table", ["# label:color_rgb\nground:0,0,0::\nrobot:128,64,128::\n", "0 0 0\tground\n128 64 128\trobot\n", None]
)
def test_colours_are_named_by_the_table_of_the_export_or_by_the_user(tmp_path, table):
    write_image(tmp_path / "in/images/1.png")
    areas = expected((1, 3, 3, 9, 9))
    colors = np.array([[0, 0, 0], [128, 64, 128]], np.uint8)[areas]
    write_mask(tmp_path / "in/masks/1.png", colors)
    if table:
        (tmp_path / "in/labelmap.txt").write_text(table)
    config = ImportConfig(classes="" if table else "#000000=ground,#804080=robot", **NO_SPLIT)
    import_labels(tmp_path / "in", tmp_path / "out", config)
    assert (tmp_path / "out/classes.txt").read_text() == "ground\nrobot\n"
    np.testing.assert_array_equal(only_label(tmp_path / "out"), areas)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("", r"no names of classes; the first one holds the values 0, 255: give --classes"),
        ("ground,robot", r"of one class \(ground\).*--classes '0=background,255=NAME'"),
        ("255=robot", r"has the classes '0', which are not among those chosen; add them"),
    ],
)
def test_a_binary_mask_is_not_taken_for_nothing(tmp_path, classes, message):
    write_image(tmp_path / "in/images/1.png")
    write_mask(tmp_path / "in/masks/1.png", expected((255, 3, 3, 9, 9)))
    with pytest.raises((DataError, ConfigError), match=message):
        import_labels(tmp_path / "in", tmp_path / "out", ImportConfig(classes=classes, **NO_SPLIT))
    assert not (tmp_path / "out").exists()
    import_labels(tmp_path / "in", tmp_path / "out", ImportConfig(classes="0=ground,255=robot", **NO_SPLIT))
    np.testing.assert_array_equal(only_label(tmp_path / "out"), expected((1, 3, 3, 9, 9)))


def test_bits_and_frames_without_label_images_and_another_folder_of_images(tmp_path):
    for i in range(3):
        write_image(tmp_path / "frames" / f"{i}.png")
    write_mask(tmp_path / "in/1.png", expected((255, 3, 3, 9, 9)), "1")
    config = ImportConfig(format="masks", images=tmp_path / "frames", classes="ground,robot", **NO_SPLIT)
    report = import_labels(tmp_path / "in", tmp_path / "out", config)
    assert (report.frames["train"], report.labelled["train"]) == (3, 1)
    np.testing.assert_array_equal(labels_of(tmp_path / "out")["1"], expected((1, 3, 3, 9, 9)))


def test_sizes_orphans_and_jpegs_are_named(tmp_path):
    config = ImportConfig(classes="ground,robot", **NO_SPLIT)
    write_image(tmp_path / "in/images/1.png")
    mask = write_mask(tmp_path / "in/masks/1.png", expected((1, 0, 0, 4, 4), size=(12, 16)))
    with pytest.raises(DataError, match=r"masks/1.png annotates 16 x 12 pixels, but .*images/1.png has 32 x 24"):
        import_labels(tmp_path / "in", tmp_path / "out", config)
    mask.rename(mask.with_name("2.png"))
    with pytest.raises(DataError, match=r"masks/2.png has no image of that name"):
        import_labels(tmp_path / "in", tmp_path / "out", config)
    mask.with_name("2.png").rename(mask.with_name("1.jpg"))
    with pytest.raises(DataError, match=r"masks/1.jpg is a JPEG, which changes values"):
        import_labels(tmp_path / "in", tmp_path / "out", config)


@pytest.fixture
def labelled_frames(tmp_path):
    """Writes clips of label images, named by their number of frames; returns their folder."""

    def write(*counts, every=1, size=(HEIGHT, WIDTH)):
        for clip, count in enumerate(counts):
            for i in range(count):
                write_image(tmp_path / "in/images" / f"{clip}" / f"{i:03d}.png", size)
                if i % every == 0:
                    write_mask(tmp_path / "in/masks" / f"{clip}" / f"{i:03d}.png", expected((1, 0, 0, 9, 9), size=size))
        return tmp_path / "in"

    return write


CLASSES = {"classes": "ground,robot"}


def test_one_clip_is_cut_once_with_a_gap(labelled_frames, tmp_path):
    report = import_labels(labelled_frames(40), tmp_path / "out", ImportConfig(**CLASSES))
    train, val = labels_of(tmp_path / "out", "train"), labels_of(tmp_path / "out", "val")
    assert (min(train), max(train), min(val), max(val)) == ("000", "029", "032", "039")
    assert report.clips == {"train": 1, "val": 1}


def test_frames_without_labels_are_the_gap_and_lead_to_those_with(labelled_frames, tmp_path):
    import_labels(labelled_frames(41, every=10), tmp_path / "out", ImportConfig(**CLASSES))
    (train,), (val,) = (open_clips(tmp_path / "out", split=split).clips for split in ("train", "val"))
    assert (len(train.frames), len(val.frames)) == (31, 8)  # 0..30 and 33..40
    assert [i for i, frame in enumerate(val.frames) if frame.is_labelled] == [7]


def test_of_many_clips_whole_ones_are_taken(labelled_frames, tmp_path):
    import_labels(labelled_frames(2, 2, 2, 2, 2), tmp_path / "out", ImportConfig(**CLASSES))
    lists = [(tmp_path / "out" / f"{split}.txt").read_text().split() for split in ("train", "val")]
    assert [len(names) for names in lists] == [4, 1] and not set(lists[0]) & set(lists[1])


def test_names_tell_clips_of_one_folder_apart_and_sizes_do(tmp_path):
    for name, size in (("day_1", (24, 32)), ("day_2", (24, 32)), ("night_1", (24, 32)), ("night_2", (32, 24))):
        write_image(tmp_path / "in/images" / f"{name}.png", size)
        write_mask(tmp_path / "in/masks" / f"{name}.png", expected((1, 0, 0, 9, 9), size=size))
    import_labels(tmp_path / "in", tmp_path / "out", ImportConfig(**CLASSES, **NO_SPLIT))
    assert (tmp_path / "out/train.txt").read_text().split() == ["day", "night-32x24", "night-24x32"]
    import_labels(tmp_path / "in", tmp_path / "all", ImportConfig(clips_by="folders", **CLASSES, **NO_SPLIT))
    assert (tmp_path / "all/train.txt").read_text().split() == ["clip-32x24", "clip-24x32"]


def test_too_few_labels_to_divide_are_refused(labelled_frames, tmp_path):
    with pytest.raises(ConfigError, match=r"1 clips with 1 labelled frames cannot be divided by runs"):
        import_labels(labelled_frames(9, every=9), tmp_path / "out", ImportConfig(**CLASSES))


def test_links_copies_and_smaller_images(labelled_frames, tmp_path):
    source = labelled_frames(1)
    original = source / "images/0/000.png"
    for name, settings, size in (("linked", {}, 32), ("copied", {"copy": True}, 32), ("rewritten", {"max_side_px": 16}, 16)):
        report = import_labels(source, tmp_path / name, ImportConfig(**CLASSES, **NO_SPLIT, **settings))
        assert report.images == {name: 1}
        (image,) = (tmp_path / name).glob("*/images/*")
        assert image.samefile(original) == (name == "linked")
        frame = open_clips(tmp_path / name).clips[0].frames[0]
        assert frame.read_image().shape[1] == frame.read_label().shape[1] == size


def test_other_formats_become_png(tmp_path):
    write_image(tmp_path / "in/images/1.bmp")
    write_mask(tmp_path / "in/masks/1.png", expected((1, 0, 0, 9, 9)))
    import_labels(tmp_path / "in", tmp_path / "out", ImportConfig(**CLASSES, **NO_SPLIT))
    frame = open_clips(tmp_path / "out").clips[0].frames[0]
    np.testing.assert_array_equal(frame.read_image(), np.array(Image.open(tmp_path / "in/images/1.bmp")))


def test_what_is_there_already_stays_and_what_was_left_unfinished_goes(labelled_frames, tmp_path):
    source, out = labelled_frames(1), tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match=r"out' exists and is not empty; choose another folder, or delete it"):
        import_labels(source, out, ImportConfig(**CLASSES, **NO_SPLIT))
    (out / "mine.txt").unlink()
    (tmp_path / ".unfinished-out/0").mkdir(parents=True)
    import_labels(source, out, ImportConfig(**CLASSES, **NO_SPLIT))
    assert len(labels_of(out)) == 1 and not (tmp_path / ".unfinished-out").exists()


def test_broken_and_huge_images_are_named(labelled_frames, tmp_path, monkeypatch):
    source = labelled_frames(1)
    path = source / "images/0/000.png"
    data = path.read_bytes()
    path.write_bytes(data[:60])
    with pytest.raises(DataError, match=r"images/0/000.png cannot be (used|read)"):
        import_labels(source, tmp_path / "out", ImportConfig(**CLASSES, **NO_SPLIT))
    Image.new("L", (4100, 4000)).save(path)
    with pytest.raises(DataError, match=r"000.png cannot be used: too large: image of 4100 x 4000 .*--max-side-px"):
        import_labels(source, tmp_path / "out", ImportConfig(**CLASSES, **NO_SPLIT))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format": "voc"}, "unknown format of annotations 'voc'; expected auto, coco, labelme, masks"),
        ({"on_top": "left"}, "on_top must be one of auto, later, smaller, got 'left'"),
        ({"validation_share": 1.0}, "validation_share must be at least 0 and below 1, got 1.0"),
        ({"max_side_px": -1}, "max_side_px must be at least 0"),
        ({"classes": ","}, "classes ',' are none"),
        ({"empty": True}, "leave out --empty"),
    ],
)
def test_settings_out_of_range_are_named(labelled_frames, tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        import_labels(labelled_frames(1), tmp_path / "out", ImportConfig(**{**CLASSES, **NO_SPLIT, **settings}))


def test_a_folder_without_annotations_says_what_was_looked_for(tmp_path):
    write_image(tmp_path / "in/1.png")
    with pytest.raises(DataError, match="neither COCO files, nor LabelMe files, nor label images"):
        import_labels(tmp_path / "in", tmp_path / "out")
    with pytest.raises(DataError, match="no annotations at"):
        import_labels(tmp_path / "gone", tmp_path / "out")


def test_classes_can_be_chosen_merged_and_left_out(tmp_path):
    write_image(tmp_path / "in/1.png")
    names = ((1, "chair"), (2, "sofa"), (3, "floor"), (4, "dog"))
    shapes = [(0, i + 1, {"segmentation": [box(8 * i, 0, 8 * i + 8, 8)]}) for i in range(4)]
    write_json(tmp_path / "in/coco.json", coco(["1.png"], shapes, names))
    with pytest.raises(DataError, match=r"coco.json has the classes 'dog', which are not .*'dog=NAME'.* or '\*='"):
        import_labels(tmp_path / "in", tmp_path / "out", ImportConfig(classes="floor,chair=seat,sofa=seat", **NO_SPLIT))
    report = import_labels(
        tmp_path / "in", tmp_path / "out", ImportConfig(classes="floor,chair=seat,sofa=seat,*=", **NO_SPLIT)
    )
    assert report.class_names == ("background", "floor", "seat")
    np.testing.assert_array_equal(only_label(tmp_path / "out")[0, ::8], [2, 2, 1, 255])
    many = ",".join(f"class number {i}" for i in range(200))
    config = ImportConfig(classes=f"{many},*=", background="", **NO_SPLIT)
    with pytest.raises(DataError, match=r"of one class \(none\)"):
        import_labels(tmp_path / "in", tmp_path / "many", config)
    (tmp_path / "names.txt").write_text("floor\nchair=seat\n*=rest\n")
    config = ImportConfig(classes=str(tmp_path / "names.txt"), background="", **NO_SPLIT)
    report = import_labels(tmp_path / "in", tmp_path / "again", config)
    assert report.class_names == ("floor", "seat", "rest") and report.unlabeled_share == pytest.approx(2 / 3)
    np.testing.assert_array_equal(only_label(tmp_path / "again")[0, ::8], [1, 2, 0, 2])
