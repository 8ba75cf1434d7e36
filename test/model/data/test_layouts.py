from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mpvss_model.data import open_clips
from mpvss_model.errors import ConfigError, DataError


def write_image(path: Path, size=(24, 32), color=(200, 100, 50)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), color, np.uint8)).save(path)


def write_label(path: Path, values, palette: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(values, np.uint8))
    if palette:
        image.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    image.save(path)


def stripes(*values: int, size=(24, 32)) -> np.ndarray:
    """A label image of horizontal stripes of the given values."""
    return np.repeat(np.resize(values, (size[0], 1)), size[1], axis=1).astype(np.uint8)


@pytest.fixture
def vspw(tmp_path) -> Path:
    for video in ("12_abc", "7_def"):
        for i in range(3):
            write_image(tmp_path / "data" / video / "origin" / f"{i:08d}.jpg")
            write_label(tmp_path / "data" / video / "mask" / f"{i:08d}.png", stripes(0, 1, 124, 255), palette=video == "7_def")
    (tmp_path / "train.txt").write_text("12_abc\n7_def\n")
    (tmp_path / "val.txt").write_text("7_def")
    return tmp_path


@pytest.fixture
def cityscapes(tmp_path) -> Path:
    for frame in range(275, 305):
        write_image(tmp_path / f"leftImg8bit_sequence/val/frankfurt/frankfurt_000000_{frame:06d}_leftImg8bit.png")
    labels = tmp_path / "gtFine/val/frankfurt"
    write_label(labels / "frankfurt_000000_000294_gtFine_labelIds.png", stripes(7, 8, 4, 33))
    write_label(labels / "frankfurt_000000_000294_gtFine_instanceIds.png", stripes(0))
    return tmp_path


@pytest.fixture
def folder(tmp_path) -> Path:
    for i in (9, 10, 11):
        write_image(tmp_path / "office" / "images" / f"frame_{i}.png", color=(i, 0, 0))
    write_label(tmp_path / "office" / "labels" / "frame_10.png", stripes(0, 1, 255))
    (tmp_path / "classes.txt").write_text("floor\nwall\n\n")
    return tmp_path


def test_vspw_labels_are_moved_to_class_indices_with_and_without_palette(vspw):
    clips = open_clips(vspw, split="train")
    assert [clip.name for clip in clips.clips] == ["12_abc", "7_def"]
    assert len(clips.class_names) == 124 and clips.class_names[0] == "wall" and clips.class_names[123] == "train"
    for clip in clips.clips:
        frame = clip.frames[1]
        assert frame.stamp_s == pytest.approx(1 / 15)
        np.testing.assert_array_equal(frame.read_label(), stripes(255, 0, 123, 255))
        assert frame.read_image().shape == (24, 32, 3) and frame.read_image().dtype == np.uint8


def test_vspw_opens_its_validation_set_by_default(vspw):
    assert [clip.name for clip in open_clips(vspw).clips] == ["7_def"]


def test_vspw_names_the_first_missing_file_and_the_layout(vspw):
    (vspw / "data/12_abc/mask/00000001.png").unlink()
    with pytest.raises(DataError, match=r"data/12_abc/mask/00000001.png is missing; expected the VSPW layout: train.txt"):
        open_clips(vspw, split="train")
    (vspw / "data/7_def/origin/00000002.jpg").unlink()
    with pytest.raises(DataError, match=r"data/7_def/origin/00000002.jpg is missing"):
        open_clips(vspw, split="val")
    with pytest.raises(DataError, match=r"test.txt is missing; expected the VSPW layout"):
        open_clips(vspw, split="test")
    (vspw / "train.txt").write_text("5_gone\n")
    with pytest.raises(DataError, match=r"data/5_gone/origin is missing"):
        open_clips(vspw, split="train")


def test_vspw_test_videos_may_lack_labels_and_others_may_not(vspw):
    for mask in (vspw / "data/7_def/mask").iterdir():
        mask.unlink()
    (vspw / "data/7_def/mask").rmdir()
    (vspw / "test.txt").write_text("7_def\n")
    assert not any(frame.is_labelled for frame in open_clips(vspw, split="test").clips[0].frames)
    with pytest.raises(DataError, match=r"data/7_def/mask is missing"):
        open_clips(vspw, split="val")


