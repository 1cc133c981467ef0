"""Palettes, by name, from a file or written out: class indices to colours, and back by the nearest colour."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from calco.errors import CalcoError
from calco.files import read_text
from calco.imaging import Image, as_channels, as_dtype

Colour: TypeAlias = tuple[int, int, int]
Palette: TypeAlias = tuple[tuple[str, Colour], ...]
Indices: TypeAlias = npt.NDArray[np.uint8]

UNLABELLED: Final = 255  # what VOC and Cityscapes write where nobody labelled

PALETTES: Final[dict[str, Palette]] = {
    "binary": (("background", (0, 0, 0)), ("object", (255, 255, 255))),
    # PASCAL VOC: the bits of the index spread over the high bits of red, green and blue.
    "voc": (
        ("background", (0, 0, 0)), ("aeroplane", (128, 0, 0)), ("bicycle", (0, 128, 0)), ("bird", (128, 128, 0)),
        ("boat", (0, 0, 128)), ("bottle", (128, 0, 128)), ("bus", (0, 128, 128)), ("car", (128, 128, 128)),
        ("cat", (64, 0, 0)), ("chair", (192, 0, 0)), ("cow", (64, 128, 0)), ("diningtable", (192, 128, 0)),
        ("dog", (64, 0, 128)), ("horse", (192, 0, 128)), ("motorbike", (64, 128, 128)), ("person", (192, 128, 128)),
        ("pottedplant", (0, 64, 0)), ("sheep", (128, 64, 0)), ("sofa", (0, 192, 0)), ("train", (128, 192, 0)),
        ("tvmonitor", (0, 64, 128)),
    ),
    # CMP facades as the pix2pix authors published them.
    "facades": (
        ("background", (0, 0, 222)), ("facade", (0, 48, 255)), ("window", (0, 128, 255)), ("door", (0, 207, 255)),
        ("cornice", (32, 255, 224)), ("sill", (112, 255, 143)), ("balcony", (192, 255, 63)), ("blind", (255, 240, 0)),
        ("deco", (255, 160, 0)), ("molding", (255, 80, 0)), ("pillar", (255, 0, 0)), ("shop", (174, 0, 0)),
    ),
    "cityscapes": (
        ("road", (128, 64, 128)), ("sidewalk", (244, 35, 232)), ("building", (70, 70, 70)), ("wall", (102, 102, 156)),
        ("fence", (190, 153, 153)), ("pole", (153, 153, 153)), ("traffic light", (250, 170, 30)),
        ("traffic sign", (220, 220, 0)), ("vegetation", (107, 142, 35)), ("terrain", (152, 251, 152)),
        ("sky", (70, 130, 180)), ("person", (220, 20, 60)), ("rider", (255, 0, 0)), ("car", (0, 0, 142)),
        ("truck", (0, 0, 70)), ("bus", (0, 60, 100)), ("train", (0, 80, 100)), ("motorcycle", (0, 0, 230)),
        ("bicycle", (119, 11, 32)), ("unlabelled", (0, 0, 0)),
    ),
}  # fmt: skip


def named_palette(name: str, *, files: bool = True) -> Palette:
    """Return a palette by its name, from its file, or as `written_out` gives it.

    A file has one class a line, `name, #rrggbb` or `name, r, g, b` (spaces and tabs serve as well, # begins a remark),
    or is a JSON object from names to `"#rrggbb"` or `[r, g, b]`. The order of the classes is that of their indices.
    """
    if name == "auto":
        return PALETTES["binary"]
    if name in PALETTES:
        return PALETTES[name]
    if _WRITTEN_OUT.fullmatch(name):
        return _checked([_entry(part, name) for part in name.split(";")], "the palette")
    if not files:
        raise CalcoError(f"palette {name[:80]!r} is not in the model itself, and a model names no files; train it anew")
    if not re.search(r"[./]", name) and (len(name) > 1000 or not Path(name).is_file()):
        raise CalcoError(f"palette {name!r} is unknown; choose one of {', '.join(PALETTES)}, or name a palette file")
    return _read(Path(name))


def written_out(palette: Palette) -> str:
    """Return a palette as one line, which `named_palette` reads: so it travels with a model, without its file.

    >>> written_out((("background", (0, 0, 0)), ("person", (255, 0, 0))))
    'background #000000; person #ff0000'
    """
    return "; ".join(f"{name} #{red:02x}{green:02x}{blue:02x}" for name, (red, green, blue) in palette)


def palette_name(palette: Palette) -> str:
    """Return the name of a built-in palette, and any other written out."""
    return next((name for name, known in PALETTES.items() if known == palette), written_out(palette))


def palette_for(classes: Sequence[str]) -> Palette:
    """Return background in black, then the classes in colours that are far from each other and from it."""
    steps = (0, 36, 73, 109, 146, 182, 219, 255)
    free = np.array(list(product(steps, repeat=3)), np.int64)
    names = list(dict.fromkeys(["background", *classes]))
    nearest = (free**2).sum(axis=1)  # the squared distance to what is taken: black
    colours: list[Colour] = [(0, 0, 0)]
    for _ in names[1:]:
        chosen = int(nearest.argmax())
        red, green, blue = (int(value) for value in free[chosen])
        colours.append((red, green, blue))
        nearest = np.minimum(nearest, ((free - free[chosen]) ** 2).sum(axis=1))
    return _checked(list(zip(names, colours, strict=True)), "the classes of the annotations")


_WRITTEN_OUT: Final = re.compile(r"\s*[^;#]+ #[0-9a-fA-F]{6}\s*(;\s*[^;#]+ #[0-9a-fA-F]{6}\s*)+")
_ENTRY: Final = re.compile(
    r"\s*(?P<name>[^#]*[^#\s,;])[\s,;]+(?:(?P<code>#[0-9a-f]{6})|(?P<r>\d+)[\s,;]+(?P<g>\d+)[\s,;]+(?P<b>\d+))\s*",
    re.IGNORECASE,
)


def _entry(line: str, where: str) -> tuple[str, Colour]:
    """Read one class: `name #rrggbb` or `name r g b`, with commas or without."""
    found = _ENTRY.fullmatch(line) if len(line) < 200 else None
    if found is None:
        raise CalcoError(
            f"{where}: {line.strip()[:50]!r} is no class and colour; write a line such as: person, #ff0000"
        )
    name, code = found["name"].strip(" \t\"'").replace(";", ","), found["code"]
    if code:
        return name, (int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16))
    return name, (int(found["r"]), int(found["g"]), int(found["b"]))


def _read(path: Path) -> Palette:
    text = read_text(path, "read the palette")
    if text.lstrip().startswith("{"):
        try:
            # A name that occurs twice is kept twice, for the check to find.
            pairs: list[tuple[str, Any]] = json.loads(text, object_pairs_hook=list)
        except (ValueError, RecursionError) as error:
            raise CalcoError(f"{path} is not valid JSON ({error}); correct it, or write one class a line") from error
        lines = [f"{name} {' '.join(map(str, code)) if isinstance(code, list) else code}" for name, code in pairs]
        return _checked([_entry(line, str(path)) for line in lines], str(path))
    numbered = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    kept = [(number, line) for number, line in numbered if not line.lstrip().startswith("#")]
    if kept and re.fullmatch(r"\W*(name|class)\W+(colou?r|r\W+g\W+b)\W*", kept[0][1], re.IGNORECASE):
        del kept[0]
    return _checked([_entry(line, f"{path}, line {number}") for number, line in kept], str(path))


def _checked(classes: list[tuple[str, Colour]], where: str) -> Palette:
    """Refuse fewer than 2 or more than 255 classes, and names and colours that occur twice."""
    if not 2 <= len(classes) <= UNLABELLED:
        raise CalcoError(f"{where} has {len(classes)} classes; a palette needs 2 to {UNLABELLED}, one a line")
    for what, values in (("class", [name for name, _ in classes]), ("colour", [colour for _, colour in classes])):
        value, times = Counter(values).most_common(1)[0]
        if times > 1:
            raise CalcoError(f"{where} has the {what} {value} {times} times; each class needs its own name and colour")
    if wrong := [colour for _, colour in classes if max(colour) > 255]:
        raise CalcoError(f"{where} has the colour {wrong[0]}; red, green and blue go from 0 to 255")
    return tuple(classes)


def paint(indices: npt.NDArray[np.integer], palette: Palette) -> Image:
    """Class indices HW => colours HW3 `uint8`."""
    if indices.size and not 0 <= int(indices.min()) <= int(indices.max()) < len(palette):
        worst = int(indices.max() if indices.max() >= len(palette) else indices.min())
        raise CalcoError(f"class {worst} has no colour; the palette has 0 to {len(palette) - 1}: choose another")
    painted: Image = np.array([colour for _, colour in palette], np.uint8)[indices]
    return painted


def decode(image: Image, palette: Palette) -> Indices:
    """HWC of any dtype => class indices HW `uint8`, each pixel by its nearest colour (Euclidean in RGB)."""
    pixels = as_channels(as_dtype(image, np.uint8), 3).astype(np.float32)
    colours = np.array([colour for _, colour in palette], np.float32)
    # |p - c|^2 without |p|^2, which is the same for every class.
    distances = (colours**2).sum(axis=1) - 2 * pixels @ colours.T
    return np.asarray(distances.argmin(axis=2), np.uint8)


def recognised_palette(images: Iterable[Image]) -> str:
    """Return the name of the built-in palette of more than two classes whose colours images consist of, or "none".

    Compression may move a colour by a few levels; a photograph is far from all of them.
    """
    pixels = np.concatenate([as_channels(as_dtype(image, np.uint8), 3)[::4, ::4].reshape(-1, 3) for image in images])
    return palette_of_colours(pixels, np.ones(len(pixels)))


def palette_of_colours(colours: npt.NDArray[Any], counts: npt.NDArray[Any]) -> str:
    """Return the same for colours, N3 in 0..255, and the number of pixels that each has, N.

    Of the classes two at least must have a colour: levels of grey are near the greys of some palettes.
    """
    for name, palette in PALETTES.items():
        if len(palette) == len(PALETTES["binary"]):
            continue
        known = np.array([colour for _, colour in palette], np.float32)
        apart = np.abs(colours[:, None].astype(np.float32) - known).max(axis=2)
        near = apart.min(axis=1) <= _MOVED
        found = np.unique(apart.argmin(axis=1)[near])
        coloured = np.ptp(known[found], axis=1) > 2 * _MOVED
        if counts[near].sum() > _MOSTLY * counts.sum() and len(found) > _FEW and coloured.sum() > 1:
            return name
    return "none"


_MOVED, _MOSTLY, _FEW = 24, 0.6, 2  # levels, share of the pixels, classes
