"""One glossary for both languages: its two tables agree, and pages and lessons keep to its words."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import ROOT

DOCS = ROOT / "docs"
GLOSSARIES = {"en": DOCS / "glossary.md", "es": DOCS / "es" / "glossary.md"}
PAGES = {
    "en": sorted({*DOCS.glob("*.md"), *DOCS.glob("guides/*.md"), ROOT / "README.md"} - {GLOSSARIES["en"]}),
    "es": sorted({*(DOCS / "es").rglob("*.md")} - {GLOSSARIES["es"]}),
}
LESSONS = sorted((ROOT / "src" / "calco" / "lessons").rglob("*.py"))


def table(page: Path) -> list[list[str]]:
    """Rows of a glossary: term, the other language's term, meaning, rejected words."""
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def rejected(language: str) -> re.Pattern[str]:
    """The words of the last column, whole words in any case."""
    words = [word.strip() for row in table(GLOSSARIES[language]) for word in row[3].split(",") if word.strip()]
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, words))})(?![\w-])", re.IGNORECASE)


def prose(text: str) -> str:
    """Markdown without code, formulas, links' targets, addresses, tags, English answers and words in italics."""
    text = re.sub(r'<span lang="en">.*?</span>', " ", text)
    text = re.sub(r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$\n]*\$", " ", text, flags=re.DOTALL)
    text = re.sub(r"^    .*$", " ", text, flags=re.MULTILINE)
    text = re.sub(r"\]\([^)]*\)|https?://\S+|<[^>\n]*>", " ", text)
    return re.sub(r"(?<!\*)\*(?![*\s])[^*\n]+\*(?!\*)", " ", text)


def found_in(text: str, language: str) -> list[str]:
    return [match[0].lower() for match in rejected(language).finditer(prose(text))]


def plain(node: ast.expr) -> str | None:
    """The text of a string, without the values of an f-string."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def texts(source: str) -> Iterator[tuple[str, str]]:
    """Texts of a lesson with their language: arguments `es`, `en` and such that end in `_es` or `_en`."""
    for node in ast.walk(ast.parse(source)):
        match = re.fullmatch(r"(?:\w+_)?(es|en)", node.arg or "") if isinstance(node, ast.keyword) else None
        if match and isinstance(node, ast.keyword) and (text := plain(node.value)) is not None:
            yield match[1], inspect.cleandoc(text)


def test_both_tables_hold_the_same_terms_once() -> None:
    english = [(row[0], row[1]) for row in table(GLOSSARIES["en"])]
    spanish = [(row[1], row[0]) for row in table(GLOSSARIES["es"])]
    assert len(english) >= 100
    assert sorted(english) == sorted(spanish)
    assert len({term for term, _ in english}) == len(english)


@pytest.mark.parametrize("language", GLOSSARIES)
def test_terms_are_in_order_and_have_a_meaning_and_are_not_rejected(language: str) -> None:
    rows = table(GLOSSARIES[language])
    assert all(len(row) == 4 and row[2] for row in rows)
    accents = str.maketrans("áéíóúüñ", "aeiouun")
    terms = [row[0].lower().translate(accents) for row in rows]
    assert terms == sorted(terms)
    assert [row[0] for row in rows if found_in(row[0], language)] == []


@pytest.mark.parametrize("language", GLOSSARIES)
def test_pages_use_the_words_of_the_glossary(language: str) -> None:
    found = {page.name: found_in(page.read_text(encoding="utf-8"), language) for page in PAGES[language]}
    assert {name: words for name, words in found.items() if words} == {}


def test_lessons_use_the_words_of_the_glossary() -> None:
    found = [
        (lesson.name, word)
        for lesson in LESSONS
        for language, text in texts(lesson.read_text(encoding="utf-8"))
        for word in found_in(text, language)
    ]
    assert found == []


def test_rejected_words_are_found_in_prose_and_left_alone_in_code_and_italics() -> None:
    assert found_in("Un vídeo de mi dataset, **con loss**.", "es") == ["vídeo", "dataset", "loss"]
    assert found_in("`--preset`, la pérdida (*loss*), [así](https://x.org/dataset) y $loss$", "es") == []
    source = 't(es=f"El dataset {n}", en="The data set")\nChoice(why_en="A gray image")'
    assert list(texts(source)) == [("es", "El dataset "), ("en", "The data set"), ("en", "A gray image")]
