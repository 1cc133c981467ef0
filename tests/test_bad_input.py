"""Each bad input gets the answer that docs/bad-input.md promises."""

from pathlib import Path

import pytest

import bad_input
from bad_input import CASES
from bad_inputs.making import Bad, Impossible
from bad_inputs.requests import CASES as REQUESTS
from bad_inputs.spanish import NAMES, in_spanish


def lasting(bad: Bad) -> bool:
    """Whether it starts several processes, or kills a server at its work."""
    return "--processes" in bad.command or "is killed" in bad.what


@pytest.mark.parametrize(
    "bad",
    [pytest.param(bad, id=bad.what, marks=[pytest.mark.slow] if lasting(bad) else []) for bad in CASES],
)
def test_the_answer_is_the_one_in_the_page(bad: Bad, tmp_path: Path) -> None:
    try:
        code, answer, said = bad_input.answer(bad, tmp_path / "room")
    except Impossible as reason:
        pytest.skip(str(reason))
    assert code == bad.code
    assert "Traceback" not in said
    assert all(word in answer for word in bad.says)
    assert "\n" not in answer
    if bad.fine:
        assert answer == ("" if bad.command.startswith("crime") else "7"), "all is used, and nothing is said"
    row = next(line for line in bad_input.written()[1].splitlines() if line.startswith(f"| {bad.what} |"))
    assert row in bad_input.table({case.what: answer for case in CASES}), "python tests/bad_input.py renews the page"


def test_the_studio_answers_as_the_page_promises() -> None:
    pytest.importorskip("fastapi")
    assert bad_input.ask_studio() == bad_input.written(bad_input.REQUESTS)[1], "python tests/bad_input.py renews it"


def test_the_page_has_a_row_for_each() -> None:
    rows = bad_input.written()[1].splitlines()[2:]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == [bad.what for bad in CASES]


def test_the_spanish_page_holds_the_same_answers() -> None:
    assert {bad.what for bad in (*CASES, *REQUESTS)} | {bad.fine for bad in CASES if bad.fine} <= {*NAMES}
    for marks in (bad_input.MARKS, bad_input.REQUESTS):
        english, spanish = (bad_input.written(marks, page)[1] for page in (bad_input.PAGE, bad_input.SPANISH_PAGE))
        assert spanish == in_spanish(english), "python tests/bad_input.py renews the page"
