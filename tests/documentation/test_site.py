"""The built site: no warning, no broken link, nothing fetched from elsewhere, and a search that works offline."""

import functools
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import build
import pytest

from support import ROOT

pytestmark = pytest.mark.slow  # building takes some ten seconds


class Page(HTMLParser):
    """Anchors, links, images and text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.paragraphs: list[str] = []
        self.language = ""
        self._in_paragraph = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.anchors |= {str(values[key]) for key in ("id", "name") if values.get(key)}
        if tag == "html":
            self.language = values.get("lang") or ""
        if tag == "a" and values.get("href"):
            self.links.append(str(values["href"]))
        if tag in ("script", "img", "iframe", "source", "video") and values.get("src"):
            self.loaded.append(str(values["src"]))
        if tag == "link" and values.get("rel") in ("stylesheet", "icon", "preload", "preconnect"):
            self.loaded.append(str(values["href"]))
        if tag == "img":
            self.images.append(values)
        if tag == "p":
            self._in_paragraph = True
            self.paragraphs.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "p":
            self._in_paragraph = False

    def handle_data(self, data: str) -> None:
        if self._in_paragraph:
            self.paragraphs[-1] += data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs-build` makes it."""
    room = tmp_path_factory.mktemp("documentation")
    done = subprocess.run(
        [sys.executable, ROOT / "tools/documentation/build.py", "--out", room],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return room / "site"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    apart = {"examples", "course"}  # pages of their own
    return {
        path: Page(path)
        for path in site.rglob("*.html")
        if path.name != "404.html" and not apart & {*path.relative_to(site).parts}
    }


def test_each_page_is_there_in_both_languages(site: Path, pages: dict[Path, Page]) -> None:
    english = {path.relative_to(site) for path, page in pages.items() if page.language == "en"}
    spanish = {path.relative_to(site / "es") for path, page in pages.items() if page.language == "es"}
    assert english == spanish
    assert {Path(build.staged(page)).with_suffix(".html") for page in build.pages()} <= english
    assert {
        Path("reference/train.html"),
        Path("reference/detect-watch.html"),
        Path("reference/calco.watch.html"),
    } <= english


def test_links_and_anchors_lead_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            target, _, anchor = unquote(link).partition("#")
            file = (path.parent / target).resolve() if target else path
            if not file.is_file() or (anchor and file in pages and anchor not in pages[file].anchors):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert broken == []


def test_images_are_there_and_have_words_for_who_cannot_see_them(site: Path, pages: dict[Path, Page]) -> None:
    wrong = [
        f"{path.relative_to(site)}: {image.get('src')}"
        for path, page in pages.items()
        for image in page.images
        if not (path.parent / unquote(str(image.get("src")))).is_file() or len((image.get("alt") or "").strip()) < 8
    ]
    assert wrong == []


def test_a_page_loads_nothing_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    outside = {
        f"{path.relative_to(site)}: {each}" for path, page in pages.items() for each in page.loaded if ":" in each
    }
    assert outside == set()
    missing = {
        f"{path.relative_to(site)}: {each}"
        for path, page in pages.items()
        for each in page.loaded
        if not (path.parent / unquote(each)).is_file()
    }
    assert missing == set()


def test_lists_and_tables_are_read_as_such(site: Path, pages: dict[Path, Page]) -> None:
    # Markdown of the site wants an empty line before a list, GitHub's does not.
    flat = [
        f"{path.relative_to(site)}: {paragraph[:60]}"
        for path, page in pages.items()
        for paragraph in page.paragraphs
        if re.search(r"^(?:- |\* |\d+\. |\|.*\|$)", paragraph, flags=re.MULTILINE)
    ]
    assert flat == []


def test_an_option_within_a_line_does_not_break_after_its_first_dash(site: Path) -> None:
    page = (site / "choose.html").read_text(encoding="utf-8")
    assert '<code>calco train FOLDER <span class="option">--recipe</span> colorize</code>' in page


def test_a_broken_link_ends_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text("# Home\n\n[Nowhere](nowhere.md)\n")
    for name in ("DOCS", "NAV"):
        monkeypatch.setattr(build, name, {"DOCS": docs, "NAV": ((("A", "A"), (("index.md", ("A", "A")),)),)}[name])
    monkeypatch.setattr(build.reference, "pages", lambda _language: [])
    monkeypatch.setattr(build, "source_of", lambda page, _language: docs / page)
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "_stylesheet", str)
    (tmp_path / "LICENSE").write_text("")
    with pytest.raises(SystemExit, match=r"nowhere\.md"):
        build.build(tmp_path / "build")


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server(site: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


SEARCHES = {
    "en": ("index.html", "discriminator", "Search", "results"),
    "es": ("es/index.html", "opciones", "Buscar", "resultados"),
}
"""The home page of a language, a word of its pages, and what the search says before and after it is typed."""


@pytest.mark.parametrize("place", ["server", "disk"])
@pytest.mark.parametrize("language", SEARCHES)
def test_search_finds_pages_and_asks_nobody_else(
    language: str, place: str, site: Path, server: str, browser: Any
) -> None:
    home, word, asking, results = SEARCHES[language]
    base = server if place == "server" else f"{site.as_uri()}/"
    context = browser.new_context(offline=place == "disk")
    context.set_default_timeout(180_000)  # a busy machine takes a minute
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{base}{home}")
    page.locator(".md-search__button").click()
    page.get_by_placeholder(asking, exact=True).fill(word)  # waits until the search is open
    found = page.locator("a[role=option]", has_text=re.compile(word, re.IGNORECASE)).first
    page.get_by_role("status").filter(has_text=re.compile(rf"^\d+ {results}$")).wait_for()
    found.click()
    page.wait_for_function(f"!location.pathname.endsWith('/{home}')")
    assert page.evaluate("document.documentElement.lang") == language
    context.close()
    assert [url for url in asked if not url.startswith((base, "data:", "blob:", "about:"))] == []


def test_the_other_language_of_a_page_is_one_click_away(server: str, browser: Any) -> None:
    page = browser.new_page()
    page.goto(f"{server}reference/train.html")
    page.get_by_role("link", name="Español").click()
    page.wait_for_url("**/es/reference/train.html")
    page.get_by_role("link", name="English").click()
    page.wait_for_url(f"{server}reference/train.html")
    page.close()


def test_the_site_looks_like_the_reports_in_light_and_in_dark(server: str, browser: Any) -> None:
    for scheme, paper in {"light": "rgb(251, 250, 247)", "dark": "rgb(20, 23, 27)"}.items():
        context = browser.new_context(color_scheme=scheme, viewport={"width": 390, "height": 800})
        page = context.new_page()
        page.goto(f"{server}training.html")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == paper
        # Nothing is wider than a telephone.
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        context.close()
