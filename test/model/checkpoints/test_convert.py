import json
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mpvss_model.checkpoints.convert import convert, model_from_released, motion_from_released, read_released
from mpvss_model.checkpoints.load import load_checkpoint
from mpvss_model.checkpoints.mpvss_model import MPVSSModel
from mpvss_model.checkpoints.parity import fixture_weights
from mpvss_model.errors import CheckpointError, ConfigError

PARITY = Path(__file__).parents[2] / "data" / "parity"


@pytest.fixture(scope="module")
def released():
    return fixture_weights(PARITY / "model_small_weights.json")


@pytest.fixture(scope="module")
def released_motion():
    return fixture_weights(PARITY / "motion_small_weights.json")


@pytest.fixture(scope="module")
def released_file(released, tmp_path_factory):
    file = tmp_path_factory.mktemp("released") / "model_final.pth"
    torch.save({"model": released, "iteration": 90_000}, file)
    return file


@pytest.fixture(scope="module")
def converted(released_file, tmp_path_factory):
    out_dir = tmp_path_factory.mktemp("converted") / "deep" / "model"
    return convert(released_file, out_dir)


def test_report_says_what_was_found(converted):
    assert converted.backbone == (
        "swin (embed_dim 32, depths [2, 2, 2, 2], num_heads [1, 2, 4, 8], window_size 7, mlp_ratio 4.0)"
    )
    assert (converted.num_classes, converted.num_queries, converted.decoder_layers) == (7, 20, 3)
    assert converted.motion.encoder_channels == (64, 128, 256, 64, 64, 128)
    assert converted.ignored == ("criterion.empty_weight",)


def test_directory_holds_the_same_model(converted, released):
    model = load_checkpoint(converted.out_dir)
    assert isinstance(model, MPVSSModel) and not model.training and model.config.released_grid
    expected = model_from_released(released).state_dict()
    assert model.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    assert model.num_parameters() == converted.num_parameters


def test_directory_is_laid_out_as_transformers_does(converted):
    out_dir = Path(converted.out_dir)
    assert sorted(file.name for file in out_dir.iterdir()) == ["config.json", "model.safetensors", "preprocessor_config.json"]
    assert [path.name for path in out_dir.parent.iterdir()] == ["model"]
    preprocessor = json.loads((out_dir / "preprocessor_config.json").read_text())
    assert preprocessor["image_mean"] == [0.485, 0.456, 0.406] and preprocessor["image_std"] == [0.229, 0.224, 0.225]
    segmentor = json.loads((out_dir / "config.json").read_text())["segmentor"]
    assert segmentor["id2label"] == {str(i): f"LABEL_{i}" for i in range(7)}


def test_class_names_are_kept(released_file, tmp_path):
    names = ("road", "sky", "tree", "car", "person", "dog", "door")
    convert(released_file, tmp_path / "named", names)
    config = load_checkpoint(str(tmp_path / "named")).config.segmentor
    assert tuple(config.id2label.values()) == names and config.label2id["car"] == 3
    with pytest.raises(ConfigError, match="got 2 class names for a checkpoint of 7 classes"):
        convert(released_file, tmp_path / "misnamed", names[:2])
    assert not (tmp_path / "misnamed").exists()


def test_empty_directory_is_filled_and_any_other_left_alone(released_file, tmp_path):
    (tmp_path / "empty").mkdir()
    convert(released_file, tmp_path / "empty")
    with pytest.raises(CheckpointError, match="empty' exists and is not an empty directory: give a new one"):
        convert(released_file, tmp_path / "empty")
    with pytest.raises(CheckpointError, match="model_final.pth' exists and is not an empty directory"):
        convert(released_file, released_file)


