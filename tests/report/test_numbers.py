"""Numbers and sentences in both languages, in Python and in the browser."""

from typing import Any

import pytest

from calco.report.numbers import Language, filled, number
from calco.report.page import asset

VALUES: list[tuple[float, str, str]] = [
    (0, "0", "0"), (999, "999", "999"), (4321, "4,321", "4\u00a0321"), (0.5, "0.5", "0,5"),
    (16_000_000, "16,000,000", "16\u00a0000\u00a0000"), (-1234.25, "-1,234.25", "-1\u00a0234,25"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "english", "spanish"), VALUES)
def test_a_number_is_written_as_its_language_does(value: float, english: str, spanish: str) -> None:
    assert (number(value), number(value, "es")) == (english, spanish)


@pytest.mark.parametrize(
    ("sentence", "language", "values", "said"),
    [
        ("{most:,} of {name}", "en", {"most": 12345, "name": "a.b,c"}, "12,345 of a.b,c"),
        ("{most:,} de {name!r}", "es", {"most": 12345, "name": "a.b,c"}, "12\u00a0345 de 'a.b,c'"),
        ("semilla {seed}", "es", {"seed": 12345, "more": 1}, "semilla 12345"),
        ("{share:.0%} menos", "es", {"share": 0.3}, "30\u00a0% menos"),
        ("{share:.0%} less", "en", {"share": 0.3}, "30% less"),
        ("{seconds} s, {minutes:.0f}", "es", {"seconds": 0.25, "minutes": 4.4}, "0,25 s, 4"),
    ],
)
def test_numbers_in_sentences(sentence: str, language: Language, values: dict[str, Any], said: str) -> None:
    assert filled(sentence, language, values) == said


def test_the_browser_writes_numbers_as_python_does(browser: Any) -> None:
    script = asset("studio.js")
    start = script.index("const number =")
    function = script[start : script.index("\n};", start) + 3]
    page = browser.new_page()
    for language, place in (("en", 1), ("es", 2)):
        body = f"const language = {language!r}; {function} return values.map((one) => number(one, true));"
        code = f"(values) => {{ {body} }}"
        assert page.evaluate(code, [row[0] for row in VALUES]) == [row[place] for row in VALUES]
    page.close()
