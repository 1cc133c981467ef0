"""The studio's pages, driven as a person would in a real browser: no console error, nothing asked of another host."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from calco import imaging, journal
from calco.crime.generate import GenerateConfig, generate
from calco.crime.load import load
from calco.data.config import JitterConfig, SourceConfig
from calco.data.recipes import EraseConfig, RecipeConfig, SegmentConfig
from calco.inference.folder import ModelInfo
from calco.networks.config import GeneratorConfig
from calco.web.jobs import JobOptions
from crime.loading import config as crimes
from crime.test_robberies import written
from support import find_chromium
from web.studios import Site, image, make_detector, opened, save_untrained

pytest.importorskip("ibis")
pytestmark = pytest.mark.slow
WAIT = 180_000  # milliseconds; a loaded machine takes more than one minute


def make_model(folder: Path, recipe: str = "aligned", *, source: Any = "auto", **generator: Any) -> None:
    """The run of a translator with random weights, at 32 pixels."""
    holes = recipe == "erase"
    composition: Any = {"colorize": "luminance", "erase": "filled"}.get(recipe, "plain")
    info = ModelInfo(
        generator=GeneratorConfig(depth=3, filters=8, composition=composition, hole_channel=holes, **generator),
        recipe=RecipeConfig(
            recipe=recipe, erase=EraseConfig(mask_channel=holes), segment=SegmentConfig(palette="voc")
        ),
        jitter=JitterConfig(size=32, resize=36, fit="cover"), source=SourceConfig(source=source),
        in_channels=1 if recipe == "colorize" else 3 + holes, out_channels=3,
    )  # fmt: skip
    save_untrained(folder, info)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make_model(folder / "dreams", source="openmoji", dropout=0.5, dropout_everywhere=True)
    make_model(folder / "emoji", source="openmoji", dropout=0)
    make_model(folder / "scratches", "erase", dropout=0)
    make_model(folder / "old-photos", "colorize", dropout=0)
    make_model(folder / "streets", "segment", dropout=0)
    make_detector(folder / "people")
    return folder


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run that has ended and one that trains."""
    folder = tmp_path_factory.mktemp("gallery")
    for name, ended in (("first", True), ("deep/second", False)):
        rows: list[dict[str, Any]] = [
            {"step": step, "time": 6.0 * step, "train": {"g_pixel": 1 / step}, "validation": {"psnr": 10 + step / 10}}
            for step in range(10, 100, 10)
        ]
        rows += [
            {"step": 90, "time": 540.0, "end": {"reason": "over", "metric": "psnr", "remark": "more helps"}}
        ] * ended
        (folder / name / "samples").mkdir(parents=True)
        journal.write(folder / name / "log.jsonl", rows)
        imaging.write(folder / name / "samples" / "step-000000050.png", image())
    return folder


