import numpy as np
import pytest
import torch

from mpvss_model.errors import ConfigError
from mpvss_model.image import FramePadding
from mpvss_model.motion.config import MotionConfig
from mpvss_model.motion.module import MotionModule
from mpvss_model.propagation.motion_module import MotionPropagator, RefinedFlowPropagator
from mpvss_model.propagation.optical_flow import TrackedFlowPropagator, warped_image, warped_masks
from mpvss_model.segmentor.key_frame import KeyFrame

CONFIG = MotionConfig(
    num_queries=4, query_size=8, hidden_size=8, num_layers=1, num_heads=2, ffn_size=8, encoder_channels=(4,) * 6,
    upsampled_channels=(4,) * 4,
)  # fmt: skip


@pytest.fixture
def key_frame():
    rng = np.random.default_rng(0)
    padding = FramePadding(40, 60)
    height, width = (side // 4 for side in padding.padded_size)
    return KeyFrame(
        image=rng.integers(0, 256, (40, 60, 3), dtype=np.uint8),
        stamp_s=0.0,
        padding=padding,
        mask_logits=torch.randn(4, height, width),
        class_logits=torch.randn(4, 3),
        queries=torch.randn(4, 8),
    )


@pytest.mark.parametrize("flow", ["segment", "pixel"])
@torch.inference_mode()
def test_new_module_keeps_the_masks_of_the_selected_queries(key_frame, flow):
    propagator = MotionPropagator(MotionModule(CONFIG).eval(), flow=flow)
    selected = torch.tensor([0, 2, 3])
    warped = propagator.propagate(key_frame, key_frame.image[::-1], selected)
    torch.testing.assert_close(warped, key_frame.mask_logits[selected], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_pixel_flow_ignores_what_queries_say(key_frame):
    module = MotionModule(CONFIG).eval()
    torch.nn.init.ones_(module.segment_flow.fusion.bias)
    everything = torch.arange(4)
    moved = MotionPropagator(module).propagate(key_frame, key_frame.image, everything)
    still = MotionPropagator(module, flow="pixel").propagate(key_frame, key_frame.image, everything)
    torch.testing.assert_close(still, key_frame.mask_logits, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(moved, still)


def test_unknown_flow_is_rejected():
    with pytest.raises(ConfigError, match="flow must be one of segment, pixel, got 'dense'"):
        MotionPropagator(MotionModule(CONFIG), flow="dense")


@torch.inference_mode()
def test_a_new_module_refines_nothing(key_frame):
    frames = [np.roll(key_frame.image, shift, axis=1) for shift in (2, 4, 6)]
    selected = torch.tensor([1, 3])
    refined, tracked = RefinedFlowPropagator(MotionModule(CONFIG).eval()), TrackedFlowPropagator()
    for frame in frames:
        expected = tracked.propagate(key_frame, frame, selected)
        torch.testing.assert_close(refined.propagate(key_frame, frame, selected), expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_the_module_sees_the_key_image_where_tracked_flow_has_carried_it(key_frame):
    padding = key_frame.padding
    flow = np.zeros((padding.padded_size[0] // 4, padding.padded_size[1] // 4, 2), np.float32)
    np.testing.assert_array_equal(warped_image(key_frame.image, flow, padding), key_frame.image)
    flow[..., 0] = 2.0  # of 4 pixels each
    warped = warped_image(key_frame.image, flow, padding)
    np.testing.assert_array_equal(warped[:, :48], key_frame.image[:, 8:56])
    masks = warped_masks(key_frame.mask_logits, flow, padding)
    torch.testing.assert_close(masks[:, :10, :13], key_frame.mask_logits[:, :10, 2:15])
