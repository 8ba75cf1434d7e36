import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Mask2FormerForUniversalSegmentation

from mpvss_model import CheckpointError, StreamConfig, VideoSegmentor
from mpvss_model.segmentor.mask2former.efficientnet_lite import (
    EfficientNetLiteBackbone,
    EfficientNetLiteConfig,
    imagenet_state_dict,
)
from mpvss_model.segmentor.mask2former.segmentor import Mask2FormerSegmentor

CPU = torch.device("cpu")
FRAME = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)


@pytest.fixture
def checkpoint_copy(tiny_checkpoint, tmp_path):
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))


def test_a_key_frame_holds_what_transformers_computes(tiny_checkpoint):
    segmentor = Mask2FormerSegmentor.from_pretrained(tiny_checkpoint, device=CPU)
    key_frame = segmentor.segment(FRAME, 1.5)
    model = Mask2FormerForUniversalSegmentation.from_pretrained(tiny_checkpoint).eval()
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1)
    pixels = (torch.from_numpy(FRAME).permute(2, 0, 1)[None] / 255 - mean) / std
    with torch.no_grad():
        expected = model(pixels)
    torch.testing.assert_close(key_frame.mask_logits, expected.masks_queries_logits[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(key_frame.class_logits, expected.class_queries_logits[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(segmentor.model.class_predictor(key_frame.queries), key_frame.class_logits)
    assert segmentor.class_names == ("background", "robot", "wall")


def test_image_statistics_come_with_the_checkpoint(checkpoint_copy):
    plain = Mask2FormerSegmentor.from_pretrained(str(checkpoint_copy), device=CPU).segment(FRAME, 0.0)
    settings = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    (checkpoint_copy / "preprocessor_config.json").write_text(json.dumps(settings))
    other = Mask2FormerSegmentor.from_pretrained(str(checkpoint_copy), device=CPU).segment(FRAME, 0.0)
    assert not torch.allclose(plain.class_logits, other.class_logits)


def test_any_checkpoint_makes_a_video_segmentor(tiny_checkpoint):
    segmentor = VideoSegmentor.from_pretrained(tiny_checkpoint, device="cpu", config=StreamConfig(max_interval_frames=2))
    results = [segmentor.step(FRAME, i / 10) for i in range(3)]
    assert [r.is_key_frame for r in results] == [True, False, True]
    np.testing.assert_array_equal(results[0].labels, results[2].labels)


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda path: (path / "model.safetensors").unlink(), "has no weights: expected model.safetensors"),
        (lambda path: (path / "config.json").unlink(), "has no config.json"),
        (lambda path: (path / "config.json").write_text("{broken"), "cannot load model"),
        (lambda path: (path / "config.json").write_text('{"model_type": "resnet"}'), "is of type 'resnet'"),
        (lambda path: (path / "model.safetensors").write_bytes(b"\0" * 100), "cannot load model"),
        (
            lambda path: (path / "model.safetensors").write_bytes((path / "model.safetensors").read_bytes()[:-4000]),
            "cannot load model",
        ),
    ],
    ids=["no weights", "no config", "broken config", "other model", "garbage", "truncated"],
)
def test_a_broken_checkpoint_is_named(checkpoint_copy, damage, message):
    damage(checkpoint_copy)
    with pytest.raises(CheckpointError) as refusal:
        Mask2FormerSegmentor.from_pretrained(str(checkpoint_copy), device=CPU)
    assert message in str(refusal.value) and str(checkpoint_copy) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_missing_tensors_are_listed(checkpoint_copy):
    from safetensors.torch import load_file, save_file

    tensors = load_file(checkpoint_copy / "model.safetensors")
    del tensors["class_predictor.weight"], tensors["class_predictor.bias"]
    save_file(tensors, checkpoint_copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="lacks 2 of its tensors: class_predictor.bias, class_predictor.weight"):
        Mask2FormerSegmentor.from_pretrained(str(checkpoint_copy), device=CPU)


@pytest.mark.parametrize("name", ["no-such-model", "/no/such/directory", "./relative"])
def test_a_model_that_is_nowhere_says_what_to_give(name):
    with pytest.raises(CheckpointError, match="config.json and model.safetensors, a hub id"):
        Mask2FormerSegmentor.from_pretrained(name, device=CPU)


def test_efficientnet_lite_halves_the_resolution_at_each_stage():
    config = EfficientNetLiteConfig(out_features=["stage1", "stage2", "stage3", "stage4"])
    backbone = EfficientNetLiteBackbone(config).eval()
    with torch.no_grad():
        maps = backbone(torch.zeros(1, 3, 64, 96)).feature_maps
    assert [tuple(m.shape[1:]) for m in maps] == [(24, 16, 24), (40, 8, 12), (112, 4, 6), (320, 2, 3)]
    assert backbone.channels == [24, 40, 112, 320]


def test_efficientnet_lite_takes_published_tensors_in_order():
    backbone = EfficientNetLiteBackbone(EfficientNetLiteConfig())
    published = {f"_blocks.{i}.weight": torch.full_like(v, i) for i, v in enumerate(backbone.state_dict().values())}
    published |= {"_conv_head.weight": torch.zeros(1), "_bn1.bias": torch.zeros(1), "_fc.bias": torch.zeros(1)}
    renamed = imagenet_state_dict(published)
    assert list(renamed) == list(backbone.state_dict())
    assert [float(v.float().mean()) for v in renamed.values()] == [float(i) for i in range(len(renamed))]
    with pytest.raises(ValueError, match="no EfficientNet-Lite variant has these 2 tensors"):
        imagenet_state_dict({"a": torch.zeros(1), "b": torch.zeros(2)})