@pytest.fixture(scope="module")
def crime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of crimes."""
    folder = tmp_path_factory.mktemp("crime")
    written(folder, {}, {"DISTRITO": "Comas"})
    (folder / "kinds.csv").write_text("Crimen;Descripcion\nAsalto;Con violencia\n")
    generate(GenerateConfig(out=str(folder / "datacrim.parquet"), rows=2_000))
    load(crimes(folder, folder / "crime.duckdb"))
    return folder / "crime.duckdb"


@pytest.fixture(scope="module")
def site(models: Path, gallery: Path, crime: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    served = sorted(models.iterdir())
    with opened(tmp_path_factory.mktemp("state"), *served, runs=str(gallery), crime=str(crime)) as found:
        yield found


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    values = np.linspace(40, 200, 96)[None, :, None] + np.zeros((64, 1, 3))
    imaging.write(path, values.astype(np.uint8))
    return path


@pytest.fixture
def tab(browser: Any, site: Site) -> Iterator[Callable[..., Any]]:
    """Open a page of the studio; at the end nothing may have gone wrong, and no other host been asked."""
    contexts, faults = [], []

    def open_page(path: str, *, language: str = "en-GB", **options: Any) -> Any:
        context = browser.new_context(
            locale=language, **{"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **options}
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT)
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda asked: faults.append(asked.url) if not own(asked.url, site.url) else None)
        page.goto(f"{site.url}{path}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def own(url: str, site: str) -> bool:
    return url.startswith((f"{site}/", "data:", f"blob:{site}/"))


def draw(page: Any, *points: tuple[float, float]) -> None:
    """Draw a stroke with the mouse, through shares of the canvas."""
    canvas = page.locator("canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    spots = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*spots[0])
    page.mouse.down()
    for spot in spots[1:]:
        page.mouse.move(*spot, steps=4)
    page.mouse.up()


def outcome(page: Any, kind: str) -> Any:
    found = page.locator(f".outcome[data-kind={kind}]")
    found.wait_for()
    page.wait_for_function("!document.body.classList.contains('busy')")
    return found


def pick(page: Any, model: str) -> None:
    """Choose a model."""
    page.get_by_label("Model").first.click()
    page.get_by_role("option", name=model).click()
    page.wait_for_function("name => document.querySelector('.controls input').value === name", arg=model)
    page.wait_for_timeout(100)


def choose(page: Any, path: Path | list[Path]) -> None:
    page.locator(".stage input[type=file]").first.set_input_files(path)


# ---- Every page ----


def test_home_shows_a_card_for_each_job_of_the_models_and_no_other(tab: Any) -> None:
    page = tab("/")
    names = page.locator(".card .name").all_inner_texts()
    assert names == [
        "Sketch to colour", "Repair a region", "Colour for grey photos", "What is in the photo", "Detect objects",
        "Video", "Camera", "Many images", "Training runs", "Crime in Peru",
    ]  # fmt: skip
    assert "dreams, emoji" in page.locator(".card").first.inner_text()
    page.get_by_role("link", name="Detect objects").first.click()
    page.get_by_role("heading", level=1, name="Detect objects").wait_for()


def test_pages_speak_the_browsers_language_and_the_switch_is_kept(tab: Any) -> None:
    page = tab("/", language="es-PE")
    assert page.locator("h1").inner_text() == "Dibuja, repara, colorea"
    page.get_by_role("button", name="English").click()
    assert page.locator("h1").inner_text() == "Draw, repair, colour"
    assert page.evaluate("document.documentElement.lang") == "en"
    page.reload()
    assert page.locator("h1").inner_text() == "Draw, repair, colour"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/studio/sketch", "/studio/repair", "/studio/detect",
                                  "/models/people", "/runs", "/runs/first"])  # fmt: skip
def test_pages_fit_a_phone_in_light_and_dark(tab: Any, path: str, scheme: str) -> None:
    page = tab(path, viewport={"width": 360, "height": 740}, color_scheme=scheme, has_touch=True)
    if path.startswith("/studio"):
        page.locator(".stage").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("h1").is_visible()
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(251, 250, 247)" if scheme == "light" else "rgb(20, 23, 27)")


JOBS = ("sketch", "repair", "colour", "segment", "detect", "video", "camera", "many")
EVERY_PAGE = ("/", "/runs", "/runs/first", "/models/people", "/crime", *(f"/studio/{job}" for job in JOBS))
CONTROLS = """
window.controls = () => [...document.querySelectorAll(
    "a[href], button, input, select, textarea, summary, canvas, video[controls], [tabindex='0']"
)].filter(part => part.checkVisibility({ visibilityProperty: true }) && !part.disabled && !part.closest("[hidden]"));
window.named = (part) => part.getAttribute("aria-label") || part.textContent.trim() || part.title
    || part.labels?.length || part.getAttribute("aria-labelledby") || part.querySelector("img[alt]:not([alt=''])")?.alt;
