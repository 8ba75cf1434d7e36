"""The released code's numbers, reproduced; and what `check_parity` says of fixtures that are not right."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from mpvss_model.checkpoints.parity import ArrayParity, ParityReport, check_parity, fixture_weights
from mpvss_model.errors import CheckpointError, DataError

PARITY = Path(__file__).parents[2] / "data" / "parity"
# Largest absolute differences that are allowed.
REQUIRED = {"flow": 2e-5, "mask_logits": 2e-4, "class_logits": 1e-3, "class_scores": 1e-3, "labels": 0.0}


@pytest.mark.parametrize("fixture", ["motion_small", "model_small"])
def test_released_numbers_are_reproduced(fixture):
    report = check_parity(PARITY / fixture)
    assert report.ok
    with np.load(PARITY / f"{fixture}.npz") as arrays:
        inputs = ("image", "key_mask_logits") if fixture == "model_small" else ("image", "query", "key_mask_logits")
        assert {array.name for array in report.arrays} == {name for name in arrays if not name.endswith(inputs)}
    for array in report.arrays:
        for suffix, bound in REQUIRED.items():
            if array.name.endswith(suffix):
                assert array.max_abs_difference <= bound, array


def test_whole_model_s_labels_are_identical_in_every_frame():
    report = check_parity(PARITY / "model_small")
    assert report.labels_identical
    assert [array.name for array in report.arrays if array.name.endswith("labels")] == [f"frame{i}/labels" for i in range(3)]


def test_report_is_plain_json():
    report = ParityReport("p", (ArrayParity("a/segment_flow", (2, 3), 1e-5, 2e-5), ArrayParity("labels", (4,), 1.0, 0.0)))
    loaded = json.loads(json.dumps(report.as_dict()))
    assert (loaded["ok"], loaded["labels_identical"]) == (False, False)
    assert loaded["arrays"][0] == {
        "name": "a/segment_flow", "shape": [2, 3], "max_abs_difference": 1e-5, "bound": 2e-5, "ok": True
    }  # fmt: skip
    assert ParityReport("p", report.arrays[:1]).labels_identical is None


def test_not_a_number_is_never_within_bounds():
    assert not ArrayParity("query", (1,), float("nan"), 1.0).ok


def copied(tmp_path, name="motion_small", *, arrays=lambda arrays: None, weights=lambda weights: None):
    """A copy of a fixture with changes."""
    with np.load(PARITY / f"{name}.npz") as file:
        new_arrays = dict(file)
    arrays(new_arrays)
    np.savez(tmp_path / f"{name}.npz", **new_arrays)
    new_weights = json.loads((PARITY / f"{name}_weights.json").read_text())
    weights(new_weights)
    (tmp_path / f"{name}_weights.json").write_text(json.dumps(new_weights))
    return tmp_path / name


def test_a_changed_output_fails_and_the_others_pass(tmp_path):
    def change(arrays):
        arrays["b/segment_flow"][3, 1, 2, 2] += 1e-3

    report = check_parity(copied(tmp_path, arrays=change))
    assert [array.name for array in report.arrays if not array.ok] == ["b/segment_flow"] and not report.ok


def test_a_changed_weight_fails(tmp_path):
    def change(weights):
        weights["decoder.fuse_layer.conv.bias"]["offset"] += 0.01

    assert not check_parity(copied(tmp_path, weights=change)).ok


def test_weights_follow_their_formulas(tmp_path):
    specifications = {
        "a": {"shape": [2, 3], "kind": "normal", "offset": 0.5, "scale": 2.0},
        "b": {"shape": [4], "kind": "exp", "offset": 0.0, "scale": 0.1},
        "c": {"shape": [2, 1], "kind": "explicit", "values": [1.5, -2.5]},
    }
    (tmp_path / "w.json").write_text(json.dumps(specifications))
    weights = fixture_weights(tmp_path / "w.json")
    normal = np.random.default_rng(zlib.crc32(b"a")).standard_normal((2, 3), dtype=np.float32)
    torch.testing.assert_close(weights["a"], torch.from_numpy(0.5 + 2 * normal))
    assert (weights["b"] > 0).all() and weights["b"].dtype == torch.float32
    assert weights["c"].tolist() == [[1.5], [-2.5]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2", "is no list of weights and their formulas"),
        ('{"a": {"shape": [1]}}', "is no list of weights and their formulas: KeyError.'kind'"),
        ('{"a": {"shape": [1], "kind": "uniform"}}', "kind of a is 'uniform', expected normal, exp or explicit"),
        ('{"a": {"shape": [2], "kind": "explicit", "values": [1]}}', "is no list of weights and their formulas"),
    ],
)
def test_weight_files_that_are_none_are_refused(tmp_path, content, message):
    (tmp_path / "w.json").write_text(content)
    with pytest.raises(DataError, match=message):
        fixture_weights(tmp_path / "w.json")


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(DataError, match="cannot read .*nothing_weights.json': No such file"):
        check_parity(tmp_path / "nothing")
    prefix = copied(tmp_path)
    data = Path(f"{prefix}.npz").read_bytes()
    Path(f"{prefix}.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="motion_small.npz' is broken or no .npz file"):
        check_parity(prefix)
    Path(f"{prefix}.npz").unlink()
    with pytest.raises(DataError, match="cannot read .*motion_small.npz'"):
        check_parity(prefix)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("b/query"), "the fixture lacks the array 'b/query'"),
        (lambda a: a.update({"a/depth": np.zeros(1)}), "holds arrays that this model does not compute: a/depth"),
        (lambda a: a.update({"a/pixel_flow": np.zeros((1, 2, 3, 4))}), r"array 'a/pixel_flow' is \(1, 2, 3, 4\) in"),
        (lambda a: a.update({"a/key_image": a["a/key_image"][:, :-1]}), "the inputs in .*npz do not fit the model: images"),
        (lambda a: [a.pop(name) for name in set(a) if name.endswith(("flow", "warped_mask_logits", "input"))], "no outputs"),
        (lambda a: a.clear(), "a fixture of a motion module needs an array 'a/current_image'"),
    ],
)
def test_arrays_that_do_not_fit_are_named(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        check_parity(copied(tmp_path, arrays=change))


def test_weights_that_make_no_model_are_named(tmp_path):
    prefix = copied(tmp_path, weights=lambda weights: weights.pop("decoder.level_embed.weight"))
    with pytest.raises(CheckpointError, match="1 missing: motion.decoder.level_embed.weight"):
        check_parity(prefix)


def test_propagated_frames_need_a_motion_module(tmp_path):
    def without_motion(weights):
        for name in [name for name in weights if name.startswith("motion.")]:
            del weights[name]

    def only_key_frame(arrays):
        for name in [name for name in arrays if name.startswith(("frame1", "frame2"))]:
            del arrays[name]

    with pytest.raises(DataError, match="the fixture has propagated frames, but no weights of a motion module"):
        check_parity(copied(tmp_path, "model_small", weights=without_motion))
    assert check_parity(copied(tmp_path, "model_small", weights=without_motion, arrays=only_key_frame)).ok
