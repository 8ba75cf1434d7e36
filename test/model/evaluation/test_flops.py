"""Costs are counted on tensors without values; `COUNTED` is what the authors' code was counted to cost."""

import json
from dataclasses import replace

import pytest
import torch

from mpvss_model.checkpoints.mpvss_model import MPVSSConfig, paper_config
from mpvss_model.errors import ConfigError
from mpvss_model.evaluation import paper_costs
from mpvss_model.evaluation.flops import Cost, loaded_cost, parse_frame_size, stream_cost
from mpvss_model.evaluation.paper_costs import (
    CITYSCAPES,
    PAPER_PARAMETERS_M,
    VSPW,
    all_paper_costs,
    model_cost,
    mrcfa_cost,
    paper_cost,
)
from mpvss_model.motion.config import MotionConfig
from mpvss_model.motion.module import MotionModule, propagate_masks
from mpvss_model.propagation.registry import make_propagator
from mpvss_model.runtime.flop_count import counted, total_gflops
from mpvss_model.segmentor.cost import PartCost
from mpvss_model.segmentor.registry import load_model
from test.brightness import BrightnessSegmentor
from test.faulty_segmentor import FaultySegmentor

# GFLOPs per frame on VSPW and Cityscapes.
COUNTED = {
    "r50": (39.12, 173.24),
    "r101": (45.27, 204.35),
    "swin-t": (39.88, 175.98),
    "swin-s": (47.43, 213.27),
    "swin-b": (61.70, 278.65),
    "swin-l": (97.55, 449.51),
}


# `mpvss flops --all` counts all twelve, which takes a minute.
@pytest.mark.parametrize("backbone", ["r50", "swin-l"])
def test_vspw_costs_are_those_of_the_authors_code(backbone):
    cost = paper_cost(backbone)
    assert cost.gflops == pytest.approx(COUNTED[backbone][0], rel=1e-3)
    assert (cost.paper_gflops, cost.paper_parameters_m) == (VSPW.paper_gflops[backbone], PAPER_PARAMETERS_M[backbone])


@pytest.mark.parametrize("backbone", ["r101", "swin-b"])
def test_cityscapes_costs_are_those_of_the_authors_code(backbone):
    cost = paper_cost(backbone, frame_size=CITYSCAPES.frame_size, num_classes=CITYSCAPES.num_classes)
    assert cost.gflops == pytest.approx(COUNTED[backbone][1], rel=1e-3)
    assert (cost.paper_gflops, cost.paper_parameters_m) == (CITYSCAPES.paper_gflops[backbone], None)


def test_table_holds_every_backbone_on_both_data_sets(monkeypatch):
    empty = Cost(backbone="", frame_size=(0, 0), num_classes=0, interval=5, parts={})
    monkeypatch.setattr(
        paper_costs,
        "model_cost",
        lambda config, frame_size, interval: replace(empty, frame_size=frame_size, num_classes=config.segmentor.num_labels),
    )
    rows = [(cost.backbone, cost.num_classes, cost.paper_gflops) for cost in all_paper_costs()]
    expected = [(b, data.num_classes, data.paper_gflops[b]) for data in (VSPW, CITYSCAPES) for b in COUNTED]
    assert rows == expected
    assert paper_cost("r50", interval=3).paper_gflops is None
    assert paper_cost("r50", frame_size=(480, 640)).paper_gflops is None


def test_the_rival_of_the_paper_costs_more_than_the_segformer_it_is_built_on():
    cost = mrcfa_cost()
    assert (cost.frame_size, cost.num_classes, cost.interval) == ((480, 853), 124, 1)
    # SegFormer's paper has 84.7 M for MiT-B5 with 150 classes; a class more is 768 weights and a bias.
    assert cost.parameters + 26 * 769 == pytest.approx(84.7e6, abs=5e4)
    assert cost.gflops == pytest.approx(184.84, abs=0.01)
    # The abstract of MPVSS: its model with Swin-L takes 26 % of that.
    assert 2 * cost.gflops < cost.paper_gflops == pytest.approx(97.3 / 0.26, rel=0.005)


def test_average_weighs_key_and_propagated_frames():
    parts = {"backbone": PartCost(10.0, 7, "key"), "motion": PartCost(1.0, 5, "propagated"), "output": PartCost(0.5, 0, "all")}
    cost = Cost(backbone="", frame_size=(32, 32), num_classes=3, interval=4, parts=parts)
    assert (cost.key_frame_gflops, cost.propagated_frame_gflops, cost.parameters) == (10.5, 1.5, 12)
    assert cost.gflops == (10.5 + 3 * 1.5) / 4
    assert json.loads(json.dumps(cost.as_dict()))["gflops"] == cost.gflops