// How a part and what is around it are outlined.
window.outlined = (part) => {
    const found = [];
    for (let each = part, up = 0; each && up < 5; each = each.parentElement, up += 1) {
        const style = getComputedStyle(each);
        found.push(style.outlineStyle === "none" || style.outlineWidth === "0px" ? "" : style.outline, style.boxShadow);
    }
    return JSON.stringify(found);
};
window.before = new Map();
"""


def ready(page: Any) -> None:
    """Wait for what a page adds to itself."""
    if page.url.endswith("/crime"):
        page.locator("html[data-drawn=yes]").wait_for()
    if "/studio/" in page.url:
        page.locator(".stage[data-set]").wait_for()
        page.wait_for_function("!document.querySelector('.controls') || document.querySelector('.controls input')")
    page.wait_for_load_state("networkidle")  # the live parts of runs have been asked for


@pytest.mark.parametrize("path", EVERY_PAGE)
def test_every_control_has_a_name_and_the_keyboard_reaches_it(tab: Any, path: str) -> None:
    page = tab(path)
    ready(page)
    page.evaluate(CONTROLS)
    assert page.evaluate("controls().filter(part => !named(part)).map(part => part.outerHTML)") == []
    page.evaluate("controls().forEach(part => before.set(part, outlined(part)))")
    unseen = []
    for _ in range(page.evaluate("before.size") + 3):
        page.keyboard.press("Tab")
        shown = """() => {
            const part = document.activeElement;
            window.reached ??= new Set();
            reached.add(part);
            return part === document.body || !before.has(part) || before.get(part) !== outlined(part);
        }"""
        if not page.evaluate(shown):
            unseen.append(page.evaluate("document.activeElement.outerHTML"))
    assert unseen == []
    assert page.evaluate("[...before.keys()].filter(part => !reached.has(part)).map(part => part.outerHTML)") == []


def tabbed(page: Any, selector: str, key: str = "Tab") -> None:
    """Walk to a control by the keyboard."""
    for _ in range(60):
        page.keyboard.press(key)
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} is not reached")


def chosen(page: Any, path: Path) -> None:
    """Walk to where a file is chosen, and choose it in the window of the browser that Enter opens."""
    tabbed(page, ".stage input[type=file]")
    opened: list[Any] = []
    page.on("filechooser", lambda window: opened.append(window))  # Playwright takes no built-in function
    # The browser is told of a listener later than this process: an Enter before that opens a window that nobody sees.
    page.wait_for_timeout(2000)
    page.keyboard.press("Enter")
    end = time.monotonic() + WAIT / 1000
    while not opened:
        assert time.monotonic() < end, "Enter opens no window to choose a file in"
        page.wait_for_timeout(100)
    opened[0].set_files(path)


def test_the_keyboard_alone_repairs_compares_and_switches_the_language(tab: Any, photo: Path) -> None:
    page = tab("/studio/repair")
    ready(page)
    chosen(page, photo)
    page.locator("canvas").wait_for()
    tabbed(page, "canvas", "Shift+Tab")
    page.keyboard.press(" ")
    for _ in range(4):
        page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press(" ")
    shown = outcome(page, "compare")
    tabbed(page, ".compare input")
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    assert "45% before, 55% after" in shown.get_by_role("slider").get_attribute("aria-valuetext")
    assert page.locator(".compare").evaluate("part => part.style.getPropertyValue('--at')") == "45%"
    tabbed(page, "[data-do=save]")
    with page.expect_download() as saved:
        page.keyboard.press("Enter")
    assert imaging.read(saved.value.path()).shape == (64, 96, 3)
    tabbed(page, "[data-lang=es]", "Shift+Tab")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Reparar una zona").wait_for()


def test_the_keyboard_alone_chooses_a_model_and_moves_the_threshold(tab: Any, sure: None, photo: Path) -> None:
    page = tab("/studio/sketch")
    ready(page)
    tabbed(page, "[data-do=example]")
    page.keyboard.press("Enter")
    outcome(page, "variants")
    tabbed(page, "[role=combobox]", "Shift+Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    outcome(page, "single")
    page = tab("/studio/detect")
    ready(page)
    chosen(page, photo)
    outcome(page, "detect")
    marks = page.locator(".mark:not(.off)")
    marks.first.wait_for()
    before = marks.count()
    tabbed(page, ".controls input[type=range]")
    for _ in range(9):
        page.keyboard.press("PageUp")
    page.wait_for_function("before => document.querySelectorAll('.mark:not(.off)').length < before", arg=before)
    tabbed(page, ".controls .reset-button", "Shift+Tab")
    page.keyboard.press("Enter")
    page.wait_for_function("before => document.querySelectorAll('.mark:not(.off)').length === before", arg=before)


def test_the_keyboard_alone_starts_and_cancels_a_job(tab: Any, tmp_path: Path) -> None:
    page = tab("/studio/video")
    ready(page)
    chosen(page, make_video(tmp_path / "long.mp4", 2000))
    tabbed(page, "[data-do=upload]")
    page.keyboard.press("Enter")
    page.locator(".task").wait_for()
    page.wait_for_timeout(2500)  # the part of the page is written anew each second
    assert page.evaluate("document.activeElement.dataset.do") == "cancel"
    page.keyboard.press("Enter")
    page.get_by_text("Cancelled").wait_for()
    page.wait_for_function("document.activeElement.dataset.do === 'again'")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.type") == "file"


ENGLISH = re.compile(
    r"\b(all|and|browse|camera|cancel|choose|clear|click|close|connection|default|download|drop|file|for|from|here|image|"
    r"input|lost|model|number|of|open|options|or|range|remove|reset|result|run|seed|slider|submit|the|this|to|undo|"
    r"upload|value|with)\b(?![.]json)", re.IGNORECASE,
)  # fmt: skip
"""Words that no Spanish sentence has, among them those of Gradio's own controls."""


