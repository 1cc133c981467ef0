"""`calco crime chart`: the charts as CSV, and as PNG, drawn by a browser from the page itself.

Chromium is asked by its own command line to open the page and to print what it has become: that needs no driver, and a
image is what a person sees on the page.
"""

import base64
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import quote

from tyro.conf import arg

from calco.crime.charts import CHARTS, named
from calco.crime.csv_output import csv_lines
from calco.crime.cubes import Cube
from calco.crime.dashboard import Language, page, read
from calco.crime.database import DEFAULT
from calco.errors import CalcoError
from calco.files import atomic_write
from calco.outputs import writing_folder
from calco.records import check_numbers

_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
_IMAGE: Final = re.compile(r'<img id="png-([a-z-]+)" alt="" src="data:image/png;base64,([^"]+)">')


@dataclass(frozen=True, kw_only=True)
class ChartConfig:
    """Which database is drawn, and what into."""

    source: Annotated[str, arg(name="from")] = DEFAULT
    """The database that calco crime load made: a file that ends in .duckdb, or a URL."""

    out: str = "charts"
    """The folder for the files."""

    format: Literal["both", "png", "csv"] = "both"
    """png needs Chromium or Chrome; csv nothing."""

    language: Language = "es"
    """The language of the images: es or en."""

    browser: str = ""
    """The browser's program; found by its usual names where none is named."""

    seconds: int = 120
    """The longest that the browser may take."""

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.seconds < 1:
            raise CalcoError(f"--seconds {self.seconds} must be 1 or more")


def draw(name: str, config: ChartConfig) -> list[Path]:
    """Writes a chart, or all of them.

    Args:
        name: The chart's, or "all".
        config: What, and where to.

    Returns:
        The files. A chart without data gives a CSV of its heads and no image.

    Raises:
        CalcoError: When there is no such chart, no database, no browser, or the browser cannot draw.
    """
    names = named(name)
    browser = "" if config.format == "csv" else _browser(config.browser)
    found = read(config.source)
    written = []
    with writing_folder(config.out, "calco crime chart") as outputs:
        folder, kinds = outputs.folder, ("csv", "png") if config.format == "both" else (config.format,)
        outputs.check(folder / f"{one}.{kind}" for one in names for kind in kinds)
        if config.format != "png":
            for one in names:
                written.append(folder / f"{one}.csv")
                atomic_write(written[-1], csv_of(one, found))
        if browser:
            for one, image in images(names, found, config, browser).items():
                written.append(folder / f"{one}.png")
                atomic_write(written[-1], image)
    return written


def csv_of(name: str, found: Cube) -> str:
    """A chart's rows as CSV."""
    heads, rows = CHARTS[name]
    return csv_lines([heads, *rows(found)])


def images(names: Sequence[str], found: Cube, config: ChartConfig, browser: str) -> dict[str, bytes]:
    """Name => PNG, as the page draws it.

    Raises:
        CalcoError: When the browser fails or takes too long.
    """
    with tempfile.TemporaryDirectory(prefix="calco-charts-") as folder:
        file = Path(folder) / "crime.html"
        file.write_text(page(found, language=config.language), encoding="utf-8")
        flags = ["--headless", "--disable-gpu", "--no-sandbox", "--disable-background-networking", "--hide-scrollbars"]
        waiting = [f"--user-data-dir={folder}/profile", "--window-size=1240,1000", "--virtual-time-budget=100000"]
        try:
            told = subprocess.run(
                [browser, *flags, *waiting, "--dump-dom", f"{file.as_uri()}#png={quote(','.join(names))}"],
                capture_output=True, text=True, timeout=config.seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise CalcoError(f"{browser} did not draw within {config.seconds} s; give it more: --seconds") from error
        except OSError as error:
            raise CalcoError(
                f"cannot run {browser}: {error.strerror or error}; name another: --browser PATH"
            ) from error
    if 'data-images="yes"' not in told.stdout:
        last = " ".join((told.stderr.strip().splitlines() or [f"exit code {told.returncode}"])[-1].split())[:200]
        raise CalcoError(f"{browser} did not draw the page ({last}); name another: --browser PATH")
    return {name: base64.b64decode(data) for name, data in _IMAGE.findall(told.stdout)}


def _browser(wanted: str) -> str:
    names = (wanted,) if wanted else _BROWSERS
    for name in names:
        if path := shutil.which(name):
            return path
    raise CalcoError(
        f"there is no {wanted or 'Chromium nor Chrome'}, which draws the PNG files; install it (Debian: apt-get "
        "install chromium), name it with --browser PATH, or ask for --format csv"
    )