def test_model_without_motion_module_is_counted():
    parts = model_cost(MPVSSConfig(segmentor=paper_config("swin-t", 5).segmentor), frame_size=(64, 64)).parts
    assert "motion" not in parts and parts["backbone"].gflops > 0


def test_counts_agree_with_fvcore():
    fvcore = pytest.importorskip("fvcore.nn")
    config = MotionConfig(num_queries=5, query_size=16, hidden_size=16, num_layers=2, ffn_size=32, encoder_channels=(4,) * 6)

    class Motion(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.module = MotionModule(config)

        def forward(self, current, key, queries, mask_logits):
            return propagate_masks(mask_logits, self.module(current, key, queries).segment_flow)

    def attention(inputs, _outputs):
        (batch, heads, queries, channels), (*_, keys, _) = (x.type().sizes() for x in inputs[:2])
        return 2 * batch * heads * queries * keys * channels

    images = torch.zeros(1, 3, 64, 96, dtype=torch.uint8)
    inputs = (images, images, torch.zeros(1, 5, 16), torch.zeros(1, 5, 16, 24))
    theirs = fvcore.FlopCountAnalysis(Motion().eval(), inputs).unsupported_ops_warnings(False)
    theirs.set_op_handle("aten::scaled_dot_product_attention", attention)
    ours = total_gflops(counted(Motion().eval().to("meta"), *(x.to("meta") for x in inputs)))
    assert ours == pytest.approx(theirs.total() / 1e9, rel=1e-6)


def test_frame_sizes_are_written_width_by_height():
    assert parse_frame_size("2048x1024") == (1024, 2048)
    for text in ("480", "480x", "0x853", "853 x 480", "853x480x3"):
        with pytest.raises(ConfigError, match="a frame size is WIDTHxHEIGHT in pixels, such as 853x480, got"):
            parse_frame_size(text)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "r34"}, "unknown backbone 'r34'; known are r50, r101, swin-t"),
        ({"backbone": "r50", "num_classes": 0}, "num_classes must be at least 1, got 0"),
        ({"backbone": "r50", "interval": 0}, "interval must be at least 1, got 0"),
        ({"backbone": "r50", "frame_size": (0, 853)}, r"frame_size must be a height and a width .*, got \(0, 853\)"),
    ],
)
def test_numbers_out_of_range_are_rejected(settings, message):
    with pytest.raises(ConfigError, match=message):
        paper_cost(**settings)


def test_any_model_is_counted_with_the_way_it_propagates(tiny_motion_checkpoint, tiny_checkpoint):
    by_flow, learned = (
        loaded_cost(tiny_motion_checkpoint, propagation=way, frame_size=(64, 96), interval=3) for way in ("tracked", "segment")
    )
    assert "motion" in learned.parts and "motion" not in by_flow.parts
    assert by_flow.key_frame_gflops == learned.key_frame_gflops > learned.propagated_frame_gflops
    assert learned.interval_gflops == learned.key_frame_gflops + 2 * learned.propagated_frame_gflops
    assert learned.gflops == pytest.approx(learned.interval_gflops / 3)
    model = load_model(tiny_motion_checkpoint, device=torch.device("cpu"))
    assert learned.parameters == model.num_parameters and learned.model == model.segmentor.name
    assert (by_flow.propagation, learned.propagation) == ("tracked", "segment")
    assert loaded_cost(tiny_checkpoint, frame_size=(64, 96)).propagation == "tracked"
    with pytest.raises(ConfigError, match="interval must be at least 1, got 0"):
        loaded_cost(tiny_checkpoint, frame_size=(64, 96), interval=0)


def test_a_segmentor_says_what_it_costs_or_that_nobody_knows(tiny_checkpoint):
    segmentor = load_model(tiny_checkpoint, device=torch.device("cpu")).segmentor
    copy = make_propagator("copy", motion=None)
    counted_cost = stream_cost(segmentor, copy, frame_size=(64, 96))
    assert list(counted_cost.parts) == ["backbone", "pixel decoder", "transformer decoder", "warp", "output"]
    assert counted_cost.parameters == segmentor.num_parameters
    assert stream_cost(FaultySegmentor(segmentor), copy, frame_size=(64, 96)) == counted_cost
    assert stream_cost(BrightnessSegmentor(), copy, frame_size=(64, 96)) is None
