"""Rules files: what is read, and the one line for each mistake."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calco.errors import CalcoError
from calco.watch.rules import Rules, area, checked_zone, crossed, inside, read_rules, touches

GOOD = """
format: 1
zones:
  door: {shares: [[0.1, 0.2], [0.5, 0.2], [0.5, 0.9], [0.1, 0.9]]}
  yard: {pixels: [[0, 0], [100, 0], [50, 80]]}
rules:
  - name: armed
    class: person
    near: {class: [gun, rifle], within: 0.5, score: 0.4}
    seconds: 0.5
    cool_down: 30
  - {name: lingers, class: [person, dog], zone: door, place: centre, seconds: 4, score: 0.3, once: true}
  - name: anything
    zone: yard
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "rules.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_of_rules(tmp_path: Path) -> None:
    rules = read_rules(written(tmp_path, GOOD))
    armed, lingers, anything = rules.rules
    assert armed.near is not None and armed.near.classes == ("gun", "rifle") and armed.near.within == 0.5
    assert (armed.seconds, armed.cool_down, armed.once) == (0.5, 30, False)
    assert lingers.classes == ("person", "dog") and lingers.place == "centre" and lingers.once
    assert anything.classes == () and anything.zone == "yard"
    assert rules.zones["door"].pixels(200, 100).tolist() == [[20, 20], [100, 20], [100, 90], [20, 90]]
    assert "within 0.5 box heights of gun or rifle" in armed.words
    rules.fits(["person", "gun", "rifle", "dog"], "rules.yaml")


