"""Each page of the documentation has a Spanish one that says the same: sections, code, images, links and figures."""

import io
import re
import tokenize
from collections import Counter
from pathlib import Path

import pytest

from support import ROOT
from test_docs import commands, headings, prose

ENGLISH = ROOT / "docs"
SPANISH = ENGLISH / "es"
OWN = {
    "IMAGES": "IMÁGENES",
    "DIR": "CARPETA",
    "FOLDER": "CARPETA",
    "ALBUM": "ÁLBUM",
    "DRAWINGS": "DIBUJOS",
    "DAMAGE": "DAÑOS",
}
"""What stands for the reader's own folders is in the reader's language."""
ENGLISH_PAGES = sorted(str(page.relative_to(ENGLISH)) for page in ENGLISH.rglob("*.md") if SPANISH not in page.parents)
PAGES = sorted(str(page.relative_to(SPANISH)) for page in SPANISH.rglob("*.md") if page.name != "glossary.md")


def blocks(page: Path, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def code(block: str) -> list[str]:
    """Tokens of a block of Python without its comments and texts, which a translation changes."""
    left_out = {tokenize.COMMENT, tokenize.STRING, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    left_out |= {getattr(tokenize, name) for name in dir(tokenize) if name.startswith("FSTRING")}
    tokens = tokenize.generate_tokens(io.StringIO(block).readline)
    return [token.string for token in tokens if token.type not in left_out]


def numbers(page: Path, *, comma_is_decimal: bool) -> Counter[str]:
    """Figures outside code, links and addresses: "2,000" of English and "2 000" of Spanish are both 2000."""
    # In a table that tests/bad_input.py writes, the commands' answers are English on both pages; its own test compares.
    text = re.sub(r"<!-- (the .*?), by tests/bad_input.py -->.*?<!-- end of \1 -->", "", prose(page), flags=re.DOTALL)
    text = re.sub(r"`[^`]*`|\]\([^)]*\)|https?://\S+|^    .*$|<[^>]*>", " ", text, flags=re.MULTILINE)
    if comma_is_decimal:
        text = re.sub(r"(?<=\d),(?=\d)", ".", re.sub("(?<=\\d)\u00a0(?=\\d{3})", "", text))
    else:
        text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    return Counter(re.findall(r"(?<![\w.])\d+(?:\.\d+)*", text))


@pytest.mark.parametrize("name", ENGLISH_PAGES)
def test_each_page_has_a_spanish_one(name: str) -> None:
    assert (SPANISH / name).is_file()


@pytest.mark.parametrize("name", PAGES)
def test_both_pages_have_the_same_sections_code_and_images(name: str) -> None:
    english, spanish = ENGLISH / name, SPANISH / name
    assert headings(spanish) == headings(english)
    wanted = [" ".join(OWN.get(word, word) for word in line.split()) for line in commands(english)]
    assert [" ".join(line.split()) for line in commands(spanish)] == wanted
    assert list(map(code, blocks(spanish, "python"))) == list(map(code, blocks(english, "python")))
    for kind in (r"\w*", "sh", "yaml", "json"):
        assert len(blocks(spanish, kind)) == len(blocks(english, kind))
    images = [
        [Path(each).name.replace("-es.", ".") for each in re.findall(r"!\[[^]]*\]\(([^)]+)\)", prose(page))]
        for page in (english, spanish)
    ]
    assert images[0] == images[1]


@pytest.mark.parametrize("name", PAGES)
def test_both_pages_have_the_same_tables_and_figures(name: str) -> None:
    english, spanish = ENGLISH / name, SPANISH / name
    rows = [
        [line.count("|") for line in prose(page).splitlines() if line.startswith("|")] for page in (english, spanish)
    ]
    assert rows[0] == rows[1]
    wanted, found = numbers(english, comma_is_decimal=False), numbers(spanish, comma_is_decimal=True)
    assert (wanted - found, found - wanted) == (Counter(), Counter())