def test_label_value_out_of_range_names_the_file_and_the_values(vspw):
    write_label(vspw / "data/7_def/mask/00000000.png", stripes(3, 130, 200))
    frame = open_clips(vspw, split="val").clips[0].frames[0]
    with pytest.raises(DataError, match=r"7_def/mask/00000000.png holds the values \[130, 200\]; expected 0..124, 255"):
        frame.read_label()


def test_cityscapes_snippet_has_thirty_frames_and_the_twentieth_is_labelled(cityscapes):
    (clip,) = open_clips(cityscapes).clips
    assert clip.name == "frankfurt_000000_000294"
    assert [i for i, frame in enumerate(clip.frames) if frame.is_labelled] == [19]
    assert len(clip.frames) == 30
    np.testing.assert_array_equal(clip.frames[19].read_label(), stripes(0, 1, 255, 18))


def test_cityscapes_names_the_first_missing_frame(cityscapes):
    (cityscapes / "leftImg8bit_sequence/val/frankfurt/frankfurt_000000_000280_leftImg8bit.png").unlink()
    with pytest.raises(DataError, match=r"frankfurt_000000_000280_leftImg8bit.png is missing; expected the Cityscapes layout"):
        open_clips(cityscapes)
    with pytest.raises(DataError, match=r"gtFine/train is missing"):
        open_clips(cityscapes, split="train")


def test_folder_frames_are_in_natural_order_and_labels_are_optional(folder):
    clips = open_clips(folder)
    assert clips.class_names == ("floor", "wall")
    (clip,) = clips.clips
    assert [frame.read_image()[0, 0, 0] for frame in clip.frames] == [9, 10, 11]
    assert [frame.is_labelled for frame in clip.frames] == [False, True, False]
    np.testing.assert_array_equal(clip.frames[1].read_label(), stripes(0, 1, 255))


def test_folder_that_holds_images_is_one_clip_and_needs_no_classes(folder):
    clips = open_clips(folder / "office")
    assert [clip.name for clip in clips.clips] == ["office"] and clips.class_names is None


def test_folder_splits(folder):
    write_image(folder / "kitchen" / "images" / "0.jpg")
    (folder / "val.txt").write_text("kitchen\n")
    assert [clip.name for clip in open_clips(folder).clips] == ["kitchen", "office"]
    assert [clip.name for clip in open_clips(folder, split="val").clips] == ["kitchen"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("office/labels/frame_12.png", r"frame_12.png has no frame of that name in .*office/images"),
        ("office/images/frame_10.jpg", r"frame_10.jpg and frame_10.png have the same name"),
    ],
)
def test_folder_refuses_files_that_do_not_pair_up(folder, path, message):
    write_image(folder / path)
    with pytest.raises(DataError, match=message):
        open_clips(folder)


def test_label_image_in_color_is_refused(folder):
    write_image(folder / "office/labels/frame_10.png")
    with pytest.raises(DataError, match=r"frame_10.png is of mode RGB; expected 8 bits per pixel"):
        open_clips(folder).clips[0].frames[1].read_label()


def test_frames_of_different_sizes_in_one_clip_are_named(folder):
    write_image(folder / "office/images/frame_11.png", size=(24, 40))
    frames = open_clips(folder).clips[0].frames
    frames[0].read_image()
    with pytest.raises(DataError, match=r"frame_11.png has 40 x 24 pixels and .*frame_9.png 32 x 24"):
        frames[2].read_image()


