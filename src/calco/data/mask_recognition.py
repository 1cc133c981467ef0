"""Recognise the encoding of masks from the values of all of them: numbers, colours, two values, alpha; or refuse."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from PIL import ImageColor

from calco.data.mask_encoding import (
    COMPRESSED,
    EXACT,
    HALF,
    OPAQUE,
    TRANSPARENT,
    By,
    EncodingError,
    MaskEncoding,
    MaskSurvey,
    colour_code,
    colours_of,
    grey_code,
    grey_of_code,
    painted_encoding,
    value_name,
)
from calco.data.palettes import PALETTES, UNLABELLED, Colour, Palette, palette_for

_FEW: Final = 8  # values of a whole set up to which similar ones are no sign of compression
_LINES: Final = 32  # values of a whole set up to which thin lines can be classes
_THIN: Final = 0.05  # share of a value's pixels inside areas, below which smoothing may have made it
_MANY: Final = 64  # grey values of a whole set up to which they can be class numbers
_RARE: Final = 2e-4  # share of all pixels from which on an area of a compressed set shows a class
_ROUNDED: Final = 4  # distance of a colour that a colour profile or a drawing program rounded
_NEAR_GREY: Final = 16
_NEAR_COLOUR: Final = 48.0
_SOFT: Final = 0.9  # share of pixels near black or white from which on grey masks are cut at half
_MOST: Final = 254
_BLACK, _WHITE, _VOID_COLOUR = 0, 0xFFFFFF, colour_code((224, 224, 192))
BACKGROUND: Final = "background"


@dataclass(frozen=True, slots=True)
class Recognised:
    """Result of the recognition of a set of masks.

    Attributes:
        encoding: Which values stand for which class.
        palette: The classes and the colours that they are painted in.
        story: The same in words.
    """

    encoding: MaskEncoding
    palette: Palette
    story: str


def recognise_masks(survey: MaskSurvey, palette: Palette | None = None, name: str = "") -> Recognised:
    """Decide what the masks of a set mean.

    Args:
        survey: The values of all of them.
        palette: The classes that are meant; None takes them from the masks.
        name: Of the palette, for messages.

    Raises:
        CalcoError: If the values are no classes, or not those of the palette.
    """
    if not survey.files:
        reason = next(iter(survey.unread.values()), "there is none")
        raise EncodingError(f"none of the {len(survey.unread)} masks can be read; the first: {reason}")
    return _by_values(survey) if palette is None else _with_palette(survey, palette, name)


def _by_values(survey: MaskSurvey) -> Recognised:
    """Return the classes that the values themselves show."""
    numbers = _as_numbers(survey)
    if numbers is not None:
        return numbers
    values = _classes(survey)
    transparent = TRANSPARENT in survey.total
    opaque = [value for value in values if value != TRANSPARENT] if values is not None else None
    if transparent and (opaque is None or len(opaque) <= 1):
        return Recognised(
            MaskEncoding("alpha", ((TRANSPARENT,), (OPAQUE,))),
            PALETTES["binary"],
            "background transparent, object opaque",
        )
    if opaque is None:
        return _cut_at_half(survey)
    greys = [grey_of_code(value) for value in opaque]
    if all(grey is not None for grey in greys):
        return _levels(survey, opaque, transparent)
    return _colours(survey, opaque, transparent)


def _as_numbers(survey: MaskSurvey) -> Recognised | None:
    """Classes by number: few grey values from 0 on, close to each other, and 255 where nobody labelled; else None."""
    found = sorted(survey.total)
    greys = [grey for value in found if (grey := grey_of_code(value)) is not None]
    if len(greys) < len(found) or not greys:
        return None
    classes = [grey for grey in greys if grey != UNLABELLED]
    if not classes or len(greys) > 256 or max(classes) > 2 * len(classes) + 32:
        return None
    even = sum(survey.solid[grey_code(grey)] > 0 for grey in classes)
    if classes == [0] or (len(greys) > _MANY and even < 0.8 * (max(classes) + 1)):
        return None
    if survey.lossy:
        raise EncodingError(
            f"the masks have the values {_listed(classes)}, which are class numbers, and {survey.lossy} of them are "
            "compressed as JPEG or the like, which changes numbers; export them as PNG"
        )
    void = (UNLABELLED,) if UNLABELLED in greys else ()
    if (
        classes == [0, 1]
        and void
        and not any(
            signature and {grey_code(1), grey_code(UNLABELLED)} <= set(signature) for signature in survey.files.values()
        )
    ):
        # Some masks have 0 and 1, others 0 and 255: both mark the object.
        encoding = MaskEncoding("number", ((0,), (grey_code(1), grey_code(UNLABELLED))))
        return Recognised(encoding, PALETTES["binary"], "background 0, object 1 in some masks and 255 in others")
    encoding = MaskEncoding("number", tuple((grey_code(grey),) for grey in classes), tuple(map(grey_code, void)))
    ending = f"; {UNLABELLED} is void" if void else ""
    if len(classes) == 2 and classes[0] == 0:
        return Recognised(encoding, PALETTES["binary"], f"background 0, object {classes[1]}{ending}")
    if len(classes) == 1:
        if classes[0] != 0:
            only = MaskEncoding("number", ((0,), (grey_code(classes[0]),)), tuple(map(grey_code, void)))
            return Recognised(only, PALETTES["binary"], f"object {classes[0]} everywhere, no background{ending}")
        return None
    names = [BACKGROUND if grey == 0 else f"class {grey}" for grey in classes]
    return Recognised(encoding, _coloured(names), f"{len(classes)} classes by number, {_listed(classes)}{ending}")


def _coloured(names: Sequence[str]) -> Palette:
    """Colours for classes; without a background where none is among them."""
    palette = palette_for(names)
    return palette if BACKGROUND in names else palette_for([*names, " "])[1:-1]


def _listed(numbers: Sequence[int]) -> str:
    """Such as "0 to 3" or "0, 7, 11"."""
    if len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers[:12])) + (", ..." if len(numbers) > 12 else "")


def _classes(survey: MaskSurvey) -> list[int] | None:
    """Return the values of classes, without mixtures from smoothing and compression; None if there are no classes.

    The order is that of their numbers in palette files, else by value.
    """
    values = _even(survey)
    merged = _merged(values)
    noisy = bool(survey.lossy) or (len(values) > _FEW and 2 * len(merged) < len(values))
    if noisy or _nearly_two(values):
        values = [value for value in merged if survey.total[value] > _RARE * survey.pixels]
        if len(values) > 2 and not _covered(survey, values):
            return None
    if not values or len(values) > _MOST or sum(survey.total[value] for value in values) < 0.5 * survey.pixels:
        return None
    return sorted(values, key=lambda value: min(survey.numbers[value])) if _ordered(survey, values) else sorted(values)


def _ordered(survey: MaskSurvey, values: Sequence[int]) -> bool:
    """Return whether palette files put the values in order: one number each, and black first where there is black."""
    if any(len(survey.numbers.get(value, ())) != 1 for value in values):
        return False
    return _BLACK not in values or survey.numbers[_BLACK] == {0}


def _even(survey: MaskSurvey) -> list[int]:
    """Return the values that fill areas, the commonest first, and those of thin lines that are not mixtures."""
    order = sorted(survey.total, key=lambda value: (-survey.solid[value], -survey.total[value], value))
    even = [value for value in order if survey.solid[value] >= _THIN * survey.total[value] and survey.solid[value]]
    if len(order) > _LINES or survey.lossy:
        return even
    thin = [value for value in order if value not in even]
    return even + [value for value in thin if not _mixture(value, even)]


def _mixture(value: int, others: Sequence[int]) -> bool:
    """Return whether a colour lies on the line between two others, as smoothing makes it."""
    colours = colours_of(np.array([other for other in others if other != TRANSPARENT] or [TRANSPARENT], np.int64))
    here = colours_of(np.array([value], np.int64))[0]
    first, last = colours[:, None], colours[None]
    way = last - first
    share = ((here - first) * way).sum(-1) / np.maximum((way**2).sum(-1), 1e-6)
    away = np.linalg.norm(first + share[..., None] * way - here, axis=-1)
    return bool(((away < 6) & (share > 0.02) & (share < 0.98)).any())


def _merged(ordered: Sequence[int]) -> list[int]:
    """Values, the commonest first, without those close to a commoner one."""
    colours = colours_of(np.array(ordered, np.int64)) if ordered else np.zeros((0, 3), np.float32)
    kept: list[int] = []
    places: list[int] = []
    for place, value in enumerate(ordered):
        near = _NEAR_GREY * 3**0.5 if grey_of_code(value) is not None else _NEAR_COLOUR
        away = np.linalg.norm(colours[places] - colours[place], axis=1) if places else np.array([np.inf])
        if value == TRANSPARENT or away.min() > near:
            kept.append(value)
            places += [] if value == TRANSPARENT else [place]
    return kept


def _nearly_two(values: Sequence[int]) -> bool:
    """Return whether grey values gather at both ends alone, where an editor left a level more or less."""
    greys = [grey for value in values if (grey := grey_of_code(value)) is not None]
    ends = [grey for grey in greys if grey <= _NEAR_GREY or grey >= 255 - _NEAR_GREY]
    return len(greys) == len(values) > 2 and ends == greys and min(greys) == 0 and max(greys) == 255


def _covered(survey: MaskSurvey, values: Sequence[int]) -> bool:
    """Return whether nearly all pixels lie close to one of the values: a gradient or a photograph does not."""
    known = colours_of(np.array([value for value in values if value != TRANSPARENT], np.int64))
    codes = np.array(list(survey.total), np.int64)
    counts = np.array(list(survey.total.values()), np.float64)
    away = np.linalg.norm(colours_of(codes)[:, None] - known[None], axis=2).min(axis=1)
    near = float(counts[(away <= COMPRESSED) | (codes == TRANSPARENT)].sum())
    exact = sum(survey.total[value] for value in values)
    return near >= _SOFT * survey.pixels and exact >= 0.5 * survey.pixels


def _cut_at_half(survey: MaskSurvey) -> Recognised:
    """Soft grey masks, cut at half; everything else is refused."""
    greys = {value: grey for value in survey.total if (grey := grey_of_code(value)) is not None and grey <= 255}
    ends = sum(survey.total[value] for value, grey in greys.items() if grey < 32 or grey > 223)
    if ends >= _SOFT * survey.pixels:
        return _of_two(_BLACK, _WHITE, "background black, object white, cut at half", HALF)
    kind = "grey levels" if len(greys) == len(survey.total) else "colours"
    raise EncodingError(
        f"the masks have {len(survey.total):,} {kind}, which are no classes (photographs, soft or compressed masks?); "
        "name the classes with --palette FILE, or cut grey masks at half with --palette binary"
    )


def _of_two(background: int, obj: int, story: str, within: int) -> Recognised:
    encoding = MaskEncoding("level", ((background,), (obj,)), within=within)
    return Recognised(encoding, PALETTES["binary"], story)


def _within(survey: MaskSurvey, values: Sequence[int]) -> int:
    """How far areas may lie from the known values: not at all, but where compression or smoothing left others."""
    others = len(survey.total) > _MANY or bool(survey.lossy) or not {*_even(survey)} <= {*values, TRANSPARENT}
    return COMPRESSED if others else EXACT


def _levels(survey: MaskSurvey, values: list[int], transparent: bool) -> Recognised:
    """Two or more grey levels; transparency counts as the darkest."""
    values = sorted(values)
    if len(values) == 1:
        level = grey_of_code(values[0]) or 0
        if level == 0:
            return _of_two(_BLACK, _WHITE, "background black, no object", EXACT)
        return _of_two(_BLACK, values[0], f"object {level} everywhere, no background", EXACT)
    greys = [grey_of_code(value) or 0 for value in values]
    first = (values[0], TRANSPARENT) if transparent else (values[0],)
    classes = (first, *((value,) for value in values[1:]))
    encoding = MaskEncoding("level", classes, within=_within(survey, values))
    also = " or transparent" if transparent else ""
    if len(values) == 2:
        return Recognised(encoding, PALETTES["binary"], f"background {greys[0]}{also}, object {greys[1]}")
    names = [BACKGROUND if grey == 0 else f"class {grey}" for grey in greys]
    story = f"{len(values)} classes by grey level, {_listed(greys)}{also and f'; transparent is {greys[0]}'}"
    return Recognised(encoding, _coloured(names), story)


def _colours(survey: MaskSurvey, values: list[int], transparent: bool) -> Recognised:
    """Classes by colour: named by a known palette, else background (black, transparent or white) and the rest."""
    values = [_pure(value) for value in values] if survey.lossy else values
    void = tuple(value for value in values if _is_void(survey, value, values))
    values = [value for value in values if value not in void]
    ending = f"; {', '.join(map(value_name, void))} is void" if void else ""
    ground: int | None = _BLACK if _BLACK in values else TRANSPARENT if transparent else _WHITE
    ground = ground if ground in (*values, TRANSPARENT) else None
    classes: list[tuple[int, ...]] = [(value,) for value in values]
    if transparent:
        if ground == _BLACK:
            classes[values.index(_BLACK)] = (_BLACK, TRANSPARENT)
        else:
            classes.insert(0, (TRANSPARENT,))
            values.insert(0, TRANSPARENT)
    known = _known_palette([value for value in values if value != TRANSPARENT])
    two = len(values) == 2 and ground is not None
    names = [
        BACKGROUND if value == ground else known.get(value) or ("object" if two else _colour_name(value))
        for value in values
    ]
    # A palette file says the order; else the background comes first.
    if not _ordered(survey, [value for value in values if value != TRANSPARENT]):
        order = sorted(range(len(values)), key=lambda place: (values[place] != ground, place))
        classes, names = [classes[place] for place in order], [names[place] for place in order]
        values = [values[place] for place in order]
    painted = [_BLACK if value == TRANSPARENT else value for value in values]
    palette = tuple((name, _colour(value)) for name, value in zip(names, painted, strict=True))
    encoding = MaskEncoding("colour", tuple(classes), void, _within(survey, [*values, *void]))
    if two:
        first, second = (value_name(value) for value in values)
        return Recognised(encoding, palette, f"{names[0]} {first}, {names[1]} {second}{ending}")
    shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
    return Recognised(encoding, palette, f"{len(values)} classes by colour, {shown}{ending}")


def _pure(code: int) -> int:
    """Return a colour with what compression took from black and from full channels given back."""
    return colour_code(tuple(0 if part <= 4 else 255 if part >= 251 else part for part in _colour(code)))  # type: ignore[arg-type]


def _is_void(survey: MaskSurvey, value: int, values: Sequence[int]) -> bool:
    """Return whether a colour stands where nobody labelled: number 255 of palette files, or the border of VOC."""
    others = [number for other in values if other != value for number in survey.numbers.get(other, ())]
    if survey.numbers.get(value) == {UNLABELLED}:
        return bool(others) and max(others) <= 2 * len(values) + 32
    return value == _VOID_COLOUR and len(_known_palette([other for other in values if other != value])) > 0


def _known_palette(values: Sequence[int]) -> dict[int, str]:
    """Return the names of colours in a built-in palette that has all of them, and more than black and white."""
    for name, palette in PALETTES.items():
        names = {colour_code(colour): each for each, colour in palette}
        if name != "binary" and set(values) <= names.keys() and set(values) - {_BLACK, _WHITE}:
            # One colour beside black may be anybody's: red, green and blue are in some palette, too.
            telling = [value for value in values if max(_colour(value)) not in (0, 255)]
            if telling:
                return {value: names[value] for value in values}
    return {}


def _colour(code: int) -> Colour:
    return code >> 16 & 255, code >> 8 & 255, code & 255


def _colour_name(code: int) -> str:
    """Return the name of a colour, such as "red" or "colour 12ab34"."""
    # Pillow replaces the entries of its table as it reads them, so their form cannot be relied upon.
    names = {ImageColor.getrgb(name): name for name in sorted(ImageColor.colormap)}
    return names.get(_colour(code), f"colour {code:06x}")


def _with_palette(survey: MaskSurvey, palette: Palette, name: str) -> Recognised:
    """How the masks show the classes of a palette: by its colours, by number, or by the numbers of palette files."""
    values = _even(survey) or list(survey.total)
    grey = all(grey_of_code(value) is not None for value in values)
    many = len(survey.total) > _MANY or bool(survey.lossy)
    colours = painted_encoding(palette, COMPRESSED if many else EXACT if grey else _ROUNDED)
    exact = {code for (code,) in colours.classes}
    shown = f"{len(palette)} classes of the palette {name}"
    if set(values) <= exact:
        return Recognised(colours, palette, f"{shown}, by colour")
    if palette == PALETTES["voc"] and set(values) <= {*exact, _VOID_COLOUR}:
        return Recognised(replace(colours, void=(_VOID_COLOUR,)), palette, f"{shown}, by colour; #e0e0c0 is void")
    if len(palette) == 2 and (two := _two_of(survey, palette)) is not None:
        return two
    if (numbers := _numbers_of(survey, palette)) is not None:
        return Recognised(numbers, palette, f"{shown}, by {'colour' if numbers.by == 'colour' else 'number'}")
    plain = [value for value in values if value != TRANSPARENT]
    _, unknown = colours.known(np.array(plain, np.int64)) if plain else (None, np.zeros(0, np.bool_))
    foreign = [value for value, is_foreign in zip(plain, unknown, strict=True) if is_foreign]
    spoiled = sum(1 for signature in survey.files.values() if signature and set(signature) & set(foreign))
    if TRANSPARENT in survey.total and TRANSPARENT not in exact:
        ground = next((place for place, (each, _) in enumerate(palette) if each in (BACKGROUND, "unlabelled")), 0)
        classes = [*colours.classes]
        classes[ground] = (*classes[ground], TRANSPARENT)
        colours = MaskEncoding("colour", tuple(classes))
    pixels = sum(survey.total[value] for value in foreign)
    if foreign and (spoiled > len(survey.files) / 2 or pixels > survey.pixels / 2):
        named = ", ".join(value_name(value) for value in sorted(foreign, key=lambda value: -survey.total[value])[:5])
        raise EncodingError(
            f"the masks do not fit the palette {name}: {spoiled} of {len(survey.files)} have the values {named}, which "
            "stand for no class of it; add them to the palette, choose another --palette, or leave it out"
        )
    return Recognised(colours, palette, f"{shown}, by colour")


def _numbers_of(survey: MaskSurvey, palette: Palette) -> MaskEncoding | None:
    """Classes by number, where nearly all values are numbers of the palette; or by those of palette files."""
    if not survey.lossy:
        fitting = {grey_code(number) for number in (*range(len(palette)), UNLABELLED)}
        fit = [values for values in survey.files.values() if values is not None and fitting.issuperset(values)]
        seen = {grey_of_code(value) for values in fit for value in values} - {0, UNLABELLED}
        if seen and 2 * len(fit) >= len(survey.files):
            void = (grey_code(UNLABELLED),) if grey_code(UNLABELLED) in survey.total else ()
            return MaskEncoding("number", tuple((grey_code(n),) for n in range(len(palette))), void)
    used = survey.numbers
    if not set(survey.total) <= used.keys() or any(len(numbers) > 1 for numbers in used.values()):
        return None
    number = {value: min(numbers) for value, numbers in used.items()}
    if max((n for n in number.values() if n != UNLABELLED), default=0) >= len(palette):
        return None
    by_number: dict[int, list[int]] = {}
    for value, n in number.items():
        by_number.setdefault(n, []).append(value)
    void_values = tuple(by_number.pop(UNLABELLED, ()))
    return MaskEncoding("colour", tuple(tuple(by_number.get(n, ())) for n in range(len(palette))), void_values)


def _two_of(survey: MaskSurvey, palette: Palette) -> Recognised | None:
    """Two values for the two classes of a palette, whatever they are; more grey levels are cut at half."""
    try:
        found = _by_values(survey)
    except EncodingError:
        found = None
    if found is not None:
        two = len(found.encoding.classes) == 2
        return Recognised(found.encoding, palette, found.story) if two else None
    if palette == PALETTES["binary"] and all(grey_of_code(value) is not None for value in survey.total):
        return _of_two(_BLACK, _WHITE, "background black, object white, cut at half", HALF)
    return None


def marks_of(survey: MaskSurvey) -> Recognised:
    """Recognise masks that mark one object: every class but the background.

    Raises:
        CalcoError: If the values are no classes, or none of them is background.
    """
    found = _by_values(survey)
    (first, _), *others = found.palette
    if first != BACKGROUND or not others:
        raise EncodingError(
            f"the masks have {found.story}, and none of them is background; paint what is meant in white on black"
        )
    if len(others) == 1:
        return found
    encoding = found.encoding
    marked = tuple(code for codes in encoding.classes[1:] for code in codes)
    by: By = "colour" if encoding.by == "level" else encoding.by
    both = MaskEncoding(by, (encoding.classes[0], marked), encoding.void, encoding.within)
    return Recognised(both, PALETTES["binary"], f"{found.story}; all but the background mark")


def areas_of(survey: MaskSurvey, encoding: MaskEncoding) -> Counter[int]:
    """Pixels of each class of an encoding over a set, in areas; -1 counts void, -2 unknown values."""
    codes = np.array(list(survey.total), np.int64)
    places, unknown = encoding.known(codes)
    areas: Counter[int] = Counter()
    for code, place, foreign in zip(codes, places, unknown, strict=True):
        areas[-2 if foreign else int(place)] += survey.total[int(code)]
    return areas
