"""Which floating-point type networks run in, and that it is told."""

import numpy as np
import pytest
import torch

from mpvss_model import VideoSegmentor
from mpvss_model.config import DEFAULT_MODEL
from mpvss_model.runtime import precision as precision_module
from mpvss_model.runtime.device import processor_flags
from mpvss_model.runtime.precision import has_fast_bfloat16, precision_name
from mpvss_model.segmentor import registry
from mpvss_model.segmentor.base import BaseSegmentor
from mpvss_model.segmentor.registry import LoadedModel

FRAME = np.random.default_rng(0).integers(0, 255, (4, 5, 3), np.uint8).repeat(24, 0).repeat(24, 1)


@pytest.fixture
def fast_bfloat16(monkeypatch):
    monkeypatch.setattr(registry, "has_fast_bfloat16", lambda: True)


@pytest.fixture
def no_bfloat16(monkeypatch):
    monkeypatch.setattr(registry, "has_fast_bfloat16", lambda: False)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
@pytest.mark.parametrize(
    ("flags", "is_fast"),
    [
        ("avx2 avx512f", False),
        ("avx2 avx512f avx512_bf16", True),  # Cooper Lake, Zen 4
        ("avx2 avx512f avx512_bf16 avx512_fp16 amx_bf16", True),  # Sapphire Rapids
        ("avx2 avx512f avx512_bf16 avx512_fp16", False),  # the same in a virtual machine that hides AMX
        ("", False),
    ],
)
def test_bfloat16_is_fast_where_the_processor_is_made_for_it(monkeypatch, flags, is_fast):
    monkeypatch.setattr(precision_module, "processor_flags", lambda: frozenset(flags.split()))
    has_fast_bfloat16.cache_clear()
    try:
        assert has_fast_bfloat16() is is_fast
    finally:
        has_fast_bfloat16.cache_clear()


def test_flags_are_names_of_instruction_sets():
    assert all(flag and not flag.isspace() and ":" not in flag for flag in processor_flags())


def test_auto_is_bf16_for_key_frames_on_a_processor_that_is_faster_with_it(fast_bfloat16, tiny_motion_checkpoint):
    model = VideoSegmentor.from_pretrained(str(tiny_motion_checkpoint), device="cpu", propagation="segment")
    assert (model.precision, model.segmentor.dtype) == ("bf16 (auto)", "bfloat16")
    assert model.new_stream().precision == "bf16 (auto)"
    key_frame = model.segmentor.segment(FRAME, 0.0)
    # The mask decoder, which takes no time, and the motion module, which does not gain, are as exact as ever.
    assert key_frame.mask_logits.dtype == key_frame.queries.dtype == torch.float32
    assert {parameter.dtype for parameter in model.propagator.module.parameters()} == {torch.float32}
    assert model.step(FRAME, 0.0).labels.shape == model.step(FRAME, 0.1).labels.shape == FRAME.shape[:2]


def test_auto_is_fp32_bit_for_bit_on_any_other_processor(no_bfloat16):
    auto, exact = (VideoSegmentor.from_pretrained(device="cpu", precision=precision) for precision in ("auto", "fp32"))
    assert (auto.precision, exact.precision) == ("fp32 (auto)", "fp32")
    for i in range(2):
        assert np.array_equal(auto.step(FRAME, float(i)).labels, exact.step(FRAME, float(i)).labels)


def test_whoever_asks_for_a_precision_has_it_on_any_processor(fast_bfloat16):
    model = VideoSegmentor.from_pretrained(DEFAULT_MODEL, device="cpu", precision="fp32")
    assert (model.precision, model.segmentor.dtype) == ("fp32", "float32")


def test_a_segmentor_of_a_users_own_is_not_run_in_bf16_unasked(fast_bfloat16):
    class Own:
        device = torch.device("cpu")
        asked_for = None

        def accelerate(self, dtype):
            self.asked_for = dtype

    own = Own()
    LoadedModel(own).accelerate_in("auto")
    assert own.asked_for == torch.float32
    LoadedModel(own).accelerate_in("bf16")
    assert own.asked_for == torch.bfloat16
    assert BaseSegmentor.takes_bfloat16 is False


def test_types_have_the_names_that_users_give_them():
    assert [precision_name(name) for name in ("float32", "bfloat16", "float16", "float64")] == [
        "fp32",
        "bf16",
        "fp16",
        "float64",
    ]
