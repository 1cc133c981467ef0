"""The report: what stands in it, and that it opens in a real browser without a network."""

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from calco.errors import CalcoError
from calco.evaluation.evaluate import compare_report
from calco.evaluation.report import write_report
from calco.evaluation.scorecard import Scorecard
from calco.evaluation.scoring import evaluate
from calco.imaging import Image
from calco.report.page import MAX_SIDE, data_uri
from evaluation.formula_images import pairs, wave

LOG = [{"step": step, "train": {"g_l1": 1 / step}, "validation": {"ssim": 1 - 1 / step}} for step in range(1, 60)]
ABOUT = {"Images": "<waves> & more", "Names": ["a", "b"]}
HOSTILE = '"><script>alert(1)</script>'
VOID = {"meta", "img", "input", "br", "link"}


def model(image: Image) -> Image:
    return np.repeat(255 - image, 3, axis=2)


def made_card(name: str = "waves") -> Scorecard:
    made = pairs(10)
    made[0] = dataclasses.replace(made[0], key=HOSTILE)
    mean = np.full((4, 4, 3), 0.5, np.float32)
    return evaluate(
        model, made, mean_target=mean, seen=lambda key: key == "p003", name=name, recipe="colorize", perceptual=False
    )


@pytest.fixture(scope="module")
def card() -> Scorecard:
    return made_card()


@pytest.fixture(scope="module")
def report(card: Scorecard, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(card, tmp_path_factory.mktemp("report"), log=LOG, about=ABOUT)


class Checker(HTMLParser):
    """Gathers tags and attributes, and fails on ends without a beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(path: Path) -> Checker:
    checker = Checker()
    checker.feed(path.read_text(encoding="utf-8"))
    assert checker.open == []
    return checker


def test_is_one_well_formed_file_that_refers_to_no_other(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    written = re.sub(r"base64,[\w+/=]+", "", text)
    assert not re.search(r"https?:|//\w|@import|url\(|srcset|<link|<iframe", written)
    assert "default-src 'none'" in text
    sources = [attributes["src"] for _, attributes in checked(report).tags if "src" in attributes]
    assert sources
    assert all(source is not None and source.startswith("data:image/") for source in sources)


def test_says_what_there_is_to_say(report: Path, card: Scorecard) -> None:
    text = report.read_text(encoding="utf-8")
    for part in (
        "Scores",
        "Learning curves",
        "Images",
        "What it was trained on",
        "How it was measured",
        "Best",
        "Worst",
    ):
        assert part in text
    assert "&lt;waves&gt; &amp; more" in text
    assert "2 names" in text
    assert card.verdict().split(" (")[0] in text
    assert "Generator L1" not in text.split("Learning curves")[0]
    assert "MS-SSIM needs images of 176 pixels" in text


def test_names_cannot_break_out(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    assert "alert(1)" in text
    assert "<script>alert" not in text


def test_every_image_and_slider_is_named(report: Path) -> None:
    for tag, attributes in checked(report).tags:
        if tag == "img":
            assert attributes["alt"]
        if tag == "input":
            assert attributes["aria-label"]


def test_scores_alone_make_a_report(card: Scorecard, tmp_path: Path) -> None:
    bare = Scorecard.from_json(card.to_json())
    path = write_report(bare, tmp_path / "deep" / "scores.html")
    assert path.name == "scores.html"
    checked(path)
    assert "Learning curves" not in path.read_text()


def test_classes_have_a_table(card: Scorecard, tmp_path: Path) -> None:
    each = {"iou": 0.5, "dice": 0.6, "accuracy": 0.7}
    nothing = dict.fromkeys(each, float("nan"))
    classes = {"model": {"sky": each, "unicorn": nothing}}
    path = write_report(dataclasses.replace(card, classes=classes), tmp_path)
    text = path.read_text()
    assert "sky" in text
    assert "unicorn" not in text


def test_only_training_images_warn(card: Scorecard, tmp_path: Path) -> None:
    seen = [dataclasses.replace(image, seen=True) for image in card.images]
    text = write_report(dataclasses.replace(card, images=seen), tmp_path).read_text()
    assert "how well the model remembers" in text


def test_images_are_shrunk_and_encoded_by_what_they_are() -> None:
    flat = np.zeros((64, 64, 3), np.uint8)
    assert data_uri(flat).startswith("data:image/png")
    noise = np.random.default_rng(0).integers(-9, 9, (64, 64, 3))
    photo = np.clip(wave(64, 64, 0.05, 0.04) + noise, 0, 255).astype(np.uint8)
    assert data_uri(photo).startswith("data:image/jpeg")
    assert len(data_uri(wave(4 * MAX_SIDE, 100, 0.01, 0.01))) < len(data_uri(wave(MAX_SIDE, 100, 0.01, 0.01)))
    assert data_uri(flat[..., :1].astype(np.uint16)).startswith("data:image/png")


def test_runs_side_by_side(card: Scorecard, tmp_path: Path) -> None:
    worse = {name: dict(scores) for name, scores in card.systems.items()}
    worse["model"]["l1"] = dataclasses.replace(worse["model"]["l1"], mean=0.9)
    other = dataclasses.replace(card, systems=worse)
    path = compare_report({"first": card, "second & last": other}, tmp_path)
    checked(path)
    text = path.read_text()
    assert "first is best on L1." in text
    assert "second &amp; last" in text
    assert "different images" not in text
    forgetful = [dataclasses.replace(image, seen=False) for image in card.images]
    fewer = dataclasses.replace(card, images=forgetful)
    assert "different images" in compare_report({"a": card, "b": fewer}, tmp_path).read_text()
    with pytest.raises(CalcoError, match=r"1 run to compare; two or more"):
        compare_report({"a": card}, tmp_path)


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_opens_offline_and_the_sliders_move(browser: object, report: Path, scheme: str) -> None:
    context = browser.new_context(offline=True, color_scheme=scheme, viewport={"width": 1200, "height": 800})
    page = context.new_page()
    requests: list[str] = []
    problems: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(report.as_uri())
    assert page.evaluate("[...document.images].every((i) => i.naturalWidth > 0 || !i.src)")
    frame, slider = page.locator(".compare").first, page.locator(".compare input").first

    def at() -> str:
        return str(frame.evaluate("(element) => getComputedStyle(element).getPropertyValue('--at').trim()"))

    assert at() == "50%"
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert at() == "55%"
    assert slider.get_attribute("aria-valuetext") == "55% output, 45% target"
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 20, steps=4)
    page.mouse.up()
    assert 75 <= float(at().rstrip("%")) <= 85
    page.get_by_role("button", name="Target", exact=True).click()
    assert at() == "0%"
    page.locator("button.title").first.click()
    assert page.locator("dialog img.output").evaluate("(image) => image.naturalWidth > 0")
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert problems == []
    context.close()


def test_fits_a_telephone(browser: object, report: Path) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 740})
    page.goto(report.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()