@pytest.mark.parametrize("switched", [False, True])
def test_no_english_word_is_left_on_a_spanish_page(tab: Any, switched: bool) -> None:
    for path in EVERY_PAGE:
        page = tab(path, language="en-GB" if switched else "es-PE")
        ready(page)
        if switched:
            page.get_by_role("button", name="Español").click()
            page.wait_for_timeout(500)
        said = page.evaluate("""() => {
            const found = [];
            for (const part of document.querySelectorAll("body *:not(script, style, noscript, pre, pre *)")) {
                if (!part.checkVisibility() || part.closest("[lang=en]")) continue;
                for (const name of ["aria-label", "title", "placeholder", "alt", "aria-valuetext"])
                    if (part.getAttribute(name)) found.push(part.getAttribute(name));
                for (const each of part.childNodes) if (each.nodeType === 3) found.push(each.textContent);
            }
            return found;
        }""")
        english = {line for line in said if ENGLISH.search(line) and line != "Idioma / Language"}
        assert english == set(), path


# ---- Images ----


def test_a_drawing_becomes_an_image_while_it_is_drawn(tab: Any) -> None:
    page = tab("/studio/sketch")
    page.locator("canvas").wait_for()
    page.get_by_role("button", name="Colour it").click()
    assert page.get_by_text("Draw something first.").is_visible()
    draw(page, (0.2, 0.2), (0.8, 0.3), (0.5, 0.8))
    shown = outcome(page, "variants")  # dreams, the first model, uses noise
    first = shown.locator("img").first.get_attribute("src")
    assert first.startswith("data:image/png;base64,")
    assert page.get_by_text("Draw something first.").count() == 0
    draw(page, (0.1, 0.9), (0.9, 0.9))
    page.wait_for_function("before => document.querySelector('.outcome img').src !== before", arg=first)
    page.get_by_role("button", name="Undo").click()
    page.wait_for_function("before => document.querySelector('.outcome img').src === before", arg=first)
    page.get_by_role("button", name="Clear").click()
    assert page.get_by_role("button", name="Undo").is_disabled()


