"""The page of the check: one file, which opens in a real browser without a network."""

import re
from pathlib import Path

import numpy as np
import pytest

from calco.checking import CheckConfig
from calco.checking.check import check
from checking.conftest import Write, photo

HOSTILE = "a<img src=x>&b"


@pytest.fixture
def page(write: Write, tmp_path: Path) -> Path:
    for n in range(9):
        write(f"{n}.png", photo(n))
    write(f"{HOSTILE}.png", photo(0)[:, ::-1])
    write("blank.png", np.zeros((50, 60, 1), np.uint8))
    (tmp_path / "set" / "torn.png").write_bytes(b"no image")
    return check(CheckConfig(images=str(tmp_path / "set"), out=str(tmp_path / "out"), jobs=1)).page


def test_tells_what_was_found_and_what_mends_it(page: Path, tmp_path: Path) -> None:
    text = re.sub(r"base64,[\w+/=]+", "", page.read_text(encoding="utf-8"))
    assert not re.search(r"https?:|//\w|@import|url\(|<link|<iframe", text)
    assert "a&lt;img src=x&gt;&amp;b" in text and "<img src=x" not in text
    for part in ("1 image cannot be read", "1 entry with nothing to see", "mirrored", "Sizes", "Splits", "Samples"):
        assert part in text
    assert f"<code>calco check {tmp_path / 'set'} --drop</code>" in text


def test_opens_offline_and_fits_a_telephone(browser: object, page: Path) -> None:
    context = browser.new_context(offline=True, viewport={"width": 360, "height": 740})
    opened = context.new_page()
    problems: list[str] = []
    opened.on("console", lambda message: problems.append(message.text))
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.goto(page.as_uri())
    assert opened.evaluate("[...document.images].every((i) => i.naturalWidth > 0)")
    assert opened.evaluate("document.documentElement.scrollWidth") <= 360
    opened.get_by_role("button", name="Copy").first.click()
    opened.wait_for_function("document.querySelector('.command button').textContent !== 'Copy'")
    assert "--drop" in opened.evaluate("getSelection().toString()") or "--write-groups" in opened.evaluate(
        "getSelection().toString()"
    )
    assert problems == []
    context.close()
