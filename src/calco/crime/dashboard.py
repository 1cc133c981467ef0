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
from tyro.conf import arg

from calco.addresses import redact_address
from calco.crime.cubes import CHARTS, Cube, chart_names, cubes
from calco.crime.database import DEFAULT, connect, needs
from calco.crime.gazetteer import gazetteer
from calco.crime.reading import csv_lines
from calco.errors import CalcoError
from calco.files import atomic_write
from calco.outputs import writing_file, writing_folder
from calco.records import check_numbers
from calco.report.page import render

Language = Literal["es", "en"]
_WIDE: Final = frozenset({"crimes-by-year", "modalities", "crimes-by-district"})
_TALL: Final = frozenset(
    {
        "crimes-by-year",
        "modalities",
        "places",
        "map",
        "robberies-by-district",
        "ages",
        "occupations",
        "generics-by-year",
    }
)


@dataclass(frozen=True, kw_only=True)
class DashboardConfig:
    """Which database is drawn, and where to."""

    source: Annotated[str, arg(name="from")] = DEFAULT
    """The database that calco crime load made: a file that ends in .duckdb, or a URL."""

    out: str = "crime.html"
    """The page: it ends in .html."""

    language: Language = "es"
    """The language that the page opens in: es or en; a button changes it."""

    def __post_init__(self) -> None:
        if Path(self.out).suffix.lower() not in (".html", ".htm"):
            raise CalcoError(f"--out {self.out} must end in .html")


def dashboard(config: DashboardConfig) -> Path:
    """Writes the page of a database.

    Raises:
        CalcoError: When the database cannot be read, holds neither robberies nor crimes, or the page cannot be written.
    """
    out = Path(config.out)
    if not out.parent.is_dir():
        raise CalcoError(f"cannot write {out}: there is no folder {out.parent}; make it, or choose another path")
    with writing_file(out, "calco crime dashboard"):
        atomic_write(out, page(read(config.source), language=config.language))
    return out


def read(url: str) -> Cube:
    """The cubes of a database.

    Raises:
        CalcoError: When it cannot be read, or holds neither robberies nor crimes.
    """
    from calco.crime.database import reason

    needs("ibis", "duckdb", "pyarrow")
    backend = connect(url)
    try:
        found = cubes(backend)
    except CalcoError:
        raise
    except Exception as error:  # each database has errors of its own
        raise CalcoError(f"{redact_address(url)} cannot be added up: {reason(error, url)}") from error
    finally:
        backend.disconnect()
    if not found["robberies"][-1] and not found["crimes"][-1]:
        raise CalcoError(f"{redact_address(url)} holds neither robberies nor crimes; fill it with: calco crime load")
    return found


def page(found: Cube, *, language: Language = "es") -> str:
    """The whole page as HTML, to be written, or to be served.

    Args:
        found: What `cubes` gives.
        language: That it opens in.
    """
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
    names = chart_names(name)
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