def test_variants_stand_side_by_side_and_others_can_be_asked_for(tab: Any) -> None:
    page = tab("/studio/sketch")
    page.get_by_role("button", name="Try an example").click()
    shown = outcome(page, "variants")
    images = shown.locator("img")
    assert images.count() == 4
    assert len({each.get_attribute("src") for each in images.all()}) == 4
    before = images.first.get_attribute("src")
    page.get_by_role("button", name="Other variants").click()
    page.wait_for_function("before => document.querySelector('.outcome img').src !== before", arg=before)
    assert "seed 4" in outcome(page, "variants").inner_text()


def test_the_keyboard_alone_draws(tab: Any) -> None:
    page = tab("/studio/sketch")
    page.locator("canvas").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    for _ in range(6):
        page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press(" ")
    outcome(page, "variants")
    page.keyboard.press("Control+z")
    assert page.get_by_role("button", name="Undo").is_disabled()


def test_what_the_brush_covers_is_repaired(tab: Any, photo: Path) -> None:
    page = tab("/studio/repair")
    page.locator(".stage").wait_for()
    choose(page, photo)
    page.locator("canvas").wait_for()
    page.get_by_role("button", name="Repair", exact=True).click()
    page.get_by_text("Brush over what should be repaired first.").wait_for()
    draw(page, (0.3, 0.3), (0.6, 0.6))
    shown = outcome(page, "compare")
    page.wait_for_timeout(100)
    differing = page.evaluate("""async () => {
        const pixels = async (image) => {
            await image.decode();
            const context = new OffscreenCanvas(96, 64).getContext("2d");
            context.drawImage(image, 0, 0, 96, 64);
            return context.getImageData(0, 0, 96, 64).data;
        };
        const [after, before] = await Promise.all([...document.querySelectorAll(".outcome .compare img")].map(pixels));
        const at = (x, y) => Math.abs(after[4 * (96 * y + x)] - before[4 * (96 * y + x)]);
        return [at(45, 30), at(5, 5), at(90, 5), at(5, 60)];
    }""")
    assert differing[0] > 8 and max(differing[1:]) <= 8  # JPEG and PNG of the same values
    slider = shown.get_by_role("slider")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert "51% before, 49% after" in slider.get_attribute("aria-valuetext")


def test_a_grey_photo_gets_colour_and_can_be_saved(tab: Any, photo: Path) -> None:
    page = tab("/studio/colour")
    page.locator(".stage").wait_for()
    choose(page, photo)
    shown = outcome(page, "compare")
    with page.expect_download() as saved:
        shown.get_by_role("button", name="Download").click()
    assert saved.value.suggested_filename == "old-photos.png"
    assert imaging.read(saved.value.path()).shape == (64, 96, 3)


def test_classes_are_painted_over_the_photo_with_a_legend(tab: Any, photo: Path) -> None:
    page = tab("/studio/segment")
    page.locator(".stage").wait_for()
    choose(page, photo)
    shown = outcome(page, "segment")
    shares = shown.locator(".shares b").all_inner_texts()
    assert sum(float(share.rstrip("%")) for share in shares) == pytest.approx(100, abs=1.1)
    shown.get_by_label("Opacity of the mask").fill("20")
    assert page.evaluate("getComputedStyle(document.querySelector('.painted .mask')).opacity") == "0.2"


