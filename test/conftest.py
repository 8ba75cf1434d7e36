"""Keeps the tests' ROS traffic on this machine and away from other test runs, and their threads off the other core."""

import os
import sys

os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
# Even and odd, since both environments' tests run at a time.
os.environ["ROS_DOMAIN_ID"] = str(102 + os.getpid() % 50 * 2 + sys.prefix.endswith("-jazzy"))

import cv2
import numpy as np
import pytest
import torch
from hypothesis import settings

from test.tiny_mask2former import SIZES

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
        **SIZES,
        id2label={0: "background", 1: "robot", 2: "wall"},
        label2id={"background": 0, "robot": 1, "wall": 2},
    )
    directory = tmp_path_factory.mktemp("tiny-mask2former")
    Mask2FormerForUniversalSegmentation(config).save_pretrained(directory)
    return str(directory)


@pytest.fixture(scope="session")
def tiny_motion_checkpoint(tiny_checkpoint, tmp_path_factory):
    """The tiny checkpoint with a random motion module that sees motion everywhere."""
    from mpvss_model.checkpoints.starting_model import load_start, save_model, with_motion

    torch.manual_seed(0)
    start = load_start(tiny_checkpoint)
    settings = {"hidden_size": 32, "num_layers": 1, "num_heads": 2, "ffn_size": 32}
    channels = {"encoder_channels": (8, 8, 16, 16, 16, 16), "upsampled_channels": (8, 8, 8, 8)}
    model = with_motion(start, settings | channels)
    with torch.no_grad():
        model.segmentor.class_predictor.weight.mul_(30.0)  # so that not all frames get the same class
        for parameter in model.motion.segment_flow.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    directory = tmp_path_factory.mktemp("tiny-mpvss")
    save_model(model, directory, image_mean=start.image_mean, image_std=start.image_std)
    return str(directory)


@pytest.fixture(scope="session")
def tiny_videomt_checkpoint(tmp_path_factory):
    """A directory with a random VidEoMT of three classes, for images of 64 x 64 pixels, whose memory matters."""
    from transformers import VideomtConfig, VideomtForUniversalSegmentation

    torch.manual_seed(0)
    config = VideomtConfig(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=64,
        num_blocks=2,
        num_queries=7,
        id2label={0: "background", 1: "robot", 2: "wall"},
        label2id={"background": 0, "robot": 1, "wall": 2},
    )
    network = VideomtForUniversalSegmentation(config)
    with torch.no_grad():
        network.class_predictor.weight.mul_(30.0)  # so that not all frames get the same class
    directory = tmp_path_factory.mktemp("tiny-videomt")
    network.save_pretrained(directory)
    return str(directory)


@pytest.fixture(scope="session")
def small_clips(tmp_path_factory):
    """Two clips of the folder layout, of three classes: a bright box moves over noise, 18 and 17 frames of 32 x 48 pixels."""
    root = tmp_path_factory.mktemp("small-clips")
    (root / "classes.txt").write_text("background\nrobot\nwall\n")
    rng = np.random.default_rng(0)
    for split, clip, frames in (("first", "a", 18), ("second", "b", 17)):
        (root / f"{split}.txt").write_text(clip + "\n")
        background = rng.integers(0, 128, (32, 48, 3), np.uint8)
        for folder in ("images", "labels"):
            (root / clip / folder).mkdir(parents=True)
        for i in range(frames):
            box = (slice(8, 24), slice(i, i + 20))
            image, label = background.copy(), np.zeros((32, 48), np.uint8)
            image[box], label[box] = 220, 1
            cv2.imwrite(str(root / clip / "images" / f"{i:04d}.png"), image)
            cv2.imwrite(str(root / clip / "labels" / f"{i:04d}.png"), label)
    return root