def test_label_of_another_size_than_its_frame_is_named(folder):
    write_label(folder / "office/labels/frame_10.png", stripes(0, size=(12, 16)))
    frame = open_clips(folder).clips[0].frames[1]
    frame.read_image()
    with pytest.raises(DataError, match=r"frame_10.png has 16 x 12 pixels and"):
        frame.read_label()


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_image_truncated_anywhere_is_named(tmp_path, suffix):
    rng = np.random.default_rng(0)
    path = tmp_path / "images" / f"0.{suffix}"
    path.parent.mkdir()
    Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(path)
    whole = path.read_bytes()
    # The last bytes only end the file: decoders need not miss them.
    for length in range(0, len(whole) - 20, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=rf"images/0.{suffix} cannot be read as an image, it may be truncated"):
            open_clips(tmp_path).clips[0].frames[0].read_image()


def write_values(path, values, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)


def test_sixteen_bit_frames_are_scaled_by_the_range_that_the_clip_uses(tmp_path):
    for i, brightest in enumerate((4000, 800)):
        write_values(tmp_path / "images" / f"{i}.png", np.full((16, 20), brightest, np.uint16))
    frames = open_clips(tmp_path).clips[0].frames
    with pytest.warns(UserWarning, match="16-bit images seem to use 12 bits: 4095 is taken for white"):
        assert np.unique(frames[0].read_image()).tolist() == [250]
    assert np.unique(frames[1].read_image()).tolist() == [50]
    assert frames[1].read_image().shape == (16, 20, 3)


def test_frames_are_read_as_they_are_stored(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (16, 20, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    write_values(tmp_path / "images" / "0.png", values, exif=exif)
    write_values(tmp_path / "images" / "1.png", np.dstack([values, values[..., :1]]))
    for frame in open_clips(tmp_path).clips[0].frames:
        np.testing.assert_array_equal(frame.read_image(), values)


@pytest.mark.parametrize("kind", ["images", "labels"])
def test_images_too_large_to_decode_are_named(tmp_path, kind):
    for folder in ("images", "labels"):
        write_values(tmp_path / folder / "0.png", np.zeros((16, 16), np.uint8))
    write_values(tmp_path / kind / "0.png", np.zeros((4001, 4000), np.uint8))
    frame = open_clips(tmp_path).clips[0].frames[0]
    with pytest.raises(DataError, match=rf"{kind}/0.png: too large: image of 4000 x 4001 pixels; max_image_pixels is 160"):
        (frame.read_image if kind == "images" else frame.read_label)()


def test_frame_that_is_a_folder_is_named(folder):
    frames = open_clips(folder).clips[0].frames
    (folder / "office/images/frame_9.png").unlink()
    (folder / "office/images/frame_9.png").mkdir()
    with pytest.raises(DataError, match=r"frame_9.png cannot be read: .*Is a directory"):
        frames[0].read_image()


def test_frame_that_vanishes_is_named(folder):
    frames = open_clips(folder).clips[0].frames
    (folder / "office/images/frame_9.png").unlink()
    with pytest.raises(DataError, match=r"frame_9.png is missing"):
        frames[0].read_image()


def test_opening_reads_no_image(folder):
    (folder / "office/images/frame_9.png").write_bytes(b"no image")
    open_clips(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [("", r"classes.txt is empty"), ("\n".join(map(str, range(256))), r"classes.txt lists 256 classes; .* at most 255")],
)
def test_class_lists_that_cannot_be_used(folder, content, message):
    (folder / "classes.txt").write_text(content)
    with pytest.raises(DataError, match=message):
        open_clips(folder)


def test_class_counts_that_differ_from_the_model_are_named(folder):
    clips = open_clips(folder)
    clips.check_classes(("a", "b"), "m")
    with pytest.raises(DataError, match=r"has 2 classes \(floor, wall\) but model 'm' has 4 \(a, b, c, ...\); choose a model"):
        clips.check_classes(("a", "b", "c", "d"), "m")


def test_places_that_are_no_data_set(tmp_path):
    with pytest.raises(
        DataError, match=r"no data set at .*nowhere: give a folder in one of the layouts vspw, cityscapes, folder"
    ):
        open_clips(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"holds no <clip>/images; expected the folder layout"):
        open_clips(tmp_path)
    with pytest.raises(ConfigError, match=r"unknown data layout 'coco'; expected auto, vspw, cityscapes, folder"):
        open_clips(tmp_path, layout="coco")
