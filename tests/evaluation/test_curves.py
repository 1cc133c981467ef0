"""Learning curves from any log."""

import re
from xml.etree import ElementTree

import pytest

from calco.evaluation.curves import MAX_POINTS, charts, draw, short, ticks

ROWS = [
    {"step": 10, "epoch": 0, "train": {"g_l1": 0.3, "d_real": 0.6, "d_fake": 0.7}, "images_per_s": 30},
    {"step": 20, "train": {"g_l1": 0.2, "d_real": 0.5, "d_fake": 0.6}},
    {"step": 20, "validation": {"psnr": 20.0, "my_own": 3, "broken": float("nan")}},
    {"note": "a row of another kind"},
    {"step": "x", "train": {"g_l1": 1}},
    {"step": 30, "train": None, "validation": {"psnr": "high"}},
]


def test_families() -> None:
    found = {chart.title: dict(chart.curves) for chart in charts(ROWS)}
    assert found == {
        "Generator L1": {"training": [(10.0, 0.3), (20.0, 0.2)]},
        "Discriminator": {"real": [(10.0, 0.6), (20.0, 0.5)], "fake": [(10.0, 0.7), (20.0, 0.6)]},
        "Validation PSNR": {"validation": [(20.0, 20.0)]},
        "Validation my own": {"validation": [(20.0, 3.0)]},
    }


def test_no_rows_no_charts() -> None:
    assert charts([]) == []


@pytest.mark.parametrize("chart", charts(ROWS), ids=lambda chart: chart.title)
def test_drawings_are_well_formed_and_told(chart: object) -> None:
    figure = ElementTree.fromstring(draw(chart))
    label = next(figure.iter("svg")).get("aria-label")
    assert label is not None
    assert re.search(r"from step \d+ to \d+: .* goes from .* to ", label)


def test_long_logs_stay_small_and_inside() -> None:
    rows = [{"step": step, "train": {"g_l1": 1 / step if step % 977 else 1e9}} for step in range(1, 20001)]
    drawn = draw(charts(rows)[0])
    assert len(drawn) < 30 * 2 * MAX_POINTS
    heights = [float(y) for path in re.findall(r' d="M([^"]+)"', drawn) for y in re.findall(r" (-?[\d.]+)", path)]
    assert min(heights) >= 0
    assert max(heights) <= 168


def test_names_are_escaped() -> None:
    drawn = draw(charts([{"step": 1, "train": {"<b>&": 1.0}}])[0])
    assert "<b>" not in drawn


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.25, 0.5, 0.75, 1]), (3, 17, [5, 10, 15]), (0, 6000, [0, 2000, 4000, 6000]), (2, 2, [2])],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_short() -> None:
    assert [short(value) for value in (0.05, 12.5, 40000, 2.5e6)] == ["0.05", "12.5", "40k", "2.5M"]
