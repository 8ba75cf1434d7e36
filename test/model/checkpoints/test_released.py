"""Names, sizes and meaning of the tensors in checkpoints of the authors' code."""

import pytest
import torch
import torch.nn.functional as F

from mpvss_model.checkpoints.convert import model_from_released
from mpvss_model.checkpoints.mpvss_model import MPVSSConfig, MPVSSModel, paper_config
from mpvss_model.checkpoints.released_names import is_ignored, released_tensor
from mpvss_model.checkpoints.released_sizes import TensorShapes, released_mpvss_config
from mpvss_model.errors import CheckpointError
from mpvss_model.motion.config import MotionConfig
from mpvss_model.segmentor.mask2former.backbones import BACKBONES, backbone_name, mask2former_config, resnet_config


def released_layout(model):
    """Shapes of a model's tensors under their released names."""
    shapes = {}
    for name, value in model.state_dict().items():
        source = released_tensor(name)
        if source is not None:
            shapes[source.name] = (value.shape[0] * source.parts, *value.shape[1:])
    return shapes


@pytest.mark.parametrize("num_classes", [19, 124])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_paper_network_is_recognised_by_its_shapes(backbone, num_classes):
    with torch.device("meta"):
        shapes = released_layout(MPVSSModel(paper_config(backbone, num_classes)))
    config = released_mpvss_config(TensorShapes(shapes))
    assert backbone_name(config.segmentor.backbone_config) == backbone
    assert config.segmentor.num_labels == num_classes
    assert MotionConfig.from_dict(config.motion) == MotionConfig()
    assert config.released_grid
    expected = paper_config(backbone, num_classes).segmentor
    for name in ("num_queries", "decoder_layers", "encoder_layers", "num_attention_heads", "dim_feedforward", "feature_size"):
        assert getattr(config.segmentor, name) == getattr(expected, name)


def test_other_backbones_are_refused():
    with pytest.raises(CheckpointError, match=r"cannot tell the backbone: expected tensors backbone.patch_embed.\* "):
        released_mpvss_config(TensorShapes({"backbone.cls_token": (1, 1, 384)}))


def test_training_state_is_ignored_and_nothing_else():
    assert is_ignored("criterion.empty_weight")
    assert is_ignored("backbone.layers.0.blocks.1.attn.relative_position_index")
    assert is_ignored("backbone.res2.0.conv1.norm.num_batches_tracked")
    assert not is_ignored("backbone.res2.0.conv1.norm.running_mean")


def test_names_without_a_rule_are_an_error():
    with pytest.raises(KeyError, match="no rule for the released name of 'segmentor.nonsense'"):
        released_tensor("segmentor.nonsense")


def small_resnet_checkpoint(layer_type):
    """A random per-frame Mask2Former with a small ResNet, as the authors' code would save it."""
    torch.manual_seed(0)
    config = mask2former_config(
        resnet_config(embedding_size=8, hidden_sizes=[16, 24, 32, 40], depths=[1, 2, 1, 1], layer_type=layer_type),
        3,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_layers=1,
        decoder_layers=2,
        num_queries=4,
    )
    with torch.device("meta"):
        layout = released_layout(MPVSSModel(MPVSSConfig(segmentor=config)))
    released = {name: torch.randn(shape) * 0.2 for name, shape in layout.items()}
    for name, value in released.items():
        if name.endswith("running_var"):
            value.exp_()
    return released


def detectron2_resnet(released, x, layer_type):
    """Feature maps of a ResNet in detectron2's layout, written out; the stride is in the 3x3 convolution."""

    def conv(x, name, stride=1, padding=0):
        norm = [released[f"backbone.{name}.norm.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(F.conv2d(x, released[f"backbone.{name}.weight"], None, stride, padding), *norm)

    x = F.max_pool2d(F.relu(conv(x, "stem.conv1", 2, 3)), 3, 2, 1)
    features = []
    for stage, depth in enumerate((1, 2, 1, 1), start=2):
        for i in range(depth):
            name, stride = f"res{stage}.{i}", 2 if stage > 2 and i == 0 else 1
            shortcut = conv(x, f"{name}.shortcut", stride) if i == 0 else x
            if layer_type == "bottleneck":
                y = F.relu(conv(x, f"{name}.conv1"))
                y = conv(F.relu(conv(y, f"{name}.conv2", stride, 1)), f"{name}.conv3")
            else:
                y = conv(F.relu(conv(x, f"{name}.conv1", stride, 1)), f"{name}.conv2", 1, 1)
            x = F.relu(y + shortcut)
        features.append(x)
    return features


@pytest.mark.parametrize("layer_type", ["bottleneck", "basic"])
@torch.inference_mode()
def test_resnet_computes_what_detectron2_computes(layer_type):
    released = small_resnet_checkpoint(layer_type)
    model = model_from_released(released)
    assert model.motion is None and not model.training
    image = torch.randn(1, 3, 64, 96)
    ours = model.segmentor.model.pixel_level_module.encoder(image).feature_maps
    for feature, expected in zip(ours, detectron2_resnet(released, image, layer_type), strict=True):
        torch.testing.assert_close(feature, expected)