@pytest.fixture
def sure(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A detector that gives scores that differ to what its random weights find."""
    real = site.studio.detect

    def detect(model: str, given: Any, **options: Any) -> Any:
        found = real(model, given, **{**options, "threshold": 0.0}).select(range(9))
        return replace(found, scores=np.linspace(0.1, 0.95, len(found), dtype=np.float32))

    monkeypatch.setattr(site.studio, "detect", detect)


def test_the_threshold_filters_the_boxes_that_were_found_once(tab: Any, site: Site, sure: None, photo: Path) -> None:
    page = tab("/studio/detect")
    page.locator(".stage").wait_for()
    choose(page, photo)
    outcome(page, "detect")
    page.wait_for_function("document.querySelectorAll('.mark').length > 0")
    done = site.studio.counts.images["people"]
    scores = [
        float(each) for each in page.evaluate("[...document.querySelectorAll('.mark')].map(m => m.dataset.score)")
    ]
    for least in (0.05, 0.3, 0.9):
        slider = page.get_by_role("spinbutton", name="Threshold")
        slider.fill(str(least))
        slider.press("Tab")
        kept = sum(score >= least for score in scores)
        page.wait_for_function("kept => document.querySelectorAll('.mark:not(.off)').length === kept", arg=kept)
        page.locator(".count").get_by_text(f"{kept} of {len(scores)} objects").wait_for()
    assert site.studio.counts.images["people"] == done


def test_the_switch_of_language_keeps_drawing_and_result(tab: Any) -> None:
    page = tab("/studio/sketch")
    page.get_by_role("button", name="Try an example").click()
    before = outcome(page, "variants").locator("img").first.get_attribute("src")
    page.get_by_role("button", name="Español").click()
    page.get_by_role("heading", name="Del boceto al color").wait_for()
    assert page.locator(".outcome img").first.get_attribute("src") == before
    assert page.get_by_role("button", name="Deshacer").is_enabled()
    page.get_by_label("Variantes").first.wait_for()
    assert "semilla 0" in page.locator(".outcome").inner_text()
    assert page.title() == "Del boceto al color · Calco"


def test_errors_are_lines_in_the_language_of_the_page(tab: Any, tmp_path: Path) -> None:
    page = tab("/studio/colour", language="es")
    page.locator(".stage").wait_for()
    page.get_by_role("button", name="Colorear").click()
    page.get_by_text("Elige antes una imagen.").wait_for()
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nno image at all")
    choose(page, broken)
    line = outcome(page, "error").inner_text()
    assert line.startswith("La imagen está dañada") and "/" not in line


def test_a_second_model_of_a_job_can_be_chosen(tab: Any, site: Site) -> None:
    page = tab("/studio/sketch")
    page.get_by_role("button", name="Try an example").click()
    outcome(page, "variants")
    page.get_by_label("Model").first.click()
    page.get_by_role("option", name="emoji").click()
    outcome(page, "single")


# ---- Long jobs ----


def make_video(path: Path, frames: int, side: int = 64) -> Path:
    import av

    with av.open(str(path), "w") as video:
        stream = video.add_stream("libx264", rate=25)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            values = np.full((side, side, 3), number * 2 % 256, np.uint8)
            video.mux(stream.encode(av.VideoFrame.from_ndarray(values, format="rgb24")))
        video.mux(stream.encode())
    return path


def test_a_video_is_uploaded_watched_and_downloaded(tab: Any, tmp_path: Path) -> None:
    page = tab("/studio/video")
    page.locator(".stage").wait_for()
    page.get_by_role("button", name="Process the video").click()
    page.get_by_text("Choose a file first.").wait_for()
    choose(page, make_video(tmp_path / "walk.mp4", 20))
    page.get_by_text("walk.mp4").wait_for()
    page.get_by_role("button", name="Process the video").click()
    page.locator(".task[data-state=done]").wait_for()
    with page.expect_download() as saved:
        page.get_by_role("link", name="Download").click()
    assert saved.value.suggested_filename.endswith(".mp4")
    page.get_by_role("button", name="Start another").click()
    assert page.get_by_role("button", name="Process the video").is_visible()


def test_a_job_survives_a_reload_and_can_be_cancelled(tab: Any, tmp_path: Path) -> None:
    page = tab("/studio/video", language="es")
    page.locator(".stage").wait_for()
    choose(page, make_video(tmp_path / "long.mp4", 2000))
    page.get_by_role("button", name="Procesar el video").click()
    page.locator(".task").wait_for()
    page.reload()
    page.get_by_role("button", name="Cancelar").click()
    page.get_by_text("Cancelado").wait_for()


def test_many_images_come_back_as_a_zip(tab: Any, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(files):
        imaging.write(path, image(seed=number))
    page = tab("/studio/many")
    page.locator(".stage").wait_for()
    choose(page, files)
    page.get_by_text("3 files").wait_for()
    page.get_by_role("button", name="Process the images").click()
    page.locator(".task[data-state=done]").wait_for()
    with page.expect_download() as saved:
        page.get_by_role("link", name="Download").click()
    with zipfile.ZipFile(saved.value.path()) as archive:
        assert len([name for name in archive.namelist() if name.endswith(".png")]) == 3


def test_a_file_that_is_no_video_is_refused_in_one_line(tab: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("not a video")
    page = tab("/studio/video")
    page.locator(".stage").wait_for()
    choose(page, tmp_path / "notes.mp4")
    page.get_by_role("button", name="Process the video").click()
    line = page.locator(".stage > .warn")
    line.wait_for()
    assert line.inner_text() and "/" not in line.inner_text()


def test_a_mask_is_sent_along_and_its_refusal_follows_the_switch_of_language(tab: Any, tmp_path: Path) -> None:
    imaging.write(tmp_path / "photo.png", image())
    (tmp_path / "hole.png").write_text("no mask")
    page = tab("/studio/many")
    page.locator(".stage").wait_for()
    assert page.get_by_text("Choose a mask").is_hidden()  # dreams, the first model, fills no holes
    pick(page, "scratches")
    choose(page, tmp_path / "photo.png")
    page.get_by_label("Choose a mask").set_input_files(tmp_path / "hole.png")
    page.get_by_text("hole.png").wait_for()
    page.get_by_role("button", name="Process the images").click()
    page.get_by_text("The mask is not an image").wait_for()
    page.get_by_role("button", name="Español").click()
    page.get_by_text("La máscara no es una imagen").wait_for()


def offered(page: Any) -> set[str]:
    """The options that a page shows."""
    parts = page.locator("[data-option]").all()
    return {part.get_attribute("data-option") for part in parts if part.is_visible()}


def test_each_model_has_the_options_that_serve_it(tab: Any) -> None:
    page = tab("/studio/video")
    page.locator(".stage").wait_for()
    found = {"dreams": offered(page)}
    for name in ("old-photos", "people", "scratches", "streets"):
        pick(page, name)
        found[name] = offered(page)
    assert found == {
        "dreams": {"noise_seed", "steady"}, "old-photos": {"steady"}, "people": {"threshold"},
        "scratches": {"steady", "mask"}, "streets": {"overlay", "steady"},
    }  # fmt: skip
    page = tab("/studio/many")
    page.locator(".stage").wait_for()
    assert offered(page) == {"noise_seed"}


def test_a_video_is_done_with_the_options_of_its_page(
    tab: Any, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted: list[Any] = []
    real = site.jobs.submit
    monkeypatch.setattr(site.jobs, "submit", lambda **how: submitted.append(how["options"]) or real(**how))
    clip = make_video(tmp_path / "clip.mp4", 3)
    for name, control, value in (("streets", "Reduce flicker", None), ("people", "Threshold", "0.3"),
                                 ("dreams", "Seed", "12345")):  # fmt: skip
        page = tab("/studio/video")
        page.locator(".stage").wait_for()
        pick(page, name)
        choose(page, clip)
        if value is None:
            page.get_by_label(control).check()
        else:
            page.get_by_label(control, exact=True).fill(value)
        page.get_by_role("button", name="Process the video").click()
        page.locator(".task[data-state=done]").wait_for()
        assert page.get_by_role("link", name="Download the boxes (CSV)").is_visible() is (name == "people")
    assert submitted == [JobOptions(overlay=True, steady=True), JobOptions(threshold=0.3), JobOptions(noise_seed=12345)]


# ---- The camera ----


CAMERA = """
import json
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path={chromium!r}, args={flags!r})
    page = browser.new_page(locale="en-GB")
    page.goto({url!r} + "/studio/camera")
    page.get_by_role("button", name="Start the camera").click()
    page.get_by_text("images per second").wait_for(timeout=60000)
    images = page.locator(".outcome img").get_attribute("src").startswith("data:image/jpeg")
    page.get_by_role("button", name="Stop the camera").click()
    stopped = page.get_by_text("The camera is off.").is_visible()
    print(json.dumps({{"images": images, "stopped": stopped}}))
    browser.close()
