"""docs/models.md has what the benchmark of hub models counts."""

import re
from pathlib import Path

import pytest

from benchmarks.hub_models import SHIPPED_MODELS, hub_models, seen_size

PAGE = (Path(__file__).parents[3] / "docs" / "models.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| `([^`]+)` \| (\d+) \| (\d+)x(\d+) \| ([\d.]+) \| ([\d.]+) \|$", re.MULTILINE)


def test_each_model_has_its_row_and_its_launch_line():
    rows = {
        name: (kind, int(classes), (int(height), int(width))) for kind, name, classes, width, height, *_ in ROW.findall(PAGE)
    }
    assert {name: seen_size(name) for name in SHIPPED_MODELS} == {"rooms": (320, 427), "rooms-lite": (480, 640)}
    own = {name: rows.pop(name) for name in SHIPPED_MODELS}
    assert own == {name: ("mpvss", 12, seen_size(name)) for name in SHIPPED_MODELS}
    assert rows == {model.hub_id: (model.family, model.classes, model.size) for model in hub_models()}
    launched = re.findall(r"^ros2 launch mpvss_ros segment\.launch\.py image:=\S+ model:=(\S+)$", PAGE, re.MULTILINE)
    assert launched == [*SHIPPED_MODELS, *rows]


@pytest.mark.parametrize("name", ["segformer-b0", "videomt-dinov2-small"])
def test_costs_are_those_of_the_page(name):
    model = next(model for model in hub_models() if name in model.hub_id)
    gflops, parameters = model.cost()
    row = next(row for row in ROW.findall(PAGE) if row[1] == model.hub_id)
    assert row[5:] == (f"{parameters / 1e6:.1f}", f"{gflops:.1f}")
