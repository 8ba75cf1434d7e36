"""Networks as ONNX files: the numbers of PyTorch, for frames as they are, in batches of any number."""

import copy
import sys

import numpy as np
import pytest
import torch
from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

from mpvss_model import CheckpointError, ConfigError, DataError
from mpvss_model.segmentor.mask2former.backbones import resnet_config
from mpvss_model.segmentor.mask2former.segmentor import Mask2FormerSegmentor
from mpvss_model.segmentor.network_files import quiet
from mpvss_model.segmentor.registry import load_model
from mpvss_model.segmentor.shipped_models import model_location
from test.exportable_segmentor import ExportableBrightness
from test.new_segmentor import BrightnessSegmentor
from test.tiny_mask2former import SIZES

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from mpvss_model.segmentor.exported.export import export_network, write_exported  # noqa: E402
from mpvss_model.segmentor.exported.network import ExportedNetwork  # noqa: E402

CPU = torch.device("cpu")
# Neither side is a multiple of the padding.
SIZE = (70, 90)
CLASSES = {0: "background", 1: "robot", 2: "wall"}
# The shipped model has the third kind of backbone.
BACKBONES = {
    "swin": SwinConfig(embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4, out_indices=[1, 2, 3, 4]),
    "resnet": resnet_config(embedding_size=8, hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1]),
}


def frames(count, size=SIZE):
    blocks = np.random.default_rng(0).integers(0, 255, (count, 5, 6, 3), np.uint8)
    return blocks.repeat(20, 1).repeat(20, 2)[:, : size[0], : size[1]]


def random_segmentor(backbone):
    torch.manual_seed(0)
    config = Mask2FormerConfig(
        backbone_config=BACKBONES[backbone].to_dict(),
        **SIZES,
        id2label=CLASSES,
        label2id={name: number for number, name in CLASSES.items()},
    )
    with quiet():
        model = Mask2FormerForUniversalSegmentation(config).eval()
    # Sampling offsets, attention and norms start at constants, and would test little.
    for name, tensor in model.state_dict().items():
        if "sampling_offsets" in name or "attention_weights" in name or "running_mean" in name:
            torch.nn.init.normal_(tensor, std=0.2)
    # Random masks are zero but for rounding, and all classes are as likely.
    with torch.no_grad():
        model.class_predictor.weight.mul_(30.0)
        model.model.pixel_level_module.decoder.mask_projection.weight.mul_(1e4)
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    return Mask2FormerSegmentor(model=model, name=backbone, device=CPU, image_mean=mean, image_std=std)


@pytest.fixture
def lamp():
    return ExportableBrightness("lamp", ("background", "robot"), 100.0)


@pytest.fixture(scope="module")
def swin():
    return random_segmentor("swin")


@pytest.fixture(scope="module")
def swin_file(swin, tmp_path_factory):
    return export_network(swin, tmp_path_factory.mktemp("swin") / "swin.onnx", frames=frames(2)).file


@pytest.mark.parametrize("backbone", BACKBONES)
def test_each_frame_of_a_batch_gets_the_numbers_that_the_library_gives_it_alone(backbone, swin, swin_file, tmp_path):
    segmentor, file = swin, swin_file
    if backbone != "swin":
        segmentor = random_segmentor(backbone)
        file = export_network(segmentor, tmp_path / "network.onnx", frames=frames(1)).file
    batch = frames(3)
    masks, classes, queries = ExportedNetwork(file, dynamic=True).run(batch)
    for i, frame in enumerate(batch):
        alone = segmentor.segment(frame, 0.0)
        assert masks[i].shape == alone.mask_logits.shape == (7, 24, 24)
        for ours, theirs in ((masks[i], alone.mask_logits), (classes[i], alone.class_logits), (queries[i], alone.queries)):
            # Where a mask logit is zero but for rounding, one query may see one pixel more, and differ in all it says.
            assert torch.isclose(ours, theirs, atol=2e-3, rtol=1e-3).float().mean() > 0.98
    single = ExportedNetwork(file).run(batch[2:])
    assert all(torch.allclose(one[0], many[2], atol=1e-3) for one, many in zip(single, (masks, classes, queries), strict=True))


def test_the_shipped_model_gives_the_labels_of_pytorch(tmp_path):
    segmentor = load_model(model_location("rooms-lite"), device=CPU).segmentor
    done = export_network(segmentor, tmp_path, frames=frames(2, (96, 120)))
    assert done.equal_share >= 0.9999 and done.num_frames == 2
    assert [path.name for path in tmp_path.iterdir()] == [f"rooms-lite-120x96-{segmentor.digest().hex()[:12]}.onnx"]


