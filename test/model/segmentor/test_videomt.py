"""VidEoMT, frame by frame, against the library's forward over whole clips."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import VideomtForUniversalSegmentation
from transformers.models.videomt.video_processing_videomt import VideomtVideoProcessor

from mpvss_model import CheckpointError, StreamConfig, VideoSegmentor
from mpvss_model.evaluation.flops import loaded_cost
from mpvss_model.image import IMAGENET_MEAN, IMAGENET_STD, FramePadding
from mpvss_model.segmentor.registry import load_model
from mpvss_model.segmentor.videomt.segmentor import VideomtSegmentor, _in_frame
from mpvss_model.semantics import class_scores, grid_scores

CPU = torch.device("cpu")
# Blocks of colour that move, for a clip that is resized is smooth.
BLOCKS = np.random.default_rng(0).integers(0, 255, (8, 24, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
CLIP = [np.ascontiguousarray(BLOCKS[:, 12 * i : 12 * i + 64]) for i in range(5)]


@pytest.fixture(scope="module")
def library(tiny_videomt_checkpoint):
    return VideomtForUniversalSegmentation.from_pretrained(tiny_videomt_checkpoint).eval()


@pytest.fixture(scope="module")
def segmentor(tiny_videomt_checkpoint):
    return VideomtSegmentor.from_pretrained(tiny_videomt_checkpoint, device=CPU)


@pytest.fixture
def checkpoint_copy(tiny_videomt_checkpoint, tmp_path):
    return Path(shutil.copytree(tiny_videomt_checkpoint, tmp_path / "model"))


def whole_clip(library, frames):
    mean, std = torch.tensor([IMAGENET_MEAN, IMAGENET_STD]).view(2, 1, 3, 1, 1)
    pixels = (torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2) / 255 - mean) / std
    with torch.no_grad():
        return library(pixels[None])


def key_frames_of(stream, frames):
    """Each frame's key frame and labels."""
    found = []
    for i, frame in enumerate(frames):
        answer = stream.step(frame, i / 10)
        assert answer.is_key_frame
        found.append((stream._state.reference.key_frame, answer.labels))
    return found