ONE = "rules:\n  - name: one\n    class: person\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("rules: [", "is not valid YAML"),
        ("- 1", "write a list of rules"),
        ("rules: []", "holds no rules"),
        ("zones: {}\nrulez: []", "has the unknown field rulez"),
        ("format: 2\nrules: [{name: a}]", "is of format 2"),
        ("rules:\n  - class: person", "rule 1 has no name"),
        ("rules:\n  - 7", "rule 1 must be a mapping"),
        (ONE + ONE[7:], "two rules have the name one"),
        (ONE + "    zone: door", "names the zone door, which is not there"),
        (ONE + "    seconds: -1", "seconds is -1.0; it must lie between 0 and"),
        (ONE + "    cool_down: .inf", "cool down is inf; it must be a finite number"),
        (ONE + "    seconds: soon", "Expected `float`"),
        (ONE + "    score: 1.5", "score is 1.5; it must lie between 0 and 1"),
        (ONE + "    place: head", "Invalid enum value 'head'"),
        (ONE + "    colour: red", "unknown field colour"),
        (ONE + "    class: dog", "class occurs twice"),
        ("rules:\n  - {name: a, class: no}", "class is False"),
        (ONE + "    near: gun", "near needs a class"),
        (ONE + "    near: {class: gun, within: -0.5}", "within is -0.5"),
        (ONE + "    near: {class: gun, far: 1}", "unknown field far"),
        ("zones: {a: {shares: [[0, 0], [1, 1]]}}\n" + ONE, "has 2 corners; a polygon needs 3"),
        ("zones: {a: {shares: [[0, 0], [1, 1], [1, 0], [0, 1]]}}\n" + ONE, "crosses itself: its side 1 and its side 3"),
        ("zones: {a: {shares: [[0, 0], [1, 1], [0.5, 0.5]]}}\n" + ONE, "crosses itself"),
        ("zones: {a: {shares: [[0, 0], [2, 1], [1, 0]]}}\n" + ONE, "shares go from 0 to 1"),
        ("zones: {a: {shares: [[0, 0], [1, .nan], [1, 0]]}}\n" + ONE, "a corner is two numbers"),
        ("zones: {a: {pixels: [[0, 0, 1], [1, 1], [1, 0]]}}\n" + ONE, "a corner is two numbers"),
        ("zones: {a: {pixels: [0, 1, 2]}}\n" + ONE, "needs a list of corners"),
        ("zones: {a: {metres: [[0, 0]]}}\n" + ONE, "needs one of shares: and pixels:"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(CalcoError) as raised:
        read_rules(path)
    assert complaint in str(raised.value) and str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_classes_and_pixels_must_be_there(tmp_path: Path) -> None:
    rules = read_rules(written(tmp_path, GOOD))
    with pytest.raises(CalcoError, match="the rule armed names the class rifle, .* choose from person, gun"):
        rules.fits(["person", "gun"], "rules.yaml")
    with pytest.raises(CalcoError, match="the zone yard has the corner .100, 0., and the images are 80x60"):
        rules.fits_image(80, 60, "rules.yaml")
    Rules().fits([], "")


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CalcoError, match="cannot read"):
        read_rules(tmp_path / "none.yaml")


@given(st.floats(0, 10), st.floats(0, 10))
def test_a_point_lies_in_a_rectangle_where_its_numbers_say_so(x: float, y: float) -> None:
    zone = checked_zone("z", "pixels", [[2, 1], [8, 1], [8, 7], [2, 7]], "w").pixels(10, 10)
    if min(abs(x - 2), abs(x - 8), abs(y - 1), abs(y - 7)) > 1e-6:
        assert inside(zone, x, y) == (2 < x < 8 and 1 < y < 7)


def test_polygons() -> None:
    corner = ((0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (2.0, 4.0), (2.0, 2.0), (0.0, 2.0))
    assert crossed(corner) is None and area(corner) == 12
    zone = checked_zone("z", "pixels", corner, "w").pixels(4, 4)
    assert inside(zone, 1, 1) and inside(zone, 3, 3) and not inside(zone, 1, 3)
    import numpy as np

    assert touches(zone, np.array([0.5, 1.5, 1, 3])) and not touches(zone, np.array([0, 2.5, 1.5, 4]))
    assert touches(zone, np.array([-1, -1, 9, 9]))  # all of the zone in the box
    assert touches(zone, np.array([-1, 0.5, 9, 0.6]))  # a bar across it, no corner of either in the other
    assert crossed(((0, 0), (4, 0), (4, 4), (2, 0), (0, 4))) is not None  # a corner that touches another side


def bomb(levels: int) -> str:
    """A list whose every level repeats the one before nine times."""
    rows = ["      - &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"      - &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "rules:\n  - name: b\n    class:\n" + "\n".join(rows)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (bomb(4), "class is [['x', 'x', 'x', ...]"),
        (bomb(9), "unfolds to more than 1,000,000 values"),
        ("rules: &a\n  - *a", "unfolds to more than 1,000,000 values"),
        ("base: &b {a: 1}\nrules:\n  - <<: [" + ", ".join(["*b"] * 9) + "]", "has the unknown field base"),
        ("rules:\n  - {name: a, class: [" + "9" * 4000 + "]}", "class is [<int of 13288 bits>]"),
        ("rules:\n  - {name: a, class: [0x" + "f" * 90_000 + "]}", "class is [<int of 360000 bits>]"),
        ("rules:\n  - {name: a, class: {" + ", ".join(f"k{n}: 1" for n in range(5000)) + "}}", "class is {'k0': 1"),
        ("rules:\n  - {name: a, " + "z" * 900 + ": 1}", "has the unknown field zzz"),
        ("rules:\n  - {name: " + "n" * 50_000 + "}\n  - {name: " + "n" * 50_000 + "}", "two rules have the name nnn"),
        ("zones: {d: {pixels: [[" + ", ".join(["1"] * 50_000) + "], [1, 2], [3, 4]]}}\nrules: [{name: a}]",
         "has the corner [1, 1, 1, ...]"),
        ("zones: {d: {pixels: [[0, 0], [1, 0], [1, 1" + "0" * 400 + "]]}}\nrules: [{name: a}]",
         "has the corner [1, 10"),
        ("zones: {d: {pixels: [" + ", ".join(f"[{n}, {n * n}]" for n in range(5000)) + "]}}\nrules: [{name: a}]",
         "has 5000 corners"),
        ("format: {a: [" + "1, " * 50_000 + "]}\nrules: [{name: a}]", "is of format {'a': [1, 1, 1, ...]}"),
        ("1: 2\nrulez: []", "has the unknown field 1"),
    ],
)  # fmt: skip
def test_no_message_grows_with_what_is_in_the_file(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(CalcoError) as caught:
        read_rules(written(tmp_path, text))
    assert complaint in str(caught.value)
    assert len(str(caught.value)) < 1000 + len(str(tmp_path)) and "\n" not in str(caught.value)
