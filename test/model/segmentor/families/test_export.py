"""Networks of families as ONNX files: the numbers of PyTorch, in batches of any number."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mpvss_model.segmentor.families.known_pooling import KnownPooling
from mpvss_model.segmentor.registry import load_model
from test.tiny_families import busy_frame

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from mpvss_model.segmentor.exported.export import export_network
from mpvss_model.segmentor.exported.network import ExportedNetwork

CPU = torch.device("cpu")
# Neither side is a multiple of the padding.
FRAMES = np.stack([busy_frame(70, 101), 255 - busy_frame(70, 101), busy_frame(70, 101, seed=3)])


def assert_same(outputs, key_frame):
    """Of one frame: what the exported network gives, and what the segmentor gives."""
    expected = key_frame.mask_logits, key_frame.class_logits, key_frame.queries
    for ours, theirs in zip(outputs, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("model_type", ["segformer", "upernet", "dpt", "beit", "maskformer", "oneformer"])
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
