"""The ten charts and a map on one page that needs no network, in Spanish and English, with filters that act on all."""

import base64
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import quote

from markupsafe import Markup
from tyro.conf import Positional, arg

from calco.addresses import redact_address
from calco.crime.cubes import CHARTS, ChartData, chart_names, cubes
from calco.crime.database import DEFAULT, check_folder, connect, database_errors, needs
from calco.crime.gazetteer import gazetteer
from calco.crime.reading import csv_lines
from calco.errors import CalcoError
from calco.files import atomic_write
from calco.outputs import writing_file, writing_folder
from calco.records import check_numbers
from calco.report.page import render

Language = Literal["es", "en"]
_WIDE: Final = ("crimes-by-year", "modalities", "crimes-by-district")
_TALL: Final = (
    "crimes-by-year", "modalities", "places", "map", "robberies-by-district", "ages", "occupations", "generics-by-year"
)  # fmt: skip
_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
_IMAGE: Final = re.compile(r'<img id="png-([a-z-]+)" alt="" src="data:image/png;base64,([^"]+)">')


@dataclass(frozen=True, kw_only=True)
class DashboardConfig:
    """Write the charts with their filters on one page that needs no network."""

    source: Annotated[str, arg(name="from")] = DEFAULT
    """Database of calco crime load: a file that ends in .duckdb, or a URL."""

    out: str = "crime.html"
    """Page; its name ends in .html."""

    language: Language = "es"
    """Language in which the page opens: es or en; a button changes it."""

    def __post_init__(self) -> None:
        if Path(self.out).suffix.lower() not in (".html", ".htm"):
            raise CalcoError(f"--out {self.out} must end in .html")


def dashboard(config: DashboardConfig) -> Path:
    """Write the page of a database; return the file.

    Args:
        config: The database, the page and its language.

    Returns:
        The file.

    Raises:
        CalcoError: The database cannot be read or is empty, or the page cannot be written.
    """
    out = Path(config.out)
    check_folder(out)
    with writing_file(out, "calco crime dashboard"):
        atomic_write(out, page(read(config.source), language=config.language))
    return out


def read(url: str) -> ChartData:
    """Return the data of the charts of a database."""
    needs("ibis", "duckdb", "pyarrow")
    backend = connect(url)
    try:
        with database_errors(url, "add up"):
            found = cubes(backend)
    finally:
        backend.disconnect()
    if not found["robberies"][-1] and not found["crimes"][-1]:
        raise CalcoError(f"{redact_address(url)} holds neither robberies nor crimes; fill it with: calco crime load")
    return found


def page(found: ChartData, *, language: Language = "es") -> str:
    """Return the whole page as HTML."""
    data = dict(found)
    data["crime_years"] = sorted(set(found["crimes"][2]))
    data["outlines"] = json.loads((files("calco.crime.outlines") / "departments.json").read_text(encoding="utf-8"))
    data["all_departments"] = gazetteer().departments
    return render(
        "dashboard",
        title="Calco",
        language=language,
        charts=list(CHARTS),
        wide=_WIDE,
        tall=_TALL,
        data=Markup(json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")),
        plotly=Markup((files("calco.crime.plotly") / "plotly.min.js").read_text(encoding="utf-8")),
    )


@dataclass(frozen=True, kw_only=True)
class ChartConfig:
    """Write the charts as PNG and CSV."""

    chart: Annotated[str, Positional, arg(metavar="NAME")] = ""
    """all, or the name of a chart, such as robberies-by-district, crimes-by-year or map."""

    source: Annotated[str, arg(name="from")] = DEFAULT
    """Database of calco crime load: a file that ends in .duckdb, or a URL."""

    out: str = "charts"
    """Folder for the files."""

    format: Literal["both", "png", "csv"] = "both"
    """png needs Chromium or Chrome."""

    language: Language = "es"
    """Language of the images: es or en."""

    browser: str = ""
    """Program of the browser; by default found by its usual names."""

    seconds: int = 120
    """Seconds after which the browser is stopped."""

    def __post_init__(self) -> None:
        check_numbers(self, seconds=(1, 86_400))
        if not self.chart:
            raise CalcoError("no chart is named; name all, or one such as robberies-by-district")


def chart(config: ChartConfig) -> list[Path]:
    """Write a chart, or all of them.

    Args:
        config: The charts, the database and the folder.

    Returns:
        The files. A chart without data gives a CSV of its headers and no image.

    Raises:
        CalcoError: There is no such chart, no database or no browser, or the browser fails.
    """
    names = chart_names(config.chart)
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


def csv_of(name: str, found: ChartData) -> str:
    """Return the rows of a chart as CSV."""
    heads, rows = CHARTS[name]
    return csv_lines([heads, *rows(found)])


def images(names: Sequence[str], found: ChartData, config: ChartConfig, browser: str) -> dict[str, bytes]:
    """Return name => PNG, as a browser draws the page."""
    with tempfile.TemporaryDirectory(prefix="calco-charts-") as folder:
        file = Path(folder) / "crime.html"
        file.write_text(page(found, language=config.language), encoding="utf-8")
        command = [
            browser, "--headless", "--disable-gpu", "--no-sandbox", "--disable-background-networking",
            "--hide-scrollbars", f"--user-data-dir={folder}/profile", "--window-size=1240,1000",
            "--virtual-time-budget=100000", "--dump-dom", f"{file.as_uri()}#png={quote(','.join(names))}",
        ]  # fmt: skip
        try:
            printed = subprocess.run(command, capture_output=True, text=True, timeout=config.seconds, check=False)
        except subprocess.TimeoutExpired as error:
            raise CalcoError(f"{browser} did not draw within {config.seconds} s; give it more: --seconds") from error
        except OSError as error:
            raise CalcoError(
                f"cannot run {browser}: {error.strerror or error}; name another: --browser PATH"
            ) from error
    if 'data-images="yes"' not in printed.stdout:
        last = " ".join((printed.stderr.strip().splitlines() or [f"exit code {printed.returncode}"])[-1].split())[:200]
        raise CalcoError(f"{browser} did not draw the page ({last}); name another: --browser PATH")
    return {name: base64.b64decode(data) for name, data in _IMAGE.findall(printed.stdout)}


def _browser(wanted: str) -> str:
    for name in (wanted,) if wanted else _BROWSERS:
        if path := shutil.which(name):
            return path
    raise CalcoError(
        f"there is no {wanted or 'Chromium or Chrome'}, which draws the PNG files; install it (Debian: apt-get install "
        "chromium), name it with --browser PATH, or choose --format csv"
    )
