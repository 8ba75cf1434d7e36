"""ONNX Runtime behind the interface of segmentors: labels of PyTorch, and refusals that name what is at fault."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mpvss_model import CheckpointError, ConfigError, SegmentorError, StreamConfig, VideoSegmentor
from mpvss_model.config import ExecutionConfig
from mpvss_model.segmentor.registry import load_model
from test.exportable_segmentor import ExportableBrightness

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from mpvss_model.segmentor.exported.execution_provider import ONNX_RUNTIME_NAMES  # noqa: E402
from mpvss_model.segmentor.exported.export import export_network  # noqa: E402
from mpvss_model.segmentor.exported.exporting_segmentor import ExportingSegmentor  # noqa: E402
from mpvss_model.segmentor.exported.network import ExportedNetwork  # noqa: E402

CPU = torch.device("cpu")
SIZE = (60, 90)


def video(count, size=SIZE):
    """A bright box that moves over blocks of gray."""
    background = np.random.default_rng(0).integers(0, 90, (6, 9, 1), np.uint8).repeat(3, 2).repeat(10, 0).repeat(10, 1)
    frames = [background.repeat(size[0] // SIZE[0], 0).repeat(size[1] // SIZE[1], 1).copy() for _ in range(count)]
    for i, frame in enumerate(frames):
        frame[size[0] // 4 : size[0] // 2, 4 * i + 8 : 4 * i + size[1] // 2] = 220
    return frames


def labels(stream, frames):
    return np.stack([stream.step(frame, 0.1 * i).labels for i, frame in enumerate(frames)])


def lamp():
    return ExportableBrightness("lamp", ("background", "robot"), 150.0)


@pytest.fixture(scope="module")
def lamp_file(tmp_path_factory):
    return str(export_network(lamp(), tmp_path_factory.mktemp("lamp") / "lamp.onnx", frames=video(2)).file)


def test_a_file_is_a_model_of_its_own_for_a_whole_stream(lamp_file):
    stream = VideoSegmentor.from_pretrained(lamp_file, device="cpu", config=StreamConfig(max_interval_frames=3))
    assert (stream.segmentor.name, stream.class_names) == ("lamp", ("background", "robot"))
    torch_stream = VideoSegmentor(segmentor=lamp(), propagator=stream.propagator.for_new_stream(), config=stream.config)
    frames = video(5)
    found = labels(stream, frames)
    assert (found == labels(torch_stream, frames)).all() and set(np.unique(found)) == {0, 1}


def test_larger_frames_of_the_same_shape_are_resized_to_the_network(lamp_file):
    (frame,) = video(1, (120, 180))
    stream = VideoSegmentor.from_pretrained(lamp_file, device="cpu")
    found = stream.step(frame, 0.0).labels
    assert found.shape == (120, 180) and (found == (frame[:, :, 0] > 150)).mean() > 0.97


def test_frames_of_another_shape_are_refused_with_the_way_out(lamp_file):
    stream = VideoSegmentor.from_pretrained(lamp_file, device="cpu")
    message = r"takes frames of 90x60 pixels, got 80x60: .* mpvss export --size 80x60"
    with pytest.raises(SegmentorError, match=message):
        stream.step(np.zeros((60, 80, 3), np.uint8), 0.0)
    assert stream.step(video(1)[0], 1.0).is_key_frame


def test_a_file_is_warmed_up_with_frames_of_its_size(lamp_file):
    stream = VideoSegmentor.from_pretrained(lamp_file, device="cpu")
    assert stream.segmentor.warm_up_size((240, 320)) == SIZE
    stream.warm_up()


def test_a_model_with_a_motion_module_runs_in_both_and_keeps_what_it_exported(tiny_motion_checkpoint, tmp_path):
    frames, said = video(4), []
    arguments = {"device": "cpu", "config": StreamConfig(max_interval_frames=3), "report": said.append}
    expected = labels(VideoSegmentor.from_pretrained(tiny_motion_checkpoint, **arguments), frames)
    execution = ExecutionConfig(runtime="onnx", onnx_folder=str(tmp_path))
    stream = VideoSegmentor.from_pretrained(tiny_motion_checkpoint, execution=execution, **arguments)
    assert stream.propagator.name == "segment" and stream.segmentor.warm_up_size(SIZE) is None
    stream.warm_up()  # which exports nothing
    assert not said and not [*tmp_path.iterdir()]
    assert (labels(stream, frames) == expected).mean() >= 0.9999
    (kept,) = tmp_path.iterdir()
    assert "90x60" in kept.name and "for frames of 90x60" in said[0] and "% of labels as in PyTorch" in said[1]

    content = kept.read_bytes()
    again = VideoSegmentor.from_pretrained(tiny_motion_checkpoint, execution=execution, **arguments)
    assert again.segmentor.warm_up_size((240, 320)) == SIZE
    assert (labels(again, frames) == expected).mean() >= 0.9999
    half = VideoSegmentor.from_pretrained(tiny_motion_checkpoint, execution=execution, precision="bf16", **arguments)
    assert (labels(half, frames) == expected).mean() > 0.9
    assert len(said) == 5 and str(kept) in said[3] == said[4]
    assert [*tmp_path.iterdir()] == [kept] and kept.read_bytes() == content


def test_each_size_is_exported_once_and_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = []
    segmentor = ExportingSegmentor(lamp(), provider="auto", folder=None, report=said.append)
    for size in (SIZE, (120, 180), SIZE, (120, 180)):
        (frame,) = video(1, size)
        ours, theirs = segmentor.segment(frame, 2.0), lamp().segment(frame, 2.0)
        assert torch.allclose(ours.mask_logits, theirs.mask_logits, atol=1e-4)
        assert (ours.padding, ours.stamp_s, ours.image is frame) == (theirs.padding, 2.0, True)
    assert sum("exporting" in line for line in said) == 2 and not [*tmp_path.iterdir()]


def test_a_size_that_cannot_be_exported_is_a_fault_of_its_key_frame():
    segmentor = ExportingSegmentor(lamp(), provider="auto", folder=None, report=lambda line: None)
    with pytest.raises(ConfigError, match="32 to 8192 pixels a side, got 90x30"):
        segmentor.segment(video(1)[0][:30], 0.0)


@pytest.mark.parametrize("provider", ["cuda", "tensorrt", "openvino"])
def test_a_provider_that_is_not_installed_is_refused_by_name(provider, lamp_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    message = rf"'{provider}' is not in the installed ONNX Runtime .*, which has cpu: install onnxruntime-gpu"
    if provider == "openvino":
        message = "run by openvino; openvino is not installed: pip install openvino"
    elif ONNX_RUNTIME_NAMES[provider] in onnxruntime.get_available_providers():
        pytest.skip("it is installed")
    for model, runtime in ((lamp_file, "auto"), ("rooms-lite", "onnx")):
        execution = ExecutionConfig(runtime=runtime, execution_provider=provider)
        with pytest.raises(ConfigError, match=message):
            VideoSegmentor.from_pretrained(model, device="cpu", execution=execution)


@pytest.mark.parametrize("dynamic", [False, True])
def test_openvino_gives_the_numbers_of_onnx_runtime(dynamic, lamp_file):
    pytest.importorskip("openvino")
    networks = [ExportedNetwork(Path(lamp_file), provider=provider, dynamic=dynamic) for provider in ("cpu", "openvino")]
    assert networks[0].description == networks[1].description and networks[1].provider == "openvino"
    frames = np.stack(video(3 if dynamic else 1))
    first = networks[1].run(frames)
    networks[1].run(255 - frames)  # which must not change what the first call gave
    for ours, theirs in zip(first, networks[0].run(frames), strict=True):
        assert ours.shape == theirs.shape and torch.allclose(ours, theirs, atol=1e-4)


def test_openvino_names_a_damaged_file(lamp_file, tmp_path):
    pytest.importorskip("openvino")
    (tmp_path / "half.onnx").write_bytes(Path(lamp_file).read_bytes()[:500])
    execution = ExecutionConfig(execution_provider="openvino")
    with pytest.raises(CheckpointError, match=r"half.onnx' is damaged or no ONNX file, export it again") as refusal:
        VideoSegmentor.from_pretrained(str(tmp_path / "half.onnx"), device="cpu", execution=execution)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("execution", "model", "message"),
    [
        ({"runtime": "torch"}, "{lamp}", "runtime 'torch' cannot run '.*lamp.onnx': leave it to 'auto'"),
        ({"execution_provider": "cpu"}, "rooms-lite", "execution_provider 'cpu' is of runtime onnx, .* set runtime to 'onnx'"),
        ({"runtime": "onnx", "onnx_folder": "/nowhere"}, "rooms-lite", "onnx_folder '/nowhere' is no folder"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(execution, model, message, lamp_file):
    with pytest.raises(ConfigError, match=message):
        VideoSegmentor.from_pretrained(model.format(lamp=lamp_file), device="cpu", execution=ExecutionConfig(**execution))


@pytest.mark.parametrize(
    "values", [{"runtime": "tvm"}, {"execution_provider": "tpu"}, {"execution_provider": ""}, {"onnx_folder": 7}]
)
def test_unknown_settings_are_refused_with_what_is_known(values):
    ((name, value),) = values.items()
    with pytest.raises(ConfigError, match=rf"{name} must be .*, got {value!r}"):
        ExecutionConfig(**values)


def without_metadata(content):
    model = onnx.load_from_string(content)
    del model.metadata_props[:]
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[: len(content) // 2], "is damaged or no ONNX file, export it again"),
        (lambda content: b"", "is an empty file: download it again"),
        (lambda content: b"version https://git-lfs.github.com/spec/v1\n", "is a git-lfs pointer"),
        (lambda content: b"# notes", "is damaged or no ONNX file"),
        (without_metadata, "does not say what network it holds: only files that `mpvss export` wrote can be run"),
        (lambda content: content.replace(b"mpvss.version\x12\x011", b"mpvss.version\x12\x019"), "by another version"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(damage, message, lamp_file, tmp_path):
    file = tmp_path / "damaged.onnx"
    file.write_bytes(damage(Path(lamp_file).read_bytes()))
    with pytest.raises(CheckpointError, match=message) as refusal:
        load_model(str(file), device=CPU)
    assert str(file) in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(CheckpointError, match=r"no model at 'nowhere.onnx': give an .onnx file that mpvss export wrote"):
        VideoSegmentor.from_pretrained("nowhere.onnx")


def test_a_missing_onnx_runtime_is_named(lamp_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for model, runtime in ((lamp_file, "auto"), ("rooms-lite", "onnx")):
        with pytest.raises(ConfigError, match=r"run by onnxruntime; onnxruntime is not installed: pip install onnxruntime"):
            VideoSegmentor.from_pretrained(model, device="cpu", execution=ExecutionConfig(runtime=runtime))


def test_digests_tell_networks_and_runtimes_apart(lamp_file):
    segmentor = load_model(lamp_file, device=CPU).segmentor
    exporting = ExportingSegmentor(lamp(), provider="cpu", folder=None, report=print)
    assert segmentor.digest() == load_model(lamp_file, device=CPU).segmentor.digest()
    assert len({segmentor.digest(), exporting.digest(), lamp().digest()}) == 3
    description = ExportedNetwork(Path(lamp_file)).description
    assert dataclasses.replace(description, width=91) != description
