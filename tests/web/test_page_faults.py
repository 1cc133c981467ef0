"""The studio's pages with bad input and in bad luck, in a real browser: one line in its language, and it goes on."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calco import imaging
from calco.web import jobs as jobs_module
from web.archives import zip_bytes
from web.studios import Site, image, opened
from web.test_pages import WAIT, choose, draw, make_model, make_video, offered, outcome

pytestmark = pytest.mark.slow
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make_model(folder / "dreams", source="openmoji", dropout=0.5, dropout_everywhere=True)
    make_model(folder / "scratches", "erase", dropout=0)
    make_model(folder / "streets", "segment", dropout=0)
    return folder


@pytest.fixture(scope="module")
def site(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A studio whose models are in another order than that of their names, with small limits."""
    served = [models / name for name in ("streets", "scratches", "dreams")]
    limits = {"megapixels": 1.0, "image_megabytes": 3.0, "video_megabytes": 1.0}
    with opened(tmp_path_factory.mktemp("state"), *served, **limits) as found:
        yield found


@pytest.fixture
def tab(browser: Any, site: Site) -> Iterator[Open]:
    """Open a page of the studio in Spanish; what its scripts throw fails the test."""
    contexts, thrown = [], list[str]()

    def open_page(path: str, *, language: str = "es-PE", url: str = site.url) -> Any:
        contexts.append(browser.new_context(locale=language, reduced_motion="reduce"))
        page = contexts[-1].new_page()
        page.set_default_timeout(WAIT)
        page.on("pageerror", lambda error: thrown.append(str(error)))
        page.goto(f"{url}{path}")
        if path.startswith("/studio"):
            page.locator(".stage[data-set]").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert thrown == []


def test_the_options_are_those_of_the_model_that_is_shown_first(tab: Open, tmp_path: Path) -> None:
    page = tab("/studio/video")
    page.wait_for_function("document.querySelector('.controls input')?.value === 'streets'")
    assert offered(page) == {"overlay", "steady"}
    choose(page, make_video(tmp_path / "walk.mp4", 3))
    page.get_by_role("button", name="Procesar el video").click()
    page.locator(".task[data-state=done]").wait_for()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    imaging.write(tmp_path / "photo.png", image())
    return tmp_path / "photo.png"


def lines(page: Any) -> list[str]:
    """The lines that a page shows about what goes wrong."""
    return [line.inner_text() for line in page.locator(".warn, .toast-body").all() if line.is_visible()]


def test_a_bad_image_takes_nothing_from_the_page(tab: Open, tmp_path: Path, photo: Path) -> None:
    (tmp_path / "notes.png").write_text("no image")
    imaging.write(tmp_path / "huge.png", np.zeros((1000, 1100, 3), np.uint8))
    (tmp_path / "heavy.png").write_bytes(bytes(3_400_000))
    page = tab("/studio/repair")
    choose(page, photo)
    page.locator("canvas").wait_for()
    draw(page, (0.3, 0.3), (0.6, 0.6))
    outcome(page, "compare")
    for name, line in {
        "notes.png": "El navegador no puede abrir notes.png como imagen. Prueba con un JPEG o un PNG.",
        "huge.png": "La imagen tiene 1100 × 1000 píxeles, y se aceptan 1 000 000 como máximo. Hazla más pequeña.",
        "heavy.png": "El archivo tiene 3,4 MB, y se aceptan 3 MB como máximo. Elige uno más pequeño.",
    }.items():
        choose(page, tmp_path / name)
        page.get_by_text(line).wait_for()
        assert lines(page) == [line.replace("1 000 000", "1\u00a0000\u00a0000")]
        assert page.get_by_role("button", name="Deshacer").is_enabled()
    page.get_by_role("button", name="Reparar", exact=True).click()
    outcome(page, "compare")
    assert lines(page) == []


