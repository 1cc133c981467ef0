"""Images as one object that a notebook shows and a file holds."""

import base64
import html
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np

from calco import imaging
from calco.errors import UsageError
from calco.imaging import Image
from calco.report.numbers import Language

LANGUAGE: Final = "CALCO_LANGUAGE"
"""Environment variable that names the language of what a notebook shows: es or en, which is the default."""
_GAP: Final = 6  # pixels between the images of a saved grid
_HEIGHT: Final = 160  # pixels of an image on a notebook's page, at most
_LEAST: Final = 96  # pixels to which a smaller one is enlarged


def chosen_language() -> Language:
    """Return the language of what a notebook shows: that of CALCO_LANGUAGE, English if it is not set.

    Raises:
        UsageError: If the variable names another language.
    """
    named = os.environ.get(LANGUAGE) or "en"
    for known in get_args(Language):
        if named == known:
            return known  # type: ignore[no-any-return]
    raise UsageError(f"{LANGUAGE} is {named!r}; it must be one of {', '.join(get_args(Language))}")


@dataclass(frozen=True)
class Shown:
    """Rows of images with captions; a notebook shows it, and `save` writes it.

    Attributes:
        rows: Rows of (caption, image), images HWC RGB `uint8`.
    """

    rows: tuple[tuple[tuple[str, Image], ...], ...]

    def _repr_html_(self) -> str:
        """Return the images as HTML that needs no file beside it."""
        return "\n".join(f"<div>{''.join(figure(image, caption) for caption, image in row)}</div>" for row in self.rows)

    def save(self, path: str | Path) -> Path:
        """Write the images as one grid over white, each row as high as its highest image.

        Args:
            path: Image file, such as grid.png.

        Returns:
            The file.

        Raises:
            CalcoError: If it cannot be written.
        """
        strips = [_beside([image for _, image in row]) for row in self.rows]
        imaging.write(path, _beside([each.swapaxes(0, 1) for each in strips]).swapaxes(0, 1).copy())
        return Path(path)


def figure(image: Image, caption: str, height: int = _HEIGHT) -> str:
    """Return an image, HW3 `uint8`, with its caption as HTML for a notebook, at most so many pixels high."""
    data, caption = base64.b64encode(imaging.encode(image, ".png")).decode(), html.escape(caption)
    size = f"max-height:{height}px;min-height:{_LEAST}px"
    return (
        '<figure style="display:inline-block;margin:4px;text-align:center">'
        f'<img alt="{caption}" style="{size}" src="data:image/png;base64,{data}"/>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _beside(images: list[Image]) -> Image:
    """Put HW3 images beside each other over white, with gaps between them."""
    height = max(len(image) for image in images)
    width = sum(image.shape[1] for image in images) + _GAP * (len(images) - 1)
    grid: Image = np.full((height, width, 3), 255, np.uint8)
    left = 0
    for image in images:
        grid[: len(image), left : left + image.shape[1]] = image
        left += image.shape[1] + _GAP
    return grid


def table(rows: Iterable[Iterable[str]], sentence: str = "") -> str:
    """Return a sentence and a table as HTML for a notebook; the first row holds the headings."""
    head, *body = ([html.escape(cell) for cell in row] for row in rows)
    lines = [f"<tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr>"]
    lines += [f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in body]
    return f"<p>{html.escape(sentence)}</p><table>{''.join(lines)}</table>"


def show(images: Any) -> Shown:
    """Return images as one object that a notebook shows, and that `save` writes as a grid.

    Args:
        images: An image, HWC or HW, `uint8`, `uint16` or `float32` in [0, 1], or of Pillow; a `calco.Pair`; a
            dictionary of such by caption; or a list of all these, a row for each pair and dictionary.

    Returns:
        An object with `_repr_html_()` and `save(path)`.

    Raises:
        UsageError: If there is nothing to show.
        CalcoError: If something in it is not an image.
    """
    rows: list[tuple[tuple[str, Image], ...]] = []
    loose: list[tuple[str, Image]] = []
    for each in images if isinstance(images, list | tuple) else [images]:
        if isinstance(each, Mapping):
            rows.append(tuple(_plain(each.items())))
        elif hasattr(each, "input") and hasattr(each, "target"):
            names = ("input", "target") if chosen_language() == "en" else ("entrada", "objetivo")
            rows.append(tuple(_plain(zip(names, (each.input, each.target), strict=True))))
        else:
            loose += _plain([("", each)])
    rows = [*([tuple(loose)] if loose else []), *(row for row in rows if row)]
    if not rows:
        raise UsageError("nothing to show: give an array, a Pair, images by caption, or a list of them")
    return Shown(tuple(rows))


def _plain(images: Iterable[tuple[Any, Any]]) -> list[tuple[str, Image]]:
    """Return captions and images, HW3 `uint8`."""
    found = []
    for caption, image in images:
        if hasattr(image, "getbands"):  # of Pillow, whose palettes are no colours yet
            image = np.asarray(image.convert("RGBA" if "A" in image.getbands() else "RGB"))
        whole = imaging.as_image(image, f"the image {caption}".strip())
        found.append((str(caption), imaging.as_channels(imaging.as_dtype(whole, np.uint8), 3)))
    return found
