"""The check's page shows images with boxes as the training of a detector will."""

import re
from pathlib import Path

import numpy as np
import pytest

from calco import CalcoError
from calco.annotations.coco import write_coco
from calco.annotations.detections import Detections, nothing
from calco.annotations.record import Record
from calco.checking import CheckConfig
from calco.checking.check import check
from calco.data.box_augmentation import no_augmentation
from calco.data.config import BoxAugmentConfig
from checking.conftest import Write, photo


@pytest.fixture
def boxed(write: Write, tmp_path: Path) -> Path:
    records = []
    for n in range(8):
        write(f"{n}.png", photo(n, 120, 90))
        objects = Detections(boxes=np.array([[10 + n, 20, 60, 70]], np.float32), classes=("<cup>" if n % 2 else "pen",))
        records.append(Record(name=f"{n}.png", objects=nothing() if n == 7 else objects, size_wh=(120, 90)))
    write_coco(tmp_path / "set" / "all.json", records)
    return tmp_path / "set"


def section(images: Path, out: Path, config: BoxAugmentConfig | None = None) -> str:
    report = check(CheckConfig(images=str(images), out=str(out), jobs=1, augment=config or BoxAugmentConfig()))
    return (
        report.page.read_text(encoding="utf-8").partition('<section id="augmentation">')[2].partition("</section>")[0]
    )


def test_some_images_in_some_epochs_with_the_classes_named(boxed: Path, tmp_path: Path) -> None:
    shown = section(boxed, tmp_path / "out")
    assert "&lt;cup&gt;" in shown
    assert "pen" in shown
    assert len(re.findall(r"<figcaption>epoch \d", shown)) == 5 * shown.count('<div class="row">')
    drawn = re.findall(r'src="([^"]+)"', shown)
    assert len(set(drawn)) == len(drawn)
    assert shown == section(boxed, tmp_path / "again")


def test_it_shows_the_settings_that_are_given(boxed: Path, tmp_path: Path) -> None:
    rows = section(boxed, tmp_path / "out", no_augmentation()).split('<div class="row">')[1:]
    for row in rows:
        assert len(set(re.findall(r'src="([^"]+)"', row))) == 1  # every epoch is the image as it is


def test_a_damaged_image_costs_no_page(boxed: Path, tmp_path: Path) -> None:
    (boxed / "3.png").write_bytes(b"\x89PNG")
    assert "As a detector in training" in section(boxed, tmp_path / "out", BoxAugmentConfig(mosaic=1))


def test_without_boxes_there_is_nothing_to_show(write: Write, tmp_path: Path) -> None:
    for n in range(3):
        write(f"{n}.png", photo(n))
    assert section(tmp_path / "set", tmp_path / "out") == ""
    with pytest.raises(CalcoError, match="this is a source of photographs; leave it out"):
        section(tmp_path / "set", tmp_path / "out", no_augmentation())


@pytest.mark.slow
def test_opens_in_a_browser_without_complaint(browser: object, boxed: Path, tmp_path: Path) -> None:
    page = check(CheckConfig(images=str(boxed), out=str(tmp_path / "out"), jobs=1)).page
    for scheme in ("light", "dark"):
        context = browser.new_context(offline=True, viewport={"width": 360, "height": 740}, color_scheme=scheme)
        opened = context.new_page()
        problems: list[str] = []
        opened.on("console", lambda message, into=problems: into.append(message.text))
        opened.on("pageerror", lambda error, into=problems: into.append(str(error)))
        opened.goto(page.as_uri())
        assert opened.evaluate("[...document.images].every((i) => i.naturalWidth > 0)")
        assert opened.evaluate("document.documentElement.scrollWidth") <= 360
        assert problems == []
        context.close()
