"""The fast motion path against the motion module itself, and the work that it may do at most."""

import numpy as np
import pytest
import torch

from mpvss_model.image import FramePadding
from mpvss_model.motion.config import MotionConfig
from mpvss_model.motion.fast import fast_motion, key_part
from mpvss_model.motion.module import MotionModule
from mpvss_model.propagation.motion_module import MotionPropagator
from mpvss_model.runtime.cuda import GraphedFunction
from mpvss_model.segmentor.key_frame import KeyFrame
from test.model.segmentor.mask2former.test_fast_network import CountedOperators

CONFIG = MotionConfig(
    num_queries=12, query_size=24, hidden_size=16, num_layers=3, num_heads=2, ffn_size=32,
    encoder_channels=(8, 12, 16, 16, 24, 32), upsampled_channels=(8, 8, 8, 8),
)  # fmt: skip


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    module = MotionModule(CONFIG).eval()
    for head in (module.pixel_flow.predict_flow.weight, module.segment_flow.fusion.weight, module.segment_flow.fusion.bias):
        torch.nn.init.normal_(head, std=0.3)
    return module


@pytest.mark.parametrize("size", [(64, 96), (45, 70), (64, 96)])
@torch.inference_mode()
def test_flow_is_that_of_the_module(module, size):
    current, key = torch.randint(0, 256, (2, 1, 3, *size), dtype=torch.uint8)
    queries, selected = torch.randn(12, 24), torch.tensor([0, 3, 7])
    expected = module(current, key, queries.unsqueeze(0), selected)
    motion = fast_motion(module, current, key_part(module, key), queries, selected)
    torch.testing.assert_close(motion.pixel_flow, expected.pixel_flow, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(motion.segment_flow, expected.segment_flow, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_only_the_selected_queries_are_warped_and_the_key_image_is_read_once(module):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (3, 64, 96, 3), dtype=np.uint8)
    key_frame = KeyFrame(
        image=frames[0], stamp_s=0.0, padding=FramePadding(64, 96), mask_logits=torch.randn(12, 16, 24),
        class_logits=torch.randn(12, 4), queries=torch.randn(12, 24),
    )  # fmt: skip
    propagator = MotionPropagator(module)
    selected = torch.tensor([1, 2, 5])
    calls = []
    for frame in frames[1:]:
        with CountedOperators() as counted:
            assert propagator.propagate(key_frame, frame, selected).shape == (3, 16, 24)
        calls.append(counted.calls)
    convolutions = [each["convolution"] for each in calls]
    # One convolution less: the key image's part of the first one.
    assert convolutions[0] - convolutions[1] == 1
    layers = sum(isinstance(layer, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)) for layer in module.modules())
    # The fusion is done in two parts, for what all queries share and for their own.
    assert convolutions[1] == layers + 1
    assert calls[1]["grid_sampler_2d"] == 1


def test_without_a_gpu_a_graphed_function_is_just_called():
    double = GraphedFunction(lambda x: (2 * x,))
    assert double(torch.ones(3))[0].tolist() == [2.0, 2.0, 2.0]
