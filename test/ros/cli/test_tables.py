import io
from dataclasses import replace

from rich.console import Console

from mpvss_model.checkpoints.convert import Conversion
from mpvss_model.checkpoints.parity import ArrayParity, ParityReport
from mpvss_model.evaluation.flops import Cost
from mpvss_model.motion.config import MotionConfig
from mpvss_model.segmentor.cost import PartCost
from mpvss_ros.cli.common.tables import conversion_table, cost_table, costs_table, parity_table, rival_line

PARTS = {
    name: PartCost(gflops, parameters, runs_on)
    for name, gflops, parameters, runs_on in (
        ("backbone", 34.0, 23_500_000, "key"),
        ("pixel decoder", 58.0, 6_000_000, "key"),
        ("transformer decoder", 13.0, 14_500_000, "key"),
        ("motion", 15.7, 40_000_000, "propagated"),
        ("warp", 0.03, 0, "propagated"),
        ("output", 5.5, 0, "all"),
    )
}
COST = Cost(backbone="r50", frame_size=(480, 853), num_classes=124, interval=5, parts=PARTS, paper_gflops=38.9)


def printed(table, width=160):
    output = io.StringIO()
    Console(file=output, width=width).print(table)
    return output.getvalue()


def test_cost_of_one_configuration_has_parts_averages_and_the_paper_s_figures():
    text = printed(cost_table(COST))
    for expected in ("853 x 480 pixels", "pixel decoder", "110.50", "21.23", "39.08", "38.9", "84.000"):
        assert expected in text


def test_cost_of_a_model_is_that_of_a_key_frame_a_propagated_frame_and_an_interval():
    text = printed(cost_table(replace(COST, backbone="", model="my[model]", propagation="segment", paper_gflops=None)))
    for expected in ("my[model], segment, 853 x 480 pixels", "110.50", "21.23", "interval of 5", "195.42", "39.08"):
        assert expected in text
    assert "paper" not in text


def test_costs_of_several_are_a_row_each():
    text = printed(costs_table([COST, COST]), width=80)
    assert text.count("853x480") == 2 and text.count("39.08") == 2 and text.count("84.00") == 2


def test_the_rival_is_a_line_with_what_the_paper_says_and_what_is_counted():
    parts = {"backbone": PartCost(119.0, 81_400_000, "all"), "head": PartCost(65.8, 3_200_000, "all")}
    line = rival_line(replace(COST, backbone="rival", interval=1, parts=parts, paper_gflops=373.0))
    assert line.startswith("rival, 853x480: 373.0 in") and line.endswith("184.80 (84.60 M parameters)")


def test_parity_shows_what_failed():
    report = ParityReport("p", (ArrayParity("a/query", (2, 3), 1e-6, 2e-4), ArrayParity("a/pixel_flow", (4,), 0.1, 2e-5)))
    text = printed(parity_table(report))
    assert "FAILED" in text and "2 x 3" in text and text.count("too large") == 1


def test_conversion_shows_what_was_found():
    conversion = Conversion("out", "r50", 124, 100, 9, MotionConfig(), 84_119_831, ("criterion.empty_weight",))
    text = printed(conversion_table(conversion))
    for expected in ("r50", "124", "9 layers of 256 channels", "84.1 M", "criterion.empty_weight"):
        assert expected in text
