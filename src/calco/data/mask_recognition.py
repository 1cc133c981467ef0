"""Recognise the encoding of masks from the values of all of them: numbers, colours, two values, alpha; or refuse."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
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
    MaskDecision,
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
_VOID_NUMBER: Final = grey_code(UNLABELLED)
_BINARY: Final = PALETTES["binary"]
BACKGROUND: Final = "background"
_CUT_AT_HALF: Final = MaskDecision(
    MaskEncoding("level", ((_BLACK,), (_WHITE,)), within=HALF), _BINARY, "background black, object white, cut at half"
)


def recognise_masks(survey: MaskSurvey, palette: Palette | None = None, name: str = "") -> MaskDecision:
    """Decide what the values of a set of masks mean.

    The masks themselves show the classes, unless a palette says which are meant; messages call it `name`.

    Raises:
        CalcoError: If the values are no classes, or not those of the palette.
    """
    if not survey.files:
        reason = next(iter(survey.unread.values()), "there is none")
        raise EncodingError(f"none of the {len(survey.unread)} masks can be read; the first: {reason}")
    found = _by_values(survey) if palette is None else _with_palette(survey, palette, name)
    return replace(found, survey=survey)


def _by_values(survey: MaskSurvey) -> MaskDecision:
    """Return the classes that the values themselves show."""
    if numbers := _as_numbers(survey):
        return numbers
    values = _classes(survey)
    transparent = TRANSPARENT in survey.total
    opaque = [value for value in values if value != TRANSPARENT] if values is not None else None
    if transparent and (opaque is None or len(opaque) <= 1):
        encoding = MaskEncoding("alpha", ((TRANSPARENT,), (OPAQUE,)))
        return MaskDecision(encoding, _BINARY, "background transparent, object opaque")
    if opaque is None:
        return _cut_at_half(survey)
    if any(grey_of_code(value) is None for value in opaque):
        return _colours(survey, opaque, transparent)
    levels = sorted(opaque)
    if levels == [_BLACK]:
        return MaskDecision(MaskEncoding("level", ((_BLACK,), (_WHITE,))), _BINARY, "background black, no object")
    first = (TRANSPARENT,) if transparent else ()
    return _grey_classes("level", levels, within=_within(survey, levels), first=first)


def _as_numbers(survey: MaskSurvey) -> MaskDecision | None:
    """Recognise numbers: few grey values from 0 on, close to each other, and 255 where nobody labelled."""
    greys = [grey for value in sorted(survey.total) if (grey := grey_of_code(value)) is not None]
    classes = [grey for grey in greys if grey != UNLABELLED]
    if len(greys) < len(survey.total) or not classes or len(greys) > 256 or max(classes) > 2 * len(classes) + 32:
        return None
    codes = [grey_code(grey) for grey in classes]
    even = sum(survey.solid[code] > 0 for code in codes)
    if classes == [0] or (len(greys) > _MANY and even < 0.8 * (max(classes) + 1)):
        return None
    if survey.lossy:
        raise EncodingError(
            f"the masks have the values {_listed(classes)}, which are class numbers, and {survey.lossy} of them are "
            "compressed as JPEG or the like, which changes numbers; export them as PNG"
        )
    void = (_VOID_NUMBER,) if UNLABELLED in greys else ()
    both = {grey_code(1), _VOID_NUMBER}
    if classes == [0, 1] and void and not any(values and both <= set(values) for values in survey.files.values()):
        # Some masks have 0 and 1, others 0 and 255: both mark the object.
        encoding = MaskEncoding("number", ((0,), (grey_code(1), _VOID_NUMBER)))
        return MaskDecision(encoding, _BINARY, "background 0, object 1 in some masks and 255 in others")
    return _grey_classes("number", codes, void=void)


def _grey_classes(
    by: By, values: Sequence[int], *, void: tuple[int, ...] = (), within: int = EXACT, first: tuple[int, ...] = ()
) -> MaskDecision:
    """Return classes by number or grey level, in rising order; `first` are further codes of the lowest one."""
    greys = [grey_of_code(value) or 0 for value in values]
    ending = f"; {UNLABELLED} is void" if void else ""
    if len(values) == 1:
        encoding = MaskEncoding(by, ((_BLACK,), (values[0],)), void)
        return MaskDecision(encoding, _BINARY, f"object {greys[0]} everywhere, no background{ending}")
    encoding = MaskEncoding(by, ((values[0], *first), *((value,) for value in values[1:])), void, within)
    if len(values) == 2 and (by == "level" or greys[0] == 0):
        also = " or transparent" if first else ""
        return MaskDecision(encoding, _BINARY, f"background {greys[0]}{also}, object {greys[1]}{ending}")
    names = [BACKGROUND if grey == 0 else f"class {grey}" for grey in greys]
    palette = palette_for(names) if greys[0] == 0 else palette_for([*names, " "])[1:-1]  # without a background
    ending += f"; transparent is {greys[0]}" if first else ""
    kind = "number" if by == "number" else "grey level"
    return MaskDecision(encoding, palette, f"{len(values)} classes by {kind}, {_listed(greys)}{ending}")


def _listed(numbers: Sequence[int]) -> str:
    """Return such as "0 to 3" or "0, 7, 11"."""
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
    colours = colours_of([other for other in others if other != TRANSPARENT] or [TRANSPARENT])
    here = colours_of([value])[0]
    first, last = colours[:, None], colours[None]
    way = last - first
    share = ((here - first) * way).sum(-1) / np.maximum((way**2).sum(-1), 1e-6)
    away = np.linalg.norm(first + share[..., None] * way - here, axis=-1)
    return bool(((away < 6) & (share > 0.02) & (share < 0.98)).any())


def _merged(ordered: Sequence[int]) -> list[int]:
    """Return the values, the commonest first, without those close to a commoner one."""
    colours = colours_of(ordered)
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
    known = colours_of([value for value in values if value != TRANSPARENT])
    away = np.linalg.norm(colours_of(list(survey.total))[:, None] - known[None], axis=2).min(axis=1)
    found = zip(survey.total.items(), away, strict=True)
    near = sum(pixels for (value, pixels), each in found if each <= COMPRESSED or value == TRANSPARENT)
    exact = sum(survey.total[value] for value in values)
    return near >= _SOFT * survey.pixels and exact >= 0.5 * survey.pixels


def _cut_at_half(survey: MaskSurvey) -> MaskDecision:
    """Cut soft grey masks at half; refuse everything else."""
    greys = {value: grey for value in survey.total if (grey := grey_of_code(value)) is not None and grey <= 255}
    ends = sum(survey.total[value] for value, grey in greys.items() if grey < 32 or grey > 223)
    if ends >= _SOFT * survey.pixels:
        return _CUT_AT_HALF
    kind = "grey levels" if len(greys) == len(survey.total) else "colours"
    raise EncodingError(
        f"the masks have {len(survey.total):,} {kind}, which are no classes (photographs, soft or compressed masks?); "
        "name the classes with --palette FILE, or cut grey masks at half with --palette binary"
    )


def _within(survey: MaskSurvey, values: Sequence[int]) -> int:
    """Return the distance of areas from the known values: 0, unless compression or smoothing left others."""
    others = len(survey.total) > _MANY or bool(survey.lossy) or not {*_even(survey)} <= {*values, TRANSPARENT}
    return COMPRESSED if others else EXACT


def _colours(survey: MaskSurvey, values: list[int], transparent: bool) -> MaskDecision:
    """Return classes by colour: of a known palette, else background (black, transparent or white) and the rest."""
    values = [_pure(value) for value in values] if survey.lossy else values
    void = tuple(value for value in values if _is_void(survey, value, values))
    values = [value for value in values if value not in void]
    names_of = _known_palette(values)
    ground: int | None = _BLACK if _BLACK in values else TRANSPARENT if transparent else _WHITE
    ground = ground if ground in (*values, TRANSPARENT) else None
    codes: dict[int, tuple[int, ...]] = {value: (value,) for value in values}
    # A palette file says the order; else the background comes first.
    ordered = _ordered(survey, values)
    if transparent and ground == _BLACK:
        codes[_BLACK] = (_BLACK, TRANSPARENT)
    elif transparent:
        codes = {TRANSPARENT: (TRANSPARENT,), **codes}
    order = list(codes) if ordered else sorted(codes, key=lambda value: value != ground)
    two = len(order) == 2 and ground is not None
    # Pillow replaces the entries of its table as it reads them, so their form cannot be relied upon.
    known = {ImageColor.getrgb(name): name for name in sorted(ImageColor.colormap)}
    names = [
        BACKGROUND
        if value == ground
        else names_of.get(value) or ("object" if two else known.get(_colour(value), f"colour {value:06x}"))
        for value in order
    ]
    painted = (_BLACK if value == TRANSPARENT else value for value in order)
    palette = tuple((name, _colour(value)) for name, value in zip(names, painted, strict=True))
    within = _within(survey, [*order, *void])
    encoding = MaskEncoding("colour", tuple(codes[value] for value in order), void, within)
    ending = f"; {', '.join(map(value_name, void))} is void" if void else ""
    if two:
        first, second = map(value_name, order)
        return MaskDecision(encoding, palette, f"{names[0]} {first}, {names[1]} {second}{ending}")
    shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
    return MaskDecision(encoding, palette, f"{len(order)} classes by colour, {shown}{ending}")


def _pure(code: int) -> int:
    """Return a colour with what compression took from black and from full channels given back."""
    red, green, blue = (0 if part <= 4 else 255 if part >= 251 else part for part in _colour(code))
    return colour_code((red, green, blue))


def _is_void(survey: MaskSurvey, value: int, values: Sequence[int]) -> bool:
    """Return whether a colour stands where nobody labelled: number 255 of palette files, or the border of VOC."""
    others = [other for other in values if other != value]
    if survey.numbers.get(value) == {UNLABELLED}:
        numbers = [number for other in others for number in survey.numbers.get(other, ())]
        return bool(numbers) and max(numbers) <= 2 * len(values) + 32
    return value == _VOID_COLOUR and bool(_known_palette(others))


def _known_palette(values: Sequence[int]) -> dict[int, str]:
    """Return the names of colours in a built-in palette that has all of them.

    One colour beside black and white may be anybody's: pure red, green and blue are in some palette, too.
    """
    if not any(max(_colour(value)) not in (0, 255) for value in values):
        return {}
    for name, palette in PALETTES.items():
        names = {colour_code(colour): each for each, colour in palette}
        if name != "binary" and set(values) <= names.keys():
            return {value: names[value] for value in values}
    return {}


def _colour(code: int) -> Colour:
    return code >> 16 & 255, code >> 8 & 255, code & 255


def _with_palette(survey: MaskSurvey, palette: Palette, name: str) -> MaskDecision:
    """Decide how the masks show a palette: by its colours, by number, or by the numbers of palette files."""
    values = _even(survey) or list(survey.total)
    grey = all(grey_of_code(value) is not None for value in values)
    many = len(survey.total) > _MANY or bool(survey.lossy)
    colours = painted_encoding(palette, COMPRESSED if many else EXACT if grey else _ROUNDED)
    exact = {code for (code,) in colours.classes}
    shown = f"{len(palette)} classes of the palette {name}"
    if set(values) <= exact:
        return MaskDecision(colours, palette, f"{shown}, by colour")
    if palette == PALETTES["voc"] and set(values) <= {*exact, _VOID_COLOUR}:
        return MaskDecision(replace(colours, void=(_VOID_COLOUR,)), palette, f"{shown}, by colour; #e0e0c0 is void")
    if len(palette) == 2 and (two := _two_of(survey, palette)):
        return two
    if numbers := _numbers_of(survey, palette):
        return MaskDecision(numbers, palette, f"{shown}, by {'colour' if numbers.by == 'colour' else 'number'}")
    plain = [value for value in values if value != TRANSPARENT]
    _, unknown = colours.known(np.array(plain, np.int64))
    foreign = [value for value, is_foreign in zip(plain, unknown, strict=True) if is_foreign]
    spoiled = sum(1 for signature in survey.files.values() if signature and set(signature) & set(foreign))
    pixels = sum(survey.total[value] for value in foreign)
    if foreign and (spoiled > len(survey.files) / 2 or pixels > survey.pixels / 2):
        named = ", ".join(value_name(value) for value in sorted(foreign, key=lambda value: -survey.total[value])[:5])
        raise EncodingError(
            f"the masks do not fit the palette {name}: {spoiled} of {len(survey.files)} have the values {named}, which "
            "stand for no class of it; add them to the palette, choose another --palette, or leave it out"
        )
    if TRANSPARENT in survey.total:
        ground = next((place for place, (each, _) in enumerate(palette) if each in (BACKGROUND, "unlabelled")), 0)
        classes = [*colours.classes]
        classes[ground] = (*classes[ground], TRANSPARENT)
        colours = MaskEncoding("colour", tuple(classes))
    return MaskDecision(colours, palette, f"{shown}, by colour")


def _numbers_of(survey: MaskSurvey, palette: Palette) -> MaskEncoding | None:
    """Return classes by number, where nearly all values are numbers of the palette; or by those of palette files."""
    if not survey.lossy:
        fitting = {grey_code(number) for number in (*range(len(palette)), UNLABELLED)}
        fit = [values for values in survey.files.values() if values is not None and fitting.issuperset(values)]
        seen = {value for values in fit for value in values} - {0, _VOID_NUMBER}
        if seen and 2 * len(fit) >= len(survey.files):
            void = (_VOID_NUMBER,) if _VOID_NUMBER in survey.total else ()
            return MaskEncoding("number", tuple((grey_code(n),) for n in range(len(palette))), void)
    used = survey.numbers
    if not set(survey.total) <= used.keys() or any(len(numbers) > 1 for numbers in used.values()):
        return None
    by_number: dict[int, list[int]] = {}
    for value, numbers in used.items():
        by_number.setdefault(min(numbers), []).append(value)
    void_values = tuple(by_number.pop(UNLABELLED, ()))
    if max(by_number, default=0) >= len(palette):
        return None
    return MaskEncoding("colour", tuple(tuple(by_number.get(n, ())) for n in range(len(palette))), void_values)


def _two_of(survey: MaskSurvey, palette: Palette) -> MaskDecision | None:
    """Return two values for the two classes of a palette, whatever they are; more grey levels are cut at half."""
    with suppress(EncodingError):
        found = _by_values(survey)
        return replace(found, palette=palette) if len(found.encoding.classes) == 2 else None
    if palette == _BINARY and all(grey_of_code(value) is not None for value in survey.total):
        return _CUT_AT_HALF
    return None


def marks_of(survey: MaskSurvey) -> MaskDecision:
    """Recognise masks that mark one object: every class but the background.

    Raises:
        CalcoError: If the values are no classes, or none of them is background.
    """
    found = replace(_by_values(survey), survey=survey)
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
    return replace(found, encoding=both, palette=_BINARY, story=f"{found.story}; all but the background mark")


def areas_of(survey: MaskSurvey, encoding: MaskEncoding) -> Counter[int]:
    """Return the pixels of each class of an encoding over a set, in areas; -1 counts void, -2 unknown values."""
    places, unknown = encoding.known(np.array(list(survey.total), np.int64))
    areas: Counter[int] = Counter()
    for pixels, place, foreign in zip(survey.total.values(), places, unknown, strict=True):
        areas[-2 if foreign else int(place)] += pixels
    return areas
