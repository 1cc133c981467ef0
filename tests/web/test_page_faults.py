"""The studio's pages with bad input and in bad luck, in a real browser: one line in its language, and it goes on."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from web.studios import Site, opened
from web.test_pages import WAIT, choose, make_model, make_video, offered

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
    """A studio whose models are in another order than that of their names."""
    served = [models / name for name in ("streets", "scratches", "dreams")]
    with opened(tmp_path_factory.mktemp("state"), *served) as found:
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
