import json

import pytest
import torch
from transformers import AutoConfig, AutoModel, SegformerConfig

from mpvss_model.checkpoints.mpvss_model import MPVSSConfig, MPVSSModel, paper_config
from mpvss_model.errors import ConfigError
from mpvss_model.segmentor.mask2former.backbones import (
    BACKBONES,
    backbone_name,
    mask2former_config,
    resnet_config,
    swin_config,
)

# Millions of parameters of the released networks with 124 classes.
PARAMETERS_M = {"r50": 84.120, "r101": 103.112, "swin-t": 87.518, "swin-s": 108.836, "swin-b": 147.001, "swin-l": 255.567}

SMALL_MOTION = dict(
    num_queries=5, query_size=32, hidden_size=16, num_layers=2, num_heads=2, ffn_size=16, encoder_channels=(4, 4, 4, 4, 4, 4),
    upsampled_channels=(4, 4, 4, 4),
)  # fmt: skip


def small_config(**settings):
    segmentor = mask2former_config(
        swin_config(embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1], window_size=4),
        3,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        num_attention_heads=2,
        encoder_layers=1,
        encoder_feedforward_dim=16,
        decoder_layers=2,
        dim_feedforward=16,
        num_queries=5,
    )
    return MPVSSConfig(**{"segmentor": segmentor, "motion": SMALL_MOTION, **settings})


@pytest.mark.parametrize("backbone", PARAMETERS_M)
def test_paper_s_networks_have_their_parameters(backbone):
    with torch.device("meta"):
        model = MPVSSModel(paper_config(backbone, 124))
    assert model.num_parameters() / 1e6 == pytest.approx(PARAMETERS_M[backbone], rel=5e-5)
    assert backbone_name(model.config.segmentor.backbone_config) == backbone


def test_unknown_backbones_are_rejected_and_described():
    with pytest.raises(ConfigError, match="unknown backbone 'vit'; known are r50, r101, swin-t, swin-s, swin-b, swin-l"):
        paper_config("vit", 19)
    assert set(BACKBONES) == set(PARAMETERS_M)
    assert backbone_name(resnet_config(depths=[2, 2, 2, 2], layer_type="basic")).startswith("resnet (layer_type basic, ")


@pytest.mark.parametrize("motion", [SMALL_MOTION, None])
def test_one_directory_holds_segmentor_and_motion_module(tmp_path, motion):
    model = MPVSSModel(small_config(motion=motion, released_grid=True)).eval()
    model.save_pretrained(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    loaded, info = MPVSSModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert loaded.config.released_grid and loaded.config.segmentor.num_labels == 3
    assert (loaded.motion is None) == (motion is None)
    state = model.state_dict()
    assert state.keys() == loaded.state_dict().keys()
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(model(image).masks_queries_logits, loaded(image).masks_queries_logits)


def test_config_is_plain_json(tmp_path):
    small_config().save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    assert settings["model_type"] == "mpvss" and settings["motion"]["num_layers"] == 2
    assert settings["segmentor"]["num_queries"] == 5


def test_auto_classes_know_the_model(tmp_path):
    MPVSSModel(small_config()).save_pretrained(tmp_path)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), MPVSSConfig)
    assert isinstance(AutoModel.from_pretrained(tmp_path), MPVSSModel)


def test_loading_without_motion_weights_starts_a_new_motion_module(tmp_path):
    without = MPVSSModel(small_config(motion=None))
    without.save_pretrained(tmp_path)
    torch.manual_seed(0)
    model = MPVSSModel.from_pretrained(tmp_path, config=small_config()).eval()
    assert all(parameter.isfinite().all() for parameter in model.motion.parameters())
    assert torch.equal(model.motion.decoder.layers[0].norm1.weight, torch.ones(16))
    images, queries = torch.zeros(1, 3, 64, 64, dtype=torch.uint8), torch.randn(1, 5, 32)
    assert not model.motion(images, images, queries).segment_flow.any()
    assert torch.equal(model.segmentor.class_predictor.weight, without.segmentor.class_predictor.weight)


@pytest.mark.parametrize("segmentor", [{"model_type": "segformer"}, SegformerConfig()])
def test_a_segmentor_without_queries_is_refused(segmentor):
    with pytest.raises(ConfigError, match="segmentor in config.json is of type 'segformer'; expected 'mask2former'"):
        MPVSSConfig(segmentor=segmentor)


@pytest.mark.parametrize("motion", [{"num_queries": 6}, {"query_size": 16}])
def test_motion_module_must_fit_the_segmentor(motion):
    with pytest.raises(ConfigError, match="the motion module takes . queries of .. channels, but the segmentor makes 5 of 32"):
        small_config(motion={**SMALL_MOTION, **motion})