def test_what_was_wrong_with_an_image_is_not_said_of_the_next(tab: Open, tmp_path: Path, photo: Path) -> None:
    broken = tmp_path / "broken.jpg"
    imaging.write(broken, image(200, 300))
    broken.write_bytes(broken.read_bytes()[:9000])  # browsers show the part that is there
    page = tab("/studio/repair")
    for _ in range(2):
        choose(page, broken)
        page.locator("canvas").wait_for()
        draw(page, (0.3, 0.3), (0.6, 0.6))
        page.get_by_text(re.compile("La imagen está dañada o incompleta")).wait_for()
        choose(page, photo)
        page.wait_for_function("document.querySelector('.base').alt === 'photo.png'")
        assert lines(page) == []


def test_an_image_of_the_largest_size_is_taken(tab: Open, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (980, 1000, 3)).astype(np.uint8)
    imaging.write(tmp_path / "noise.png", noise)
    assert (tmp_path / "noise.png").stat().st_size > 2_900_000
    page = tab("/studio/segment")
    choose(page, tmp_path / "noise.png")
    outcome(page, "segment")


def test_uploads_that_are_too_large_are_refused_with_both_sizes(tab: Open, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(bytes(1_500_000))
    page = tab("/studio/video")
    choose(page, tmp_path / "film.mp4")
    page.get_by_role("button", name="Procesar el video").click()
    page.get_by_text("El archivo tiene 1,5 MB, y se aceptan 1 MB como máximo. Elige uno más pequeño.").wait_for()
    page.get_by_role("button", name="English").click()
    page.get_by_text("The file has 1.5 MB, and at most 1 MB are taken. Choose a smaller one.").wait_for()


def test_a_file_that_is_removed_after_it_was_chosen_is_asked_for_again(tab: Open, photo: Path) -> None:
    page, many = tab("/studio/segment"), tab("/studio/many")
    choose(page, photo)
    outcome(page, "segment")
    choose(many, photo)
    photo.unlink()
    page.get_by_role("button", name="Segmentar").click()
    many.get_by_role("button", name="Procesar las imágenes").click()
    for each in (page, many):
        each.get_by_text("El archivo ya no se puede leer: cambió o se borró. Elígelo otra vez.").wait_for()
    assert page.locator(".outcome[data-kind=segment]").is_visible()


@pytest.mark.parametrize(
    "path", ["/nothing", "/runs", "/models/nobody", "/studio/nothing", "/studio/gradio_api/nothing"]
)
def test_an_address_without_a_page_has_one_that_says_so(tab: Open, path: str) -> None:
    page = tab("/")
    assert page.goto(f"{page.url.rstrip('/')}{path}").status == 404
    page.get_by_text("Esta página no existe.").wait_for()
    page.locator("main, .heading").get_by_role("link", name="Inicio").click()
    page.get_by_role("heading", name="Dibuja, repara, colorea").wait_for()


def test_a_video_that_is_cut_short_says_so_in_the_language_of_the_page(tab: Open, tmp_path: Path) -> None:
    clip = make_video(tmp_path / "walk.mkv", 50)
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size * 2 // 3])
    page = tab("/studio/video")
    choose(page, clip)
    page.get_by_role("button", name="Procesar el video").click()
    done = page.locator(".task[data-state=done] .line")
    done.wait_for()
    assert re.search(r"descárgalo[.] El archivo: .*está incompleto$", done.inner_text())
    page.get_by_role("button", name="English").click()
    assert re.search(r"download yours[.] The upload: .*cut short$", done.inner_text())


def test_a_damaged_archive_is_refused_without_a_word_of_english(tab: Open, tmp_path: Path) -> None:
    (tmp_path / "cut.zip").write_bytes(zip_bytes({"a.png": b"x" * 100})[:-30])
    page = tab("/studio/many")
    choose(page, tmp_path / "cut.zip")
    page.get_by_role("button", name="Procesar las imágenes").click()
    page.get_by_text("El ZIP está incompleto o dañado (falta su directorio); comprímelo y súbelo de nuevo").wait_for()


def test_a_studio_that_is_gone_takes_no_drawing_along(tab: Open, site: Site, models: Path, tmp_path: Path) -> None:
    offline = "El estudio no responde. ¿Sigue en marcha calco serve?"
    with opened(tmp_path, models / "dreams", runs=str(tmp_path)) as gone:
        page, many, runs = (tab(path, url=gone.url) for path in ("/studio/sketch", "/studio/many", "/runs"))
        draw(page, (0.2, 0.2), (0.8, 0.3))
        before = outcome(page, "variants").locator("img").first.get_attribute("src")
    page.get_by_role("button", name="Dar color").click()
    page.get_by_text(offline).wait_for()
    page.wait_for_function("!document.body.classList.contains('busy')")
    assert lines(page) == [offline]
    imaging.write(tmp_path / "photo.png", image())
    choose(many, tmp_path / "photo.png")
    many.get_by_role("button", name="Procesar las imágenes").click()
    many.get_by_text(offline).wait_for()
    runs.get_by_text(offline).wait_for()
    with opened(tmp_path, models / "dreams", runs=str(tmp_path), port=gone.port):
        page.wait_for_timeout(3000)
        assert page.get_by_role("button", name="Deshacer").is_enabled()
        assert page.locator(".outcome img").first.get_attribute("src") == before
        page.get_by_role("button", name="Dar color").click()
        page.wait_for_function("document.querySelector('.stage > .warn').hidden")
        outcome(page, "variants")
        many.get_by_role("button", name="Procesar las imágenes").click()
        many.locator(".task[data-state=done]").wait_for()
        runs.get_by_text(offline).wait_for(state="detached")


def test_the_token_is_asked_for_in_the_language_and_at_the_address_of_the_page(
    tab: Open, models: Path, tmp_path: Path, photo: Path
) -> None:
    secret = "a token of sixteen".replace(" ", "-")
    with opened(tmp_path / "state", models / "streets", token=secret) as guarded:
        page = tab("/", url=guarded.url)
        page.goto(f"{guarded.url}/studio/segment")
        page.get_by_label("La clave (token) que muestra la terminal").fill("wrong")
        page.get_by_role("button", name="OK").click()
        page.get_by_text("Esa clave no es la correcta.").wait_for()
        page.get_by_label("La clave (token) que muestra la terminal").fill(secret)
        page.get_by_role("button", name="OK").click()
        page.locator(".stage[data-set]").wait_for()
        assert page.url == f"{guarded.url}/studio/segment"
        page.context.clear_cookies()
        choose(page, photo)
        page.get_by_text("El estudio pide la clave (token) otra vez.").wait_for()
        assert len(lines(page)) == 1
        english = tab("/", url=guarded.url, language="en-GB")
        english.get_by_label("The token that the terminal shows").wait_for()
        assert "clave" not in english.inner_text("body")


def test_a_result_stays_while_a_page_shows_it(
    tab: Open, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "_LINGER", 12.0)
    page = tab("/studio/video")
    choose(page, make_video(tmp_path / "walk.mp4", 3))
    page.get_by_role("button", name="Procesar el video").click()
    page.locator(".task[data-state=done]").wait_for()
    page.evaluate("document.querySelector('.task video').dataset.same = ''")
    for wait in (20_000, 0):
        with page.expect_download() as saved:
            page.get_by_role("link", name="Descargar").click()
        assert saved.value.suggested_filename == "calco-streets.mp4"
        page.wait_for_timeout(wait)
        site.jobs.clean()
    assert page.locator(".task video[data-same]").count() == 1  # it plays on
    page.goto("about:blank")
    page.wait_for_timeout(14_000)
    site.jobs.clean()
    page.goto(f"{site.url}/studio/video")
    page.get_by_text("El resultado se entregó y se borró").wait_for()
    assert page.get_by_role("link", name="Descargar").count() == 0
    page.get_by_role("button", name="Empezar otro").click()
    assert page.get_by_role("button", name="Procesar el video").is_visible()