def test_failed_write_leaves_nothing(released_file, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(MPVSSModel, "save_pretrained", fail)
    with pytest.raises(CheckpointError, match="cannot write .*out': No space left on device"):
        convert(released_file, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_half_precision_becomes_float32(released):
    model = model_from_released({name: value.half() for name, value in released.items()})
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def listed_problems(error):
    """Names after each kind of problem, from the message of a strict conversion."""
    parts = str(error.value).split(": ", 1)[1].split("; ")
    return {re.match(r"\d+ ([a-z ]+):", part)[1]: part.split(": ", 1)[1] for part in parts}


def test_every_bad_tensor_is_listed(released):
    broken = dict(released)
    # Configuration is read off the first two of these.
    missing = [
        "sem_seg_head.predictor.class_embed.weight",
        "motion.decoder.query_embed.weight",
        "backbone.layers.1.blocks.0.attn.qkv.bias",
        "motion.decoder.predict_flow.conv.weight",
    ]
    for name in missing:
        del broken[name]
    broken["head.surprise"] = torch.zeros(1)
    broken["backbone.norm1.bias"] = torch.zeros(63)
    broken["sem_seg_head.predictor.class_embed.bias"] = torch.zeros(3)
    with pytest.raises(CheckpointError) as error:
        model_from_released(broken)
    problems = listed_problems(error)
    assert problems["missing"].split(", ") == sorted(missing)
    assert problems["unexpected"] == "head.surprise"
    assert "backbone.norm1.bias [63] instead of [64]" in problems["of the wrong shape"]
    assert "sem_seg_head.predictor.class_embed.bias [3] instead of [125]" in problems["of the wrong shape"]
    assert "\n" not in str(error.value)


def test_queries_of_segmentor_and_motion_module_must_agree(released):
    with pytest.raises(CheckpointError, match=r"1 of the wrong shape: motion.decoder.query_embed.weight \[19, "):
        model_from_released({**released, "motion.decoder.query_embed.weight": torch.zeros(19, 256)})


def test_sizes_that_make_no_network_are_an_error(released):
    with pytest.raises(CheckpointError, match="the shapes of the tensors make no model: "):
        model_from_released({**released, "motion.decoder.query_embed.weight": torch.zeros(20, 30)})


def test_motion_module_alone_is_strict_too(released_motion):
    broken = {name: value for name, value in released_motion.items() if name != "encoder.conv3.1.conv.bias"}
    with pytest.raises(CheckpointError, match="1 missing: motion.encoder.conv3.1.conv.bias"):
        motion_from_released(broken)


def test_motion_module_alone_makes_no_directory(released_motion, tmp_path):
    torch.save(released_motion, tmp_path / "motion.pth")
    with pytest.raises(CheckpointError, match="motion.pth' holds a motion module alone: a model needs the segmentor"):
        convert(tmp_path / "motion.pth", tmp_path / "out")


def test_problems_name_the_file(released_motion, tmp_path):
    torch.save({"backbone.cls_token": torch.zeros(1)}, tmp_path / "vit.pth")
    with pytest.raises(CheckpointError, match="vit.pth': cannot tell the backbone"):
        convert(tmp_path / "vit.pth", tmp_path / "out")


def test_bare_and_wrapped_state_dicts_are_read_alike(tmp_path):
    tensors = {"a": torch.arange(3.0)}
    torch.save(tensors, tmp_path / "bare.pth")
    torch.save({"model": tensors, "optimizer": {"state": {}}}, tmp_path / "wrapped.pth")
    torch.save(tensors, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("bare.pth", "wrapped.pth", "old.pth"):
        assert torch.equal(read_released(tmp_path / name)["a"], tensors["a"])


def test_truncated_and_foreign_files_are_broken(released_file, tmp_path):
    content = released_file.read_bytes()
    for name, data in {"cut.pth": content[: len(content) // 2], "text.pth": b"not a checkpoint", "empty.pth": b""}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(CheckpointError, match=f"{name}' is broken or no PyTorch file: "):
            read_released(tmp_path / name)
    for missing in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(CheckpointError, match="no checkpoint file at "):
            read_released(missing)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n", "a git-lfs pointer .*: run 'git lfs pull'"),
        (b"<!DOCTYPE html><html></html>", "a web page in place of the file itself: download it again"),
        (b"\x1f\x8b\x08\x00packed", "a gzip archive: unpack it"),
    ],
)
def test_what_is_no_checkpoint_at_all_is_named(tmp_path, content, what):
    (tmp_path / "model.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=f"model.pth' is broken or no PyTorch file: it is {what}"):
        convert(tmp_path / "model.pth", tmp_path / "out")


def test_an_archive_of_other_files_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.pth", "w") as archive:
        archive.writestr("weights/model_final.pkl", b"")
    with pytest.raises(CheckpointError, match="it is a zip archive of other files: unpack it"):
        read_released(tmp_path / "model.pth")


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_pickled_code_is_refused_and_not_run(tmp_path):
    torch.save({"model": {"weight": torch.zeros(1)}, "hook": Harmful(tmp_path / "executed")}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match="evil.pth' holds posix.mkdir, and only tensors are read, since"):
        read_released(tmp_path / "evil.pth")
    assert not (tmp_path / "executed").exists()


def test_numpy_arrays_are_refused_by_name(tmp_path):
    torch.save({"model": {"weight": np.zeros(3)}}, tmp_path / "numpy.pth")
    with pytest.raises(CheckpointError, match="numpy.* and only tensors are read.* save its state dict as plain tensors"):
        read_released(tmp_path / "numpy.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.zeros(3), "holds no named tensors, but a Tensor"),
        ({}, "holds no named tensors, but a dict"),
        ({"weight": torch.zeros(1), "epoch": 3}, "holds other things than named tensors: epoch"),
    ],
)
def test_files_without_named_tensors_are_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=message):
        read_released(tmp_path / "odd.pth")


def test_loading_is_strict(converted, tmp_path):
    tensors = load_file(Path(converted.out_dir) / "model.safetensors")
    lost = next(name for name in tensors if name.startswith("motion."))
    del tensors[lost]
    tensors["motion.surplus"] = torch.zeros(1)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_bytes((Path(converted.out_dir) / "config.json").read_bytes())
    message = f"does not fit its config.json: 1 missing: {lost}; 1 unexpected: motion.surplus"
    with pytest.raises(CheckpointError, match=re.escape(message)):
        load_checkpoint(str(tmp_path))


def test_broken_directories_are_named(converted, tmp_path):
    with pytest.raises(CheckpointError, match="cannot load model .*nothing"):
        load_checkpoint(str(tmp_path / "nothing"))
    (tmp_path / "config.json").write_bytes((Path(converted.out_dir) / "config.json").read_bytes())
    weights = (Path(converted.out_dir) / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(CheckpointError, match=f"cannot load model {str(tmp_path)!r}: "):
        load_checkpoint(str(tmp_path))
