"""Charts of reports: learning curves from any log, and figures that are well formed and described."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from calco.report import charts
from calco.report.charts import HEIGHT, MAX_POINTS, learning_curves, short, ticks

ROWS = [
    {"step": 10, "epoch": 0, "train": {"g_l1": 0.3, "d_real": 0.6, "d_fake": 0.7}, "images_per_s": 30},
    {"step": 20, "train": {"g_l1": 0.2, "d_real": 0.5, "d_fake": 0.6}},
    {"step": 20, "validation": {"psnr": 20.0, "my_own": 3, "broken": float("nan")}},
    {"note": "a row of another kind"},
    {"step": "x", "train": {"g_l1": 1}},
    {"step": 30, "train": None, "validation": {"psnr": "high"}},
]


def titles(rows: object) -> list[str]:
    return [re.findall(r"<figcaption><span>(.*?)</span>", figure)[0] for figure in learning_curves(rows)]


def test_families() -> None:
    assert titles(ROWS) == ["Generator L1", "Discriminator", "Validation PSNR", "Validation my own"]
    discriminator = learning_curves(ROWS)[1]
    assert "real goes from 0.6 to 0.5; fake goes from 0.7 to 0.6" in discriminator
    assert learning_curves([]) == []


def test_learning_curves_speak_spanish() -> None:
    end = {"step": 9, "end": {"reason": "over", "metric": "psnr", "remark": "more helps"}}
    charts = [str(each) for each in learning_curves([*ROWS, end], "es")]
    titles = [re.findall(r"<figcaption><span>(.*?)</span>", each)[0] for each in charts]
    assert (
        "Discriminador" in titles
        and "Validación PSNR" in titles
        and any(each.startswith("Generador") for each in titles)
    )
    said = " ".join(charts)
    assert "de paso" in said and "va de" in said
    assert not re.search("Discriminator|Generator|Validation| goes from |more helps", said)


@pytest.mark.parametrize("chart", learning_curves(ROWS), ids=range(4))
def test_curves_are_well_formed_and_described(chart: str) -> None:
    figure = ElementTree.fromstring(chart)
    label = next(figure.iter("svg")).get("aria-label")
    assert label is not None
    assert re.search(r"from step \d+ to \d+: .* goes from .* to ", label)


def test_long_logs_stay_small_and_inside() -> None:
    rows = [{"step": step, "train": {"g_l1": 1 / step if step % 977 else 1e9}} for step in range(1, 20001)]
    chart = learning_curves(rows)[0]
    assert len(chart) < 30 * 2 * MAX_POINTS
    heights = [float(y) for path in re.findall(r' d="M([^"]+)"', chart) for y in re.findall(r" ([\d.]+)", path)]
    assert min(heights) >= 0 and max(heights) <= HEIGHT


HOSTILE = '<b>&"'


@pytest.mark.parametrize(
    "chart",
    [
        learning_curves([{"step": 1, "train": {HOSTILE: 1.0}}])[0],
        charts.lines(
            HOSTILE, {HOSTILE: [(0, 0), (1, 1)]}, HOSTILE, HOSTILE, unit=True, at=0.5, steps=True, note=HOSTILE
        ),
        charts.histogram(HOSTILE, [1, 3], [0, 1, 2], HOSTILE, HOSTILE),
        charts.histogram("lightness", [0, 2], [0, 1, 2], "", names=("dark", HOSTILE, "light")),
        charts.scatter(HOSTILE, [(0.5, 0.5)], HOSTILE, HOSTILE),
        charts.heat_map(HOSTILE, np.eye(3)),
        charts.bars(HOSTILE, {HOSTILE: 3.0, "none": 0}, HOSTILE, {HOSTILE: HOSTILE}),
        charts.stripes(HOSTILE, [(0, 10, 255)]),
    ],
)
def test_charts_are_well_formed_described_and_escape_names(chart: str) -> None:
    figure = ElementTree.fromstring(chart)
    assert "<em>" not in chart and HOSTILE in "".join(figure.itertext()) + str([e.attrib for e in figure.iter()])
    assert all(element.get("aria-label") for element in figure.iter("svg"))


def test_a_histogram_has_a_column_for_each_count_with_its_value() -> None:
    figure = ElementTree.fromstring(charts.histogram("n", [1, 0, 4], [0, 10, 20, 30], "x"))
    assert [title.text for title in figure.iter("title")] == ["0 to 10: 1", "10 to 20: 0", "20 to 30: 4"]
    heights = [float(rect.get("height")) for rect in figure.iter("rect")]
    assert heights[1] == 0 and heights[2] == pytest.approx(4 * heights[0], abs=0.2)


def test_ratios_are_a_file_of_their_own() -> None:
    svg = ElementTree.fromstring(charts.ratios([("step <1>", 2.0, 1.5, 4.0, "2.00× 8 / 4")], ["on <this> machine"]))
    assert svg.get("width") and "step <1>" in [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.25, 0.5, 0.75, 1]), (3, 17, [5, 10, 15]), (0, 6000, [0, 2000, 4000, 6000]), (2, 2, [2])],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_short() -> None:
    assert [short(value) for value in (0.05, 12.5, 40000, 2.5e6)] == ["0.05", "12.5", "40k", "2.5M"]
