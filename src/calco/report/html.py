"""What every page is made of: the frame around it, images within it, definitions."""

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from calco import imaging
from calco.addresses import redact_record
from calco.files import atomic_write, make_folder
from calco.imaging import Image
from calco.version import __version__

MAX_SIDE = 640
"""Pixels; larger images are shrunk in a page."""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def asset(package: str, name: str) -> str:
    """A text file that lies in a package."""
    return (files(package) / name).read_text(encoding="utf-8")


def write_page(
    out: str | Path, title: str, header: str, body: str, *, name: str, css: str = "", js: str = "", after: str = ""
) -> Path:
    """Writes a whole HTML page that needs no other file and may load none: the policy forbids it.

    Args:
        out: The file, or a folder to put it in.
        title: Of the browser's tab; plain text.
        header: HTML above the first section.
        body: HTML of the sections.
        name: The file's name where `out` is a folder.
        css: Style that is added to the house's own.
        js: A script that runs at the end.
        after: HTML after the footer, such as a dialog.

    Returns:
        The path of the file.
    """
    style, script = asset("calco.report", "page.css") + css, f"<script>\n{js}</script>\n" if js else ""
    text = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f'<header class="top"><div class="brand">Calco</div>{header}</header>\n<main>\n{body}\n</main>\n'
        f"<footer>Made by Calco {escape(__version__)}. This page holds everything it shows and asks nothing of the "
        f"network.</footer>\n{after}\n{script}</body>\n</html>\n"
    )
    path = Path(out)
    path = path if path.suffix.lower() in (".html", ".htm") else path / name
    make_folder(path.parent)
    atomic_write(path, text)
    return path


def data_uri(image: Image) -> str:
    """The shown within the page: PNG where that is about as small as JPEG, which drawings and class maps are."""
    shown = imaging.as_dtype(imaging.visible(image), np.uint8)
    height, width = shown.shape[:2]
    if max(height, width) > MAX_SIDE:
        scale = MAX_SIDE / max(height, width)
        shown = imaging.resize(shown, (max(1, round(width * scale)), max(1, round(height * scale))))
    opened = Pillow.fromarray(shown[..., 0] if shown.shape[2] == 1 else shown)
    exact, small = io.BytesIO(), io.BytesIO()
    opened.save(exact, "PNG")
    opened.save(small, "JPEG", quality=92, subsampling=0)
    kind, data = ("jpeg", small) if small.tell() * 1.5 < exact.tell() else ("png", exact)
    return f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}"


def img_tag(image: Image, alt: str, css: str = "") -> str:
    """An `img` with its size, so that the page does not jump while it is laid out."""
    height, width = image.shape[:2]
    return f'<img class="{css}" width="{width}" height="{height}" alt="{escape(alt)}" src="{data_uri(image)}">'


def definitions(entries: Mapping[str, str | Sequence[str]], css: str = "about") -> str:
    """Names and what they hold; a list of names becomes a fold-out."""
    rows = []
    for name, content in redact_record(dict(entries)).items():
        if isinstance(content, str):
            text = escape(content)
        else:
            items = "".join(f"<li>{escape(item)}</li>" for item in content)
            text = f'<details><summary>{len(content):,} names</summary><ul class="names">{items}</ul></details>'
        rows.append(f"<dt>{escape(name)}</dt><dd>{text}</dd>")
    return f'<dl class="{css}">{"".join(rows)}</dl>'