def test_a_stream_whose_frames_are_all_key_frames_is_the_library_on_the_whole_clip(tiny_videomt_checkpoint, library):
    config = StreamConfig(max_interval_frames=1, query_tolerance=0.0)
    stream = VideoSegmentor.from_pretrained(tiny_videomt_checkpoint, device="cpu", config=config)
    expected = whole_clip(library, CLIP)
    library_labels = VideomtVideoProcessor().post_process_semantic_segmentation(expected, target_sizes=[(16, 16)] * len(CLIP))
    for i, (key_frame, labels) in enumerate(key_frames_of(stream, CLIP)):
        masks, class_logits = expected.masks_queries_logits[i], expected.class_queries_logits[i]
        torch.testing.assert_close(key_frame.mask_logits, masks, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(key_frame.class_logits, class_logits, atol=1e-4, rtol=1e-4)
        own = grid_scores(key_frame.mask_logits, key_frame.class_logits).argmax(dim=0)
        assert torch.equal(own, library_labels[i]), "the library's labels at its own size"
        sharper = class_scores(masks, class_logits, FramePadding(64, 64)).argmax(dim=0).numpy()
        assert (labels == sharper).mean() > 0.999, "but for pixels between two classes that are as likely"
    assert len(np.unique(np.stack(library_labels))) > 1


def test_key_frames_in_the_background_are_the_library_on_the_clip_of_them(tiny_videomt_checkpoint, library):
    config = StreamConfig(max_interval_frames=1, key_frames="async")
    stream = VideoSegmentor.from_pretrained(tiny_videomt_checkpoint, device="cpu", config=config)
    for i, frame in enumerate(CLIP):
        stream.step(frame, i / 10)
        if stream._state.job is not None:
            stream._state.job.result()
    stream.step(CLIP[0], 0.6)
    found = stream._state.reference.key_frame.mask_logits
    torch.testing.assert_close(found, whole_clip(library, CLIP).masks_queries_logits[-1], atol=1e-4, rtol=1e-4)


def test_the_memory_is_what_makes_it_equal(segmentor, library):
    expected = whole_clip(library, CLIP[:2])
    first = segmentor.segment(CLIP[0], 0.0)
    alone = segmentor.segment(CLIP[1], 0.1)
    after = segmentor.segment(CLIP[1], 0.1, memory=first.memory)
    torch.testing.assert_close(after.class_logits, expected.class_queries_logits[1], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(alone.class_logits, after.class_logits, atol=1e-2)
    torch.testing.assert_close(
        alone.class_logits, whole_clip(library, CLIP[1:2]).class_queries_logits[0], atol=1e-4, rtol=1e-4
    )


def test_a_restarted_stream_begins_as_the_library_does(tiny_videomt_checkpoint, library):
    stream = VideoSegmentor.from_pretrained(tiny_videomt_checkpoint, device="cpu", config=StreamConfig(max_interval_frames=1))
    key_frames_of(stream, CLIP[:3])
    stream.reset()
    (key_frame, _), *_ = key_frames_of(stream, CLIP[3:])
    expected = whole_clip(library, CLIP[3:])
    torch.testing.assert_close(key_frame.class_logits, expected.class_queries_logits[0], atol=1e-4, rtol=1e-4)


def test_streams_of_one_model_do_not_mix(tiny_videomt_checkpoint, library):
    stream = VideoSegmentor.from_pretrained(tiny_videomt_checkpoint, device="cpu", config=StreamConfig(max_interval_frames=1))
    other, backwards = stream.new_stream(), CLIP[::-1]
    for i in range(len(CLIP)):
        stream.step(CLIP[i], i / 10)
        other.step(backwards[i], i / 10)
    for one, frames in ((stream, CLIP), (other, backwards)):
        found = one._state.reference.key_frame.class_logits
        torch.testing.assert_close(found, whole_clip(library, frames).class_queries_logits[-1], atol=1e-4, rtol=1e-4)


def test_frames_are_resized_as_the_video_processor_does(segmentor):
    frame = cv2.resize(BLOCKS, (200, 100), interpolation=cv2.INTER_LINEAR)
    pixels = segmentor._pixels(frame)[0]
    mean, std = torch.tensor([IMAGENET_MEAN, IMAGENET_STD]).view(2, 3, 1, 1)
    expected = np.asarray(Image.fromarray(frame).resize((64, 64), Image.Resampling.BILINEAR))
    found = ((pixels * std + mean) * 255).permute(1, 2, 0).numpy()
    assert np.abs(found - np.rint(found)).max() < 1e-3, "whole numbers, as resized images have"
    assert np.abs(found - expected).max() < 1.01


@pytest.mark.parametrize("size", [(64, 64), (480, 640), (90, 131), (33, 50)])
def test_masks_lie_where_they_lie_in_the_frame(size):
    padding = FramePadding(*size)
    ys, xs = torch.meshgrid(*((torch.arange(16) + 0.5) / 16,) * 2, indexing="ij")
    masks = _in_frame(torch.stack([ys, xs]), padding)
    assert masks.shape[1:] == tuple(side // 4 for side in padding.padded_size)
    for axis, side in enumerate(size):
        places = (torch.arange(masks.shape[1 + axis]) + 0.5) * 4 / side
        expected = places.clamp(0.5 / 16, 15.5 / 16)
        along = masks[axis].movedim(axis, 0)
        torch.testing.assert_close(along, expected[:, None].expand_as(along), atol=1e-5, rtol=0)


def test_a_frame_of_any_shape_is_answered_at_its_own_size(tiny_videomt_checkpoint):
    stream = VideoSegmentor.from_pretrained(tiny_videomt_checkpoint, device="cpu", config=StreamConfig(max_interval_frames=2))
    answers = [stream.step(BLOCKS[:50, i : i + 150].copy(), i / 10) for i in range(4)]
    assert [answer.is_key_frame for answer in answers] == [True, False, True, False]
    assert {answer.labels.shape for answer in answers} == {(50, 150)}


def test_it_runs_in_half_precision(tiny_videomt_checkpoint):
    model = load_model(tiny_videomt_checkpoint, device=CPU)
    plain = model.segmentor.segment(CLIP[0], 0.0)
    model.accelerate(torch.bfloat16)
    half = model.segmentor.segment(CLIP[0], 0.0, memory=model.segmentor.segment(CLIP[0], 0.0).memory)
    assert half.mask_logits.dtype == half.memory.dtype == torch.bfloat16
    half = model.segmentor.segment(CLIP[0], 0.0)
    torch.testing.assert_close(half.mask_logits.float(), plain.mask_logits, atol=0.3, rtol=0.1)


def test_its_cost_is_counted_and_that_of_every_size(tiny_videomt_checkpoint):
    cost = loaded_cost(tiny_videomt_checkpoint, frame_size=(480, 640))
    assert list(cost.parts) == ["encoder", "heads", "warp", "output"]
    network = VideomtForUniversalSegmentation.from_pretrained(tiny_videomt_checkpoint)
    assert cost.parameters == sum(parameter.numel() for parameter in network.parameters())
    small = loaded_cost(tiny_videomt_checkpoint, frame_size=(240, 320))
    assert cost.parts["encoder"] == small.parts["encoder"] and cost.parts["encoder"].gflops > 0


def test_its_video_processor_has_the_image_statistics(checkpoint_copy):
    VideomtVideoProcessor(image_mean=[0.5] * 3, image_std=[0.25] * 3, size={"height": 64, "width": 64}).save_pretrained(
        checkpoint_copy
    )
    (checkpoint_copy / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.1] * 3}))
    segmentor = VideomtSegmentor.from_pretrained(str(checkpoint_copy), device=CPU)
    assert (segmentor.image_mean, segmentor.image_std) == ((0.5,) * 3, (0.25,) * 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": {"height": 640, "width": 640}}, "size is .*640.*expected a height and a width of 64, image_size of config"),
        ({"size": {"shortest_edge": 64}}, "size is .*shortest_edge.*expected a height and a width of 64"),
        ({"do_center_crop": True}, "do_center_crop is True; expected false"),
        ({"do_grayscale": True}, "do_grayscale is True; expected false"),
    ],
)
def test_a_video_processor_that_does_something_else_is_refused(checkpoint_copy, settings, message):
    (checkpoint_copy / "video_preprocessor_config.json").write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match=message):
        load_model(str(checkpoint_copy), device=CPU)


def test_weights_that_lack_the_memory_are_refused(checkpoint_copy):
    from safetensors.torch import load_file, save_file

    file = checkpoint_copy / "model.safetensors"
    save_file({name: value for name, value in load_file(file).items() if "query_updater" not in name}, file)
    with pytest.raises(CheckpointError, match="lacks 2 of its tensors: query_updater.bias, query_updater.weight"):
        load_model(str(checkpoint_copy), device=CPU)
