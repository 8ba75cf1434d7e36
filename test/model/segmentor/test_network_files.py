"""Checkpoints that are broken, incomplete or of another kind: one short line that names the cause."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mpvss_model import CheckpointError, VideoSegmentor

LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 123456\n"
WEB_PAGE = b"\n<!DOCTYPE html>\n<html><body>Not found</body></html>"


@pytest.fixture
def model(tiny_checkpoint, tmp_path):
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))


def set_config(model: Path, **entries):
    config = json.loads((model / "config.json").read_text()) | entries
    (model / "config.json").write_text(json.dumps({name: value for name, value in config.items() if value is not ...}))


def name_tensors(model: Path, prefix: str):
    tensors = {prefix + name: tensor for name, tensor in load_file(model / "model.safetensors").items()}
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})


def as_pickle(model: Path) -> Path:
    torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin")
    (model / "model.safetensors").unlink()
    return model / "pytorch_model.bin"


def refusal(model: Path) -> str:
    with pytest.raises(CheckpointError) as refused:
        VideoSegmentor.from_pretrained(str(model), device="cpu")
    message = str(refused.value)
    assert str(model) in message and "\n" not in message
    assert len(message.replace(str(model), "")) < 600
    return message


@pytest.mark.parametrize(
    ("id2label", "message"),
    [
        ({i: str(i) for i in range(1, 11)}, "the weights are of 3 classes, but config.json has 10"),
        ({0: "a", 3: "b"}, "the weights are of 3 classes, but config.json has 2"),
        ({0: None, 1: "b", 2: "c"}, "has null for class 0"),
        ({"x": "a", 1: "b", 2: "c"}, "id2label is {'1': 'b', '2': 'c', 'x': 'a'}; expected an object from class index"),
        (["a", "b", "c"], "id2label is ['a', 'b', 'c']; expected an object from class index to name"),
        ({i: str(i) for i in range(4)}, "the weights are of 3 classes, but config.json has 4"),
        (None, "the weights are of 3 classes, but config.json has 2"),
    ],
)
def test_classes_that_are_not_named_by_the_networks_outputs_are_refused(model, id2label, message):
    set_config(model, id2label=id2label)
    assert message in refusal(model)


@pytest.mark.parametrize(
    ("id2label", "names"),
    [
        ({1: "a", 2: "b", 3: "c"}, ("a", "b", "c")),  # as where "background" was left out of the labels of training
        ({7: "c", 0: "a", 2: "b"}, ("a", "b", "c")),
        ({0: "a", 2: "c"}, ("a", "unnamed 1", "c")),  # of three outputs
        ({1: "b", 2: "c"}, ("unnamed 0", "b", "c")),
    ],
)
def test_names_that_leave_numbers_out_are_those_of_the_networks_outputs(model, id2label, names):
    set_config(model, id2label=id2label)
    assert VideoSegmentor.from_pretrained(str(model), device="cpu").class_names == names


def test_names_may_repeat_or_be_numbers(model):
    set_config(model, id2label={0: "door", 1: 7, 2: "door"})
    assert VideoSegmentor.from_pretrained(str(model), device="cpu").class_names == ("door", "7", "door")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (LFS_POINTER, "is a git-lfs pointer in place of the file itself: run 'git lfs pull'"),
        (WEB_PAGE, "is a web page in place of the file itself: download it again"),
        (b"", "is an empty file: download it again"),
    ],
)
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "config.json"])
def test_what_a_clone_or_download_leaves_in_place_of_a_file_is_named(model, name, content, message):
    if name == "pytorch_model.bin":
        as_pickle(model)
    (model / name).write_bytes(content)
    assert f"{name}' {message}" in refusal(model)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_truncated_file_is_named(model, name):
    file = model / name if name == "model.safetensors" else as_pickle(model)
    file.write_bytes(file.read_bytes()[:5000])
    assert f"{name}' is " in refusal(model)


def test_code_in_weights_is_refused_without_advice_to_run_it(model):
    torch.save({"a": Path("x")}, as_pickle(model))
    message = refusal(model)
    assert "pytorch_model.bin' holds pathlib" in message and "weights_only" not in message


@pytest.mark.parametrize("prefix", ["module.", "segmentor."])
def test_a_prefix_before_all_names_is_named(model, prefix):
    name_tensors(model, prefix)
    message = refusal(model)
    assert "lacks 186 of its tensors: class_predictor.bias" in message
    assert f"begin with {prefix!r}: save them without it" in message


def test_names_of_another_network_are_few(model):
    name_tensors(model, "sem_seg_head.predictor.")
    assert "it has 186 others: sem_seg_head.predictor." in refusal(model)


def test_other_sizes_are_counted_and_the_first_are_named(model):
    set_config(model, num_queries=9)
    assert "[7, 32] instead of [9, 32]" in refusal(model)


@pytest.mark.parametrize("model_type", ["detr", "bert", "no_such_family"])
def test_another_family_is_named(model, model_type):
    set_config(model, model_type=model_type, auto_map={"AutoConfig": "code.Config"})
    assert f"is of type {model_type!r}; known are beit, dpt, " in refusal(model)


def test_weights_of_another_family_do_not_fit(model):
    set_config(model, model_type="beit", out_indices=[3, 5, 7, 11])
    assert "of its tensors: beit.embeddings.cls_token" in refusal(model)


def test_a_type_is_not_guessed_from_the_directorys_name(model):
    set_config(model, model_type=...)
    named = model.rename(model.with_name("mask2former-of-mine"))
    assert "config.json' has no model_type" in refusal(named)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{broken", "config.json' is no JSON file"),
        ("[]", "config.json' must hold a JSON object"),
        ('{"model_type": "tür"}'.encode("latin-1"), "config.json' is not UTF-8 text: byte 0xfc in line 1"),
        ('{"model_type": "mask2former"}'.encode("utf-8-sig"), "config.json' begins with a byte order mark"),
    ],
)
def test_a_config_that_cannot_be_read_is_named(model, content, message):
    (model / "config.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert message in refusal(model)


def test_a_wrong_entry_is_named_with_its_value(model):
    set_config(model, backbone_config={"model_type": "swin", "embed_dim": "wide"})
    assert "'embed_dim' expected int, got str (value: 'wide')" in refusal(model)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (
            {"weight_map": {"a": "model-00001-of-00002.safetensors"}},
            "cannot read '.*model-00001-of-00002.safetensors': No such",
        ),
        ({"metadata": {}}, "model.safetensors.index.json' has no weight_map"),
    ],
)
def test_parts_that_are_missing_are_named(model, index, message):
    (model / "model.safetensors").unlink()
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=message):
        VideoSegmentor.from_pretrained(str(model), device="cpu")