"""


def test_the_camera_shows_what_the_model_makes_of_it(site: Site) -> None:
    flags = ["--no-sandbox", "--disable-gpu", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    code = CAMERA.format(url=site.url, chromium=find_chromium(), flags=flags)
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(said.stdout) == {"images": True, "stopped": True}


def test_a_browser_without_a_camera_is_told_so_in_one_line(tab: Any) -> None:
    page = tab("/studio/camera", language="es")
    page.get_by_role("button", name="Encender la cámara").click()
    line = page.locator(".stage > .warn")
    line.wait_for()
    assert "cámara" in line.inner_text()


# ---- Models and runs ----


def test_a_model_is_described_without_inner_paths(tab: Any, models: Path) -> None:
    page = tab("/models/people")
    page.get_by_text("All of model.json").click()
    assert '"classes"' in page.locator("pre.json").inner_text()
    assert str(models) not in page.content()
    assert httpx.get(page.url.replace("people", "nobody")).status_code == 404


def test_runs_update_while_they_train(tab: Any, gallery: Path) -> None:
    os.utime(gallery / "deep" / "second" / "log.jsonl")  # a row has just come
    page = tab("/runs")
    assert page.locator(".card .name").all_inner_texts() in (["first", "deep/second"], ["deep/second", "first"])
    page.get_by_role("link", name="deep/second").click()
    page.get_by_role("heading", name="Learning curves").wait_for()
    assert page.locator(".chart").count() == 2
    assert "training" in page.locator(".facts").inner_text()
    page.get_by_role("button", name="Español").click()
    page.get_by_text("Validación PSNR").wait_for()
    page.get_by_role("button", name="English").click()
    log = journal.Journal(gallery / "deep" / "second" / "log.jsonl")
    log.add({"step": 4321, "time": 1234.0, "train": {"g_pixel": 0.01}})
    page.get_by_text("step 4,321").wait_for()
    page.get_by_role("button", name="Español").click()
    page.get_by_text("paso 4\u00a0321").wait_for()


def test_a_run_that_is_removed_while_it_is_watched_is_said_once(tab: Any, gallery: Path) -> None:
    shutil.copytree(gallery / "first", gallery / "third")
    page = tab("/runs")
    page.get_by_role("link", name="third").click()
    page.get_by_role("heading", name="Learning curves").wait_for()
    page.wait_for_load_state("networkidle")  # its samples have come
    shutil.rmtree(gallery / "third")
    page.get_by_text("This run is no longer in the folder.").wait_for()
    page.get_by_role("button", name="Español").click()
    page.get_by_text("Este entrenamiento ya no está en la carpeta.").wait_for()
    assert page.get_by_role("heading", name="Curvas de aprendizaje").is_visible()


def test_hundreds_of_browsers_get_a_page_at_once(site: Site) -> None:
    with httpx.Client(base_url=site.url, timeout=60) as client:
        client.get("/studio/sketch")  # Gradio has loaded
    seconds: list[float] = []

    def ask(_: int) -> None:
        start = time.perf_counter()
        with httpx.Client(base_url=site.url, timeout=60) as client:
            assert client.get("/studio/sketch").status_code == 200
        seconds.append(time.perf_counter() - start)

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(ask, range(200)))
    assert max(seconds) < 20  # 2 on a quiet machine
