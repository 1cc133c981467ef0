"""Measures bear the names that the field writes, wherever a run shows them."""

import json
import re
import time
from pathlib import Path

import pytest

from calco.detection.metrics import Scores
from calco.evaluation.metrics import METRICS
from calco.report.charts import learning_curves
from calco.report.numbers import _NAMES, Language, measure_name
from calco.training.run import Run, summarise
from calco.web.gallery import Gallery

DETECTOR = Scores(
    ap=0.3, ap50=0.5, ap75=0.25, small=0.1, medium=0.2, large=0.4, recall=0.6, threshold=0.35, f1=0.55, precision=0.5,
    recall50=0.6,
).numbers()  # fmt: skip
ROWS = [{"step": 10, "time": 9.0, "validation": DETECTOR}]
ENGLISH = {"mAP50-95", "mAP50", "mAP75", "mAP of small objects", "mAP of medium objects", "mAP of large objects",
           "AR100", "F1", "threshold of the best F1"}  # fmt: skip
SPANISH = {"mAP50-95", "mAP50", "mAP75", "mAP de objetos pequeños", "mAP de objetos medianos", "mAP de objetos grandes",
           "AR100", "F1", "umbral del mejor F1"}  # fmt: skip
TITLES: list[tuple[Language, str, set[str]]] = [("en", "Validation", ENGLISH), ("es", "Validación", SPANISH)]


def test_every_measure_of_a_translator_and_of_a_detector_has_a_name() -> None:
    assert {*METRICS, *DETECTOR} == {*_NAMES}
    assert {name: metric.label for name, metric in METRICS.items()} == {name: measure_name(name) for name in METRICS}


@pytest.mark.parametrize(("language", "validation", "names"), TITLES)
def test_the_curves_of_a_detector_bear_them(
    language: Language, validation: str, names: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {f"{validation} {name}" for name in names}
    (tmp_path / "guns").mkdir()
    (tmp_path / "guns" / "log.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in ROWS), encoding="utf-8")
    gallery = Gallery(tmp_path)
    [run] = gallery.runs()
    monkeypatch.setenv("CALCO_LANGUAGE", language)
    notebook = Run(tmp_path / "guns")._repr_html_() or ""
    for shown in (learning_curves(ROWS, language), gallery.curves(run, language), [notebook]):
        assert set(re.findall(r"<figcaption><span>(.*?)</span>", "".join(map(str, shown)))) == wanted
    assert "mAP50 0" in notebook.replace(",", ".")
    assert run.score_name(language) == "mAP50"


def test_a_detector_that_trains_shows_its_map50_and_no_threshold() -> None:
    assert summarise(ROWS, time.time()).score == ("map50", 0.5)
