"""Networks of families as ONNX files: the numbers of PyTorch, in batches of any number."""

import json
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mpvss_model import CheckpointError
from mpvss_model.image import resized
from mpvss_model.segmentor.eomt.known_resizing import KnownResizing
from mpvss_model.segmentor.exported.export import export_network
from mpvss_model.segmentor.exported.exporting_segmentor import ExportingSegmentor
from mpvss_model.segmentor.exported.network import ExportedNetwork
from mpvss_model.segmentor.families.known_pooling import KnownPooling
from mpvss_model.segmentor.registry import load_model
from test.tiny_families import CLASSES, busy_frame

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

CPU = torch.device("cpu")
# Neither side is a multiple of the padding.
FRAMES = np.stack([busy_frame(70, 101), 255 - busy_frame(70, 101), busy_frame(70, 101, seed=3)])


def assert_same(outputs, key_frame):
    """Of one frame: what the exported network gives, and what the segmentor gives."""
    expected = key_frame.mask_logits, key_frame.class_logits, key_frame.queries
    for ours, theirs in zip(outputs, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize(
    "model_type", ["segformer", "upernet", "dpt", "beit", "maskformer", "oneformer", "eomt", "eomt_dinov3"]
)
def test_each_frame_of_a_batch_gets_what_it_gets_alone(model_type, family_directory, tmp_path):
    segmentor = load_model(family_directory(model_type), device=CPU).segmentor
    done = export_network(segmentor, tmp_path / "network.onnx", frames=list(FRAMES))
    assert done.equal_share >= 0.9999 and done.description.model_type == model_type
    network = ExportedNetwork(done.file, dynamic=True)
    key_frames = [segmentor.segment(frame, 0.0) for frame in FRAMES]
    assert len(np.unique(key_frames[0].mask_logits.argmax(dim=0))) > 1
    for batch in (FRAMES, FRAMES[:1]):
        for *outputs, key_frame in zip(*network.run(batch), key_frames, strict=False):
            assert_same(outputs, key_frame)


@pytest.mark.parametrize("model_type", ["eomt", "eomt_dinov3"])
def test_squares_are_cut_and_merged_within_the_network(model_type, family_directory, tmp_path):
    directory = shutil.copytree(family_directory(model_type), tmp_path / "split")
    (directory / "preprocessor_config.json").write_text(json.dumps({"do_split_image": True}))
    segmentor = load_model(str(directory), device=CPU).segmentor
    done = export_network(segmentor, tmp_path / "network.onnx", frames=list(FRAMES))
    assert done.equal_share >= 0.9999
    masks, classes, queries = ExportedNetwork(done.file, dynamic=True).run(FRAMES)
    for i, frame in enumerate(FRAMES):
        alone = segmentor.segment(frame, 0.0)
        assert len(alone.mask_logits) == len(CLASSES), "several squares"
        # Logits of scores near 1 are large, and far from exact.
        torch.testing.assert_close(masks[i].sigmoid(), alone.mask_logits.sigmoid(), atol=1e-3, rtol=1e-3)
        assert torch.equal(classes[i], alone.class_logits) and queries[i].shape == (len(CLASSES), 0)


def test_an_exported_file_is_a_segmentor_of_its_own(family_directory, tmp_path):
    segmentor = load_model(family_directory("eomt"), device=CPU).segmentor
    done = export_network(segmentor, tmp_path, frames=[FRAMES[0]])
    loaded = load_model(str(done.file), device=CPU).segmentor
    key_frame = loaded.segment(FRAMES[0], 0.0)
    assert_same((key_frame.mask_logits, key_frame.class_logits, key_frame.queries), segmentor.segment(FRAMES[0], 0.0))
    assert loaded.class_names == segmentor.class_names


def test_what_has_a_memory_is_refused_by_name(tiny_videomt_checkpoint, tmp_path):
    segmentor = load_model(tiny_videomt_checkpoint, device=CPU).segmentor
    message = r"cannot be exported: VideomtSegmentor has a memory.* run it in PyTorch \(runtime: torch\)"
    with pytest.raises(CheckpointError, match=message):
        export_network(segmentor, tmp_path / "network.onnx", frames=[FRAMES[0]])
    with pytest.raises(CheckpointError, match=message):
        ExportingSegmentor(segmentor, provider="cpu", folder=None, report=print)
    assert not [*tmp_path.iterdir()]


def test_an_eomt_that_is_random_is_refused_by_name(family_directory, tmp_path):
    segmentor = load_model(family_directory("eomt"), device=CPU).segmentor
    segmentor.model.attn_mask_probs.fill_(0.25)
    with pytest.raises(CheckpointError, match=r"cannot be exported: attn_mask_probs is \[0.25\]"):
        export_network(segmentor, tmp_path / "network.onnx", frames=[FRAMES[0]])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((70, 101), (70, 101)),
        ((70, 101), (44, 64)),
        ((70, 101), (140, 202)),
        ((96, 128), (48, 64)),
        ((90, 120), (30, 40)),
        ((240, 320), (64, 85)),
        ((301, 403), (64, 85)),
    ],
)
def test_frames_are_resized_as_they_are_without_export(before, after):
    frame = np.random.default_rng(0).integers(0, 256, (*before, 3), np.uint8)
    found = KnownResizing(before, after)(torch.from_numpy(frame).permute(2, 0, 1)[None].float())
    expected = torch.from_numpy(resized(frame, after)).permute(2, 0, 1)[None].float()
    assert found.shape == expected.shape and (found - expected).abs().max() <= 1
    assert (found == expected).float().mean() > 0.9995


@pytest.mark.parametrize("size", [1, 3, (2, 6), (7, 11)])
def test_known_pooling_is_adaptive_pooling_in_its_own_block_alone(size):
    image = torch.rand(2, 3, 7, 11)
    pooling = torch.nn.AdaptiveAvgPool2d(size)
    with KnownPooling():
        found = pooling(image)
        torch.testing.assert_close(F.avg_pool2d(image, 3), torch.nn.AvgPool2d(3)(image))
    expected = pooling(image)
    torch.testing.assert_close(found, expected)
    assert torch.equal(expected, F.adaptive_avg_pool2d(image, size))
