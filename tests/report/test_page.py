"""Pages: whole files that escape what they are given, and the one place where HTML is made."""

import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from calco import CalcoError
from calco.report.page import Cell, Column, Row, Table, count, render, score_cells, write_page
from support import ROOT

HOSTILE = '"><script>alert(1)</script>'


def test_only_the_report_package_makes_html() -> None:
    markup = re.compile(r"</?(div|section|figure|table|svg|ul|li|td|th)\b")
    found = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "src").rglob("*.py"))
        if "report" not in path.relative_to(ROOT / "src" / "calco").parts[0] and markup.search(path.read_text())
    ]
    assert found == []


def compared(**more: object) -> str:
    table = Table(HOSTILE, [Column(HOSTILE, HOSTILE, "lower", "words")], [Row(HOSTILE, [Cell(HOSTILE, HOSTILE)])])
    values = {"runs": [HOSTILE], "verdict": HOSTILE, "warnings": [HOSTILE], "scores": table, "numbers": HOSTILE}
    return render("comparison", title=HOSTILE, images=[], **values, **more)


def test_whatever_is_given_stays_text() -> None:
    text = compared()
    assert "alert(1)" in text and "<script>alert" not in text and '""><' not in text


def test_a_value_that_is_missing_is_an_error_and_not_a_gap() -> None:
    with pytest.raises(UndefinedError):
        render("comparison", title="x")


def test_a_page_goes_into_a_folder_or_a_file(tmp_path: Path) -> None:
    assert write_page(tmp_path / "deep", "live", name="a.html", title="x") == tmp_path / "deep" / "a.html"
    assert write_page(tmp_path / "b.HTML", "live", title="<x>").read_text().count("&lt;x&gt;") == 1
    (tmp_path / "file").write_text("")
    with pytest.raises(CalcoError):
        write_page(tmp_path / "file" / "page", "live", title="x")


def test_counts_are_written_with_their_nouns() -> None:
    assert [count(1), count(1200), count(2, "box"), count(0, "class"), count(2, "track")] == [
        "1 image", "1,200 images", "2 boxes", "0 classes", "2 tracks",
    ]  # fmt: skip


class Score:
    def __init__(self, mean: float, low: float | None = None, high: float | None = None) -> None:
        self.mean, self.low, self.high = mean, low, high


def test_the_best_of_a_column_is_marked_as_far_as_its_digits_tell() -> None:
    scores = {"a": Score(0.5001, 0.4, 0.6), "b": Score(0.5004), "c": Score(0.7), "d": None, "e": Score(float("nan"))}
    cells = score_cells(scores, "lower", "{:.3f}".format, lambda score: f"{score.low}–{score.high}")
    assert {name: (cell.text, cell.best) for name, cell in cells.items()} == {
        "a": ("0.500", True), "b": ("0.500", True), "c": ("0.700", False), "d": ("–", False), "e": ("–", False),
    }  # fmt: skip
    assert cells["a"].track == pytest.approx((4, 4 + 92 * 0.1001 / 0.3, 4 + 92 * 0.2 / 0.3))
    unmarked = score_cells(scores, "lower", "{:.3f}".format, lambda _: "", mark=False)
    assert not any(cell.best for cell in unmarked.values())
