"""Keeps the tests' ROS traffic on this machine and away from other test runs, and their threads off the other core."""

import os

os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_DOMAIN_ID"] = str(101 + os.getpid() % 100)

import cv2  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

# Times of a busy machine say nothing, and what CI finds must be found again.
settings.register_profile("mpvss", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("mpvss")
torch.set_num_threads(1)
cv2.setNumThreads(1)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory):
    """A directory with a random Mask2Former of three classes that takes milliseconds."""
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

    torch.manual_seed(0)
    backbone = SwinConfig(embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4, out_indices=[1, 2, 3, 4])
    config = Mask2FormerConfig(
        backbone_config=backbone,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=32,
        encoder_layers=1,
        decoder_layers=3,
        num_attention_heads=2,
        dim_feedforward=32,
        num_queries=7,
        id2label={0: "background", 1: "robot", 2: "wall"},
        label2id={"background": 0, "robot": 1, "wall": 2},
    )
    directory = tmp_path_factory.mktemp("tiny-mask2former")
    Mask2FormerForUniversalSegmentation(config).save_pretrained(directory)
    return str(directory)
