"""Files of each family's checkpoints: how they may be written, and what is refused, in one line."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mpvss_model import CheckpointError, VideoSegmentor
from mpvss_model.segmentor.registry import load_model
from test.tiny_families import CLASSES, FAMILIES, PER_PIXEL, busy_frame

CPU = torch.device("cpu")


@pytest.fixture
def model(family_directory, model_type, tmp_path):
    return Path(shutil.copytree(family_directory(model_type), tmp_path / "model"))


def set_entries(file: Path, **entries):
    before = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(before | entries))


def masks(model: Path):
    return load_model(str(model), device=CPU).segmentor.segment(busy_frame(64, 64), 0.0).mask_logits


def refusal(model: Path) -> str:
    with pytest.raises(CheckpointError) as refused:
        load_model(str(model), device=CPU)
    message = str(refused.value)
    assert str(model) in message and "\n" not in message and len(message.replace(str(model), "")) < 600
    return message


@pytest.mark.parametrize("model_type", ["segformer", "eomt"])
@pytest.mark.parametrize("form", ["shards", "pickle", "pickled shards"])
def test_weights_may_be_in_several_files_or_pickled(model, form):
    expected = masks(model)
    tensors = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    if form == "pickle":
        torch.save(tensors, model / "pytorch_model.bin")
    else:
        stem, suffix, save = ("model", "safetensors", write) if form == "shards" else ("pytorch_model", "bin", torch.save)
        names = sorted(tensors)
        shards = {f"{stem}-0000{i + 1}-of-00002.{suffix}": names[i::2] for i in range(2)}
        for file, members in shards.items():
            save({name: tensors[name] for name in members}, model / file)
        weight_map = {name: file for file, members in shards.items() for name in members}
        (model / f"{stem}.{suffix}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert torch.equal(masks(model), expected)


def write(tensors, file):
    save_file(tensors, file, metadata={"format": "pt"})


@pytest.mark.parametrize("model_type", ["segformer"])
def test_a_shard_that_is_damaged_and_code_in_one_are_named(model):
    torch.save({"a": Path("x")}, model / "pytorch_model-00001-of-00001.bin")
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"a": "pytorch_model-00001-of-00001.bin"}}))
    assert "00001-of-00001.bin' holds pathlib" in refusal(model)
    (model / "pytorch_model-00001-of-00001.bin").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert "00001-of-00001.bin' is a git-lfs pointer" in refusal(model)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_weights_of_another_number_of_classes_are_refused(model):
    set_entries(model / "config.json", id2label=dict(enumerate("abcd")), label2id={})
    assert f"the weights are of {len(CLASSES)} classes, but config.json has 4" in refusal(model)


@pytest.mark.parametrize("model_type", ["segformer", "maskformer"])
@pytest.mark.parametrize(
    ("numbers", "names"),
    [((1, 2, 3, 4, 5), ("a", "b", "c", "d", "e")), ((1, 2, 4), ("unnamed 0", "a", "b", "unnamed 3", "c"))],
)
def test_numbers_of_names_may_start_at_1_or_have_gaps(model, numbers, names):
    set_entries(model / "config.json", id2label=dict(zip(numbers, "abcde", strict=False)), label2id={})
    assert load_model(str(model), device=CPU).segmentor.class_names == names


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_tensor_that_is_missing_is_named(model):
    tensors = load_file(model / "model.safetensors")
    name = next(
        name for name in sorted(tensors) if name.endswith("weight") and "auxiliary" not in name and "criterion" not in name
    )
    del tensors[name]
    write(tensors, model / "model.safetensors")
    assert f"lacks 1 of its tensors: {name}" in refusal(model)


@pytest.mark.parametrize("model_type", ["upernet", "beit", "dpt", "maskformer", "oneformer", "eomt"])
def test_tensors_that_only_training_reads_may_be_missing(model):
    expected = masks(model)
    unread = ("auxiliary_head.", "criterion.", "neck.fusion_stage.layers.0.residual_layer1.")
    tensors = load_file(model / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(unread)}
    assert len(kept) < len(tensors)
    write(kept, model / "model.safetensors")
    assert torch.equal(masks(model), expected)


@pytest.mark.parametrize("model_type", ["dpt"])
def test_a_hybrid_dpt_is_refused(model):
    set_entries(model / "config.json", is_hybrid=True)
    assert "is_hybrid is true in config.json; expected false" in refusal(model)


@pytest.mark.parametrize("model_type", ["dpt", "beit"])
def test_patches_that_padded_frames_are_no_multiple_of_are_refused(model):
    set_entries(model / "config.json", patch_size=14)
    assert "patch_size is 14 in config.json; expected a divisor of 32" in refusal(model)


@pytest.mark.parametrize("model_type", ["eomt", "eomt_dinov3"])
def test_squares_of_another_size_than_the_networks_are_refused(model):
    set_entries(model / "preprocessor_config.json", size={"shortest_edge": 512, "longest_edge": None})
    assert "size of its image processor is 512 pixels; expected 64, as image_size" in refusal(model)
    set_entries(model / "config.json", image_size=[64, 64])
    assert "image_size is [64, 64] in config.json; expected the side of a square" in refusal(model)


@pytest.mark.parametrize(
    ("model_type", "split", "recommended"),
    [("segformer", None, 64), ("oneformer", None, 64), ("eomt", True, 64), ("eomt", False, 0)],
)
def test_what_frames_are_resized_to_becomes_the_size_of_inference(model, split, recommended):
    entries = {} if split is None else {"do_split_image": split}
    set_entries(model / "preprocessor_config.json", size={"shortest_edge": 64, "longest_edge": 2048}, **entries)
    stream = VideoSegmentor.from_pretrained(str(model), device="cpu")
    assert stream.inference_size((128, 256)) == ((64, 128) if recommended else (128, 256))
    assert stream.inference_size((48, 64)) == (48, 64), "frames are not made larger"
    set_entries(model / "config.json", inference_size=96)
    assert load_model(str(model), device=CPU).inference_size == 96, "the model's own recommendation comes first"


@pytest.mark.parametrize("model_type", ["oneformer"])
def test_a_oneformer_that_was_saved_in_training_is_not_random(model):
    set_entries(model / "config.json", is_training=True)
    assert torch.equal(masks(model), masks(model))


@pytest.mark.parametrize("model_type", ["oneformer"])
def test_the_task_is_said_in_the_words_of_the_checkpoints_tokenizer(model):
    expected = masks(model)
    letters = sorted({*"abcdefghijklmnopqrstuvwxyz"})
    vocabulary = {word: i for i, word in enumerate([*letters, *(f"{letter}</w>" for letter in letters)])}
    for word in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[word] = len(vocabulary)
    (model / "vocab.json").write_text(json.dumps(vocabulary))
    (model / "merges.txt").write_text("#version: 0.2\n")
    set_entries(model / "tokenizer_config.json", tokenizer_class="CLIPTokenizer")
    tokens = load_model(str(model), device=CPU).segmentor._tokens[0].tolist()
    words = ["<|startoftext|>", "t", "h", "e</w>", "t", "a", "s", "k</w>", "i", "s</w>"]
    words += ["s", "e", "m", "a", "n", "t", "i", "c</w>", "<|endoftext|>"]
    assert tokens == [vocabulary[word] for word in words] + [0] * (77 - len(words))
    assert not torch.equal(masks(model), expected)
    (model / "vocab.json").write_text("{")
    assert "cannot load the tokenizer of model" in refusal(model)


@pytest.mark.parametrize("model_type", PER_PIXEL)
def test_a_motion_module_is_refused_where_there_are_no_queries(model):
    from mpvss_model import ConfigError

    with pytest.raises(ConfigError, match="'segment' needs a model with a trained motion module; use 'tracked'"):
        VideoSegmentor.from_pretrained(str(model), device="cpu", propagation="segment")