def test_the_file_says_what_it_holds(swin, swin_file):
    model = onnx.load(swin_file)
    onnx.checker.check_model(model, full_check=True)
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert said["mpvss.class_names"] == '["background", "robot", "wall"]'
    assert said["mpvss.image_mean"] == "[0.4, 0.5, 0.6]" and said["mpvss.padding_multiple"] == "32"
    (frames_input,) = model.graph.input
    assert frames_input.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    batch, *rest = frames_input.type.tensor_type.shape.dim
    assert batch.dim_param == "batch" and [side.dim_value for side in rest] == [*SIZE, 3]
    assert [output.name for output in model.graph.output] == ["mask_logits", "class_logits", "queries"]
    description = ExportedNetwork(swin_file).description
    assert (description.model_type, description.padding.size) == ("mask2former", SIZE)
    assert description.digest == swin.digest().hex() and description.class_names == tuple(CLASSES.values())


@pytest.mark.parametrize("opset", [17, 20])
def test_operators_are_of_the_version_that_was_asked_for(opset, lamp, tmp_path):
    done = export_network(lamp, tmp_path / "network.onnx", frames=frames(3), opset=opset)
    assert onnx.load(done.file).opset_import[0].version == done.opset == opset
    assert (done.equal_share, done.num_frames) == (1.0, 3)
    assert (done.description.model_type, done.description.image_mean) == ("ExportableBrightness", None)


def test_export_leaves_the_segmentor_as_it_was(swin, swin_file):
    assert swin.digest() == random_segmentor("swin").digest()


def test_a_network_that_gives_other_labels_is_refused_and_the_old_file_stays(lamp, tmp_path):
    (tmp_path / "network.onnx").write_text("old")
    lamp.exported_threshold = 200.0
    with pytest.raises(CheckpointError, match=r"model 'lamp' gives \d+\.\d+ % of the pixels .* expected at least 99.99 %"):
        export_network(lamp, tmp_path / "network.onnx", frames=frames(1))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("network.onnx", "old")]


@pytest.mark.parametrize(
    ("name", "size", "opset", "message"),
    [
        ("a.onnx", SIZE, 16, "opset must be in 17 .. 20, got 16"),
        ("a.onnx", SIZE, 21, "opset must be in 17 .. 20, got 21"),
        ("a.onnx", (31, 90), 17, "32 to 8192 pixels a side, got 90x31"),
        ("a.pt", SIZE, 17, "a.pt': give a file that ends in .onnx, or an existing folder"),
        ("nowhere/a.onnx", SIZE, 17, "there is no folder"),
    ],
)
def test_what_cannot_be_written_is_refused_by_name(name, size, opset, message, lamp, tmp_path):
    with pytest.raises(ConfigError, match=message):
        export_network(lamp, tmp_path / name, frames=frames(1, size), opset=opset)
    assert not [*tmp_path.iterdir()]


class SingularValues(torch.nn.Module):
    """What ONNX has no operator for."""

    def forward(self, frames):
        values = torch.linalg.svdvals(frames.float().mean(dim=-1))
        return values, values + 1, values + 2


def test_a_segmentor_without_a_network_to_export_is_refused_by_name(tmp_path):
    bright = BrightnessSegmentor("lamp", ("background", "robot"), 100.0)
    with pytest.raises(CheckpointError, match=r"model 'lamp' cannot be exported: BrightnessSegmentor offers no network"):
        export_network(bright, tmp_path / "network.onnx", frames=frames(1))


def test_a_network_that_cannot_be_traced_is_refused_in_one_line(lamp, tmp_path, capfd):
    lamp.exportable = lambda frame_size: SingularValues()
    with pytest.raises(CheckpointError, match=r"model 'lamp' cannot be exported: .*svd") as refusal:
        export_network(lamp, tmp_path / "network.onnx", frames=frames(1))
    said = capfd.readouterr()
    assert "\n" not in str(refusal.value) and not said.out and not said.err


class PairsOfFrames(torch.nn.Module):
    """Forgets that there may be any number of frames."""

    def forward(self, frames):
        gray = frames.float().mean(dim=-1).reshape(2, 1, *SIZE)
        return gray, gray + 1, gray + 2


def test_a_network_that_was_exported_and_does_not_run_is_refused_in_one_line(lamp, tmp_path):
    lamp.exportable = lambda frame_size: PairsOfFrames()
    with pytest.raises(CheckpointError, match=r"network of model 'lamp' does not run for 1 frames at a time: .*") as refusal:
        export_network(lamp, tmp_path / "network.onnx", frames=frames(1))
    assert "\n" not in str(refusal.value) and not [*tmp_path.iterdir()]


def test_a_mask2former_that_is_built_otherwise_than_the_published_ones_is_refused(swin, tmp_path):
    before = copy.deepcopy(swin.model)
    before.config.pre_norm = True
    with pytest.raises(CheckpointError, match=r"model 'pre' cannot be exported"):
        export_network(Mask2FormerSegmentor(model=before, name="pre", device=CPU), tmp_path, frames=frames(1))


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path):
    (tmp_path / ".unfinished-network.onnx").symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"no space is left on the disk of .*: free some and export again"):
        write_exported(tmp_path / "network.onnx", bytes(2**16))
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named(package, lamp, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"{package}.* is not installed: pip install {package}"):
        export_network(lamp, tmp_path / "network.onnx", frames=frames(1))
    assert not [*tmp_path.iterdir()]
