import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch

from mpvss_model import CheckpointError, ConfigError, VideoSegmentor
from mpvss_model.evaluation.flops import stream_cost
from mpvss_model.image import FramePadding
from mpvss_model.motion.config import MotionConfig
from mpvss_model.motion.module import MotionModule
from mpvss_model.propagation.registry import make_propagator
from mpvss_model.segmentor.key_frame import KeyFrame
from mpvss_model.segmentor.registry import load_model

IMAGE = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)


@pytest.fixture(scope="module")
def motion():
    sizes = MotionConfig(
        num_queries=5,
        query_size=16,
        hidden_size=16,
        num_layers=2,
        num_heads=2,
        ffn_size=16,
        encoder_channels=(4, 4, 4, 4, 4, 4),
        upsampled_channels=(4, 4, 4, 4),
    )
    return MotionModule(sizes).eval()


@pytest.fixture
def key_frame():
    generator = torch.Generator().manual_seed(0)
    return KeyFrame(
        image=IMAGE,
        stamp_s=0.0,
        padding=FramePadding(64, 96),
        mask_logits=torch.randn(5, 16, 24, generator=generator),
        class_logits=torch.randn(5, 4, generator=generator),
        queries=torch.randn(5, 16, generator=generator),
    )


@pytest.mark.parametrize("name", ["segment", "pixel", "fine", "tracked", "dense", "copy"])
def test_nothing_moves_between_a_frame_and_itself(name, motion, key_frame):
    queries = torch.tensor([0, 2, 3])
    with torch.inference_mode():
        masks = make_propagator(name, motion=motion).propagate(key_frame, IMAGE, queries)
    torch.testing.assert_close(masks, key_frame.mask_logits[queries], atol=0.05, rtol=0.05)


def test_auto_is_what_the_model_recommends(tiny_checkpoint, tiny_motion_checkpoint, tmp_path):
    def chosen(model):
        return type(VideoSegmentor.from_pretrained(str(model), device="cpu").propagator).__name__

    assert chosen(tiny_checkpoint) == "TrackedFlowPropagator"
    assert chosen(tiny_motion_checkpoint) == "MotionPropagator"
    shutil.copytree(tiny_motion_checkpoint, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "propagation": "tracked"}))
    assert chosen(tmp_path) == "TrackedFlowPropagator"
    for wrong in ("auto", "teleport"):
        (tmp_path / "config.json").write_text(json.dumps({**config, "propagation": wrong}))
        with pytest.raises(CheckpointError, match=f"propagation in config.json must be one of segment, .*, got '{wrong}'"):
            chosen(tmp_path)


@pytest.mark.parametrize("refines_tracked_flow", [False, True])
def test_the_cost_of_learned_flow_is_that_of_its_module(motion, refines_tracked_flow, tiny_checkpoint):
    segmentor = load_model(tiny_checkpoint, device=torch.device("cpu")).segmentor
    sizes = {"num_queries": segmentor.model.config.num_queries, "query_size": segmentor.model.config.hidden_dim}
    module = MotionModule(dataclasses.replace(motion.config, **sizes, refines_tracked_flow=refines_tracked_flow))
    learned, *free = (
        stream_cost(segmentor, make_propagator(name, motion=module), frame_size=(64, 96))
        for name in ("segment", "tracked", "dense", "copy")
    )
    assert learned.parts["motion"].parameters == sum(p.numel() for p in module.parameters())
    assert all("motion" not in cost.parts for cost in free)


@pytest.mark.parametrize("name", ["segment", "pixel"])
def test_learned_flow_needs_a_motion_module(name):
    with pytest.raises(ConfigError, match=f"propagation '{name}' needs a model with a trained motion module"):
        make_propagator(name, motion=None)


def test_an_unknown_propagation_is_named():
    with pytest.raises(ConfigError, match="must be one of auto, segment, pixel, fine, tracked, dense, copy, got 'magic'"):
        make_propagator("magic", motion=None)
