"""``mpvss export``, and what it wrote as a model of other commands."""

import json

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def test_an_exported_model_is_checked_and_evaluated_like_any_other(mpvss, tiny_motion_checkpoint, small_clips, tmp_path):
    file = tmp_path / "tiny.onnx"
    code, said, _ = mpvss("export", tiny_motion_checkpoint, file, "--size", "48x32")
    assert code == 0 and file.is_file()
    assert "% of the labels of 3 frames are those of PyTorch" in said

    reports = []
    for model in (file, tiny_motion_checkpoint):
        out = tmp_path / "report.json"
        assert mpvss("evaluate", small_clips, "--model", model, "--propagation", "tracked", "--out", out)[0] == 0
        reports.append(json.loads(out.read_text()))
    exported, plain = reports
    assert exported["frames"] == plain["frames"] == 35
    assert exported["miou"] == pytest.approx(plain["miou"], abs=1e-3)
