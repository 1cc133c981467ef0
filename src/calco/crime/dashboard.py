"""The ten charts and a map on one page that needs no network, in Spanish and English, with filters that act on all."""

import base64
import json
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import quote

from markupsafe import Markup
from tyro.conf import Positional, arg

from calco.addresses import redact_address
from calco.crime.database import DEFAULT, check_folder, connect, database_errors
from calco.crime.gazetteer import gazetteer
from calco.crime.queries import Tables, to_arrow
from calco.crime.reading import csv_lines
from calco.errors import CalcoError, needs
from calco.files import atomic_write
from calco.outputs import writing_file, writing_folder
from calco.records import check_numbers
from calco.report.page import render

UNKNOWN_YEAR: Final = 0  # a robbery without a date
MOST: Final = 60  # ages and occupations with a name of their own; rarer ones share the last
REST: Final = "(…)"
SAN_JUAN_DE_LURIGANCHO: Final = 150_132
ChartData: TypeAlias = dict[str, Any]
Rows: TypeAlias = list[tuple[Any, ...]]
Language = Literal["es", "en"]
_WIDE: Final = ("crimes-by-year", "modalities", "crimes-by-district")
_TALL: Final = (
    "crimes-by-year", "modalities", "places", "map", "robberies-by-district", "ages", "occupations", "generics-by-year"
)  # fmt: skip
_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
_IMAGE: Final = re.compile(r'<img id="png-([a-z-]+)" alt="" src="data:image/png;base64,([^"]+)">')


def cubes(backend: Any) -> ChartData:
    """Return the counts of a database, ready for JSON: lists of equal length, names by their place in other lists.

    The database adds up and the page only sums the selected cells, so the size depends on the number of places, kinds
    and years, and not on the number of rows.

    Returns:
        `places`: lists of (UBIGEO, name) of departments, provinces and districts that occur. `kinds`, `weapons`,
        `ages`, `occupations`, `generics`, `specifics`, `modalities`: names. `robberies`: district, kind, weapon, year
        and count; `victims` and `work`: department, age or occupation, kind, weapon, year, count. `crimes`: district,
        generic, year, count; `modes`: department, modality, year, count.
    """
    held = Tables(backend)
    held.check()

    def frame(expression: Any) -> Any:
        return to_arrow(backend, expression).to_pandas()

    table = held["Robos_Lima"]
    rows = table.select(
        district="Id_Distrito", kind="Id_Tipo_Robo", weapon="Tipo_Arma", age="Edad_Victima", occupation="Ocupacion",
        year=table.Fecha.year().cast("int64").fill_null(UNKNOWN_YEAR),
    )  # fmt: skip
    robberies = frame(rows.group_by(rows.columns).aggregate(n=rows.count()))
    table = held["Crimenes_DataCrim"]
    sums = table.group_by(district="Id_Distrito", modality="Id_Modalidad", year="Anio")
    crimes = frame(sums.aggregate(n=table.Numero_Ocurrencias.cast("int64").sum().cast("int64")))

    districts = sorted({*robberies["district"], *crimes["district"]})
    departments = sorted({key // 10_000 for key in districts})
    for one in (robberies, crimes):
        one["department"] = _positions(departments, one["district"] // 10_000)
        one["district"] = _positions(districts, one["district"])

    kinds = frame(held["Tipo_Robo"].order_by("id"))
    robberies["kind"] = _positions(kinds["id"], robberies["kind"])
    names = {column: _shorten(robberies, column) for column in ("weapon", "age", "occupation")}

    generics, specifics, modalities = (
        frame(held[name].order_by("id")) for name in ("Crimen_Generico", "Crimen_Especifico", "Modalidad_Crimen")
    )
    generic_of = _positions(generics["id"], specifics["Id_Generico"])
    specific_of = _positions(specifics["id"], modalities["Id_Especifico"])
    crimes["modality"] = _positions(modalities["id"], crimes["modality"])
    crimes["generic"] = generic_of[specific_of[crimes["modality"]]]
    provinces = sorted({key // 100 for key in districts})
    return {
        "places": {
            "districts": _places(held, "Distrito", districts),
            "provinces": _places(held, "Provincia", provinces),
            "departments": _places(held, "Departamento", departments),
        },
        "generics": generics["Nombre_Generico"].tolist(),
        "specifics": [list(pair) for pair in zip(specifics["Nombre_Especifico"], generic_of.tolist(), strict=True)],
        "modalities": [list(pair) for pair in zip(modalities["Nombre_Modalidad"], specific_of.tolist(), strict=True)],
        "kinds": kinds["Tipo"].tolist(),
        "weapons": names["weapon"],
        "ages": names["age"],
        "occupations": names["occupation"],
        "robberies": _columns(robberies, "district", "kind", "weapon", "year"),
        "victims": _columns(robberies, "department", "age", "kind", "weapon", "year"),
        "work": _columns(robberies, "department", "occupation", "kind", "weapon", "year"),
        "crimes": _columns(crimes, "district", "generic", "year"),
        "modes": _columns(crimes, "department", "modality", "year"),
        "years": sorted({*robberies["year"].tolist(), *crimes["year"].tolist()}),
        "crime_years": sorted({*crimes["year"].tolist()}),
    }


def _places(held: Tables, table: str, keys: Sequence[int]) -> list[list[Any]]:
    """Return the (UBIGEO, name) of places."""
    rows = to_arrow(held.backend, held[table].select("id", f"Nombre_{table}")).to_pylist()
    return sorted(list(row.values()) for row in rows if row["id"] in {*keys})


def _positions(keys: Any, values: Any) -> Any:
    """Return the place of each value in a list of keys."""
    import pandas as pd

    found = pd.Index(keys).get_indexer(values)
    if (found < 0).any():
        raise CalcoError("a table refers to rows that another one lacks; load the sources again")
    return found


def _shorten(frame: Any, column: str) -> list[str]:
    """Replace the names in a column by their place in the returned list: most frequent first, rare ones last."""
    counts = frame.groupby(column, as_index=False)["n"].sum()
    names: list[str] = counts.sort_values(["n", column], ascending=[False, True])[column].tolist()
    if len(names) > MOST:
        names = [*names[: MOST - 1], REST]
    places = {name: place for place, name in enumerate(names)}
    frame[column] = [places.get(name, len(names) - 1) for name in frame[column]]
    return names


def _columns(frame: Any, *keys: str) -> list[list[int]]:
    """Return the cells of a frame as lists: one for each key, and the counts."""
    cells = frame.groupby(list(keys), as_index=False)["n"].sum()
    return [cells[name].tolist() for name in (*keys, "n")]


def _ranked(cube: ChartData, columns: str, key: Callable[..., Hashable | None]) -> list[tuple[Any, int]]:
    """Return the counts by a key of each cell (None leaves it out), most first; keys with a year by year before."""
    counts: Counter[Any] = Counter()
    for *cell, count in zip(*cube[columns], strict=True):
        if (found := key(*cell)) is not None:
            counts[found] += count
    return sorted(counts.items(), key=lambda item: (item[0][0] if isinstance(item[0], tuple) else 0, -item[1], item[0]))


def _district(cube: ChartData, place: int) -> tuple[str, str, str]:
    key, name = cube["places"]["districts"][place]
    return name, dict(cube["places"]["provinces"])[key // 100], dict(cube["places"]["departments"])[key // 10_000]


def _robberies_by_district(cube: ChartData) -> Rows:
    counts = _ranked(cube, "robberies", lambda place, *_: place)
    return [(*_district(cube, place)[:2], count) for place, count in counts]


def _named(names: str, columns: str, at: int) -> Callable[[ChartData], Rows]:
    """Return what counts by the names in one column."""
    return lambda cube: [(cube[names][place], n) for place, n in _ranked(cube, columns, lambda *cell: cell[at])]


def _kinds_in_san_juan(cube: ChartData) -> Rows:
    keys = [key for key, _ in cube["places"]["districts"]]
    counts = _ranked(cube, "robberies", lambda place, kind, *_: kind if keys[place] == SAN_JUAN_DE_LURIGANCHO else None)
    return [(cube["kinds"][kind], count) for kind, count in counts]


def _crimes_by_district(cube: ChartData) -> Rows:
    counts = _ranked(cube, "crimes", lambda place, _, year: place if year == cube["crime_years"][-1] else None)
    return [(*_district(cube, place), count) for place, count in counts]


def _crimes_by_year(cube: ChartData) -> Rows:
    provinces, departments = dict(cube["places"]["provinces"]), dict(cube["places"]["departments"])
    keys = [key // 100 for key, _ in cube["places"]["districts"]]
    counts = _ranked(cube, "crimes", lambda place, _, year: (year, keys[place]))
    return [(year, provinces[key], departments[key // 100], count) for (year, key), count in counts]


def _crimes_by_place(cube: ChartData) -> Rows:
    counts = sorted(_ranked(cube, "crimes", lambda place, *_: place))
    return [(*_district(cube, place)[::-1], count) for place, count in counts]


def _modalities(cube: ChartData) -> Rows:
    rows: Rows = []
    for place, count in _ranked(cube, "modes", lambda _, mode, __: mode):
        name, specific = cube["modalities"][place]
        specific_name, generic = cube["specifics"][specific]
        rows.append((name, specific_name, cube["generics"][generic], count))
    return rows


def _generics_by_year(cube: ChartData) -> Rows:
    counts = _ranked(cube, "crimes", lambda _, generic, year: (year, generic))
    return [(year, cube["generics"][generic], count) for (year, generic), count in counts]


def _map(cube: ChartData) -> Rows:
    keys = [key // 10_000 for key, _ in cube["places"]["districts"]]
    crimes, robberies = (
        dict(_ranked(cube, columns, lambda place, *_: keys[place])) for columns in ("crimes", "robberies")
    )
    rows = [(name, crimes.get(key, 0), robberies.get(key, 0)) for key, name in cube["places"]["departments"]]
    return sorted(rows, key=lambda row: (-row[1], -row[2], row[0]))


# Name => the headers of its columns, and its rows; in the order of the page.
CHARTS: Final[dict[str, tuple[tuple[str, ...], Callable[[ChartData], Rows]]]] = {
    "robberies-by-district": (("Distrito", "Provincia", "Robos"), _robberies_by_district),
    "ages": (("Edad de la víctima", "Robos"), _named("ages", "victims", 1)),
    "kinds-in-san-juan": (("Tipo de robo", "Robos"), _kinds_in_san_juan),
    "kinds": (("Tipo de robo", "Robos"), _named("kinds", "robberies", 1)),
    "crimes-by-district": (("Distrito", "Provincia", "Departamento", "Delitos"), _crimes_by_district),
    "crimes-by-year": (("Año", "Provincia", "Departamento", "Delitos"), _crimes_by_year),
    "occupations": (("Ocupación de la víctima", "Robos"), _named("occupations", "work", 1)),
    "places": (("Departamento", "Provincia", "Distrito", "Delitos"), _crimes_by_place),
    "modalities": (("Modalidad", "Específico", "Genérico", "Delitos"), _modalities),
    "generics-by-year": (("Año", "Genérico", "Delitos"), _generics_by_year),
    "map": (("Departamento", "Delitos", "Robos"), _map),
}


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
    needs("ibis", "duckdb", "pyarrow", extra="crime")
    backend = connect(url)
    try:
        with database_errors(url, "add up"):
            found = cubes(backend)
    finally:
        backend.disconnect()
    if not found["robberies"][-1] and not found["crimes"][-1]:
        raise CalcoError(f"{redact_address(url)} holds neither robberies nor crimes; fill it with: calco crime load")
    return found


def page(found: ChartData, *, language: Language = "es", home: str = "") -> str:
    """Return the whole page as HTML.

    Args:
        found: What the charts show, from `read`.
        language: Language in which it opens.
        home: Where the name at the top leads, such as / in the studio; nowhere in a file of its own.
    """
    data = dict(found)
    data["outlines"] = json.loads((files("calco.crime") / "outlines" / "departments.json").read_text(encoding="utf-8"))
    data["all_departments"] = gazetteer().departments
    return render(
        "dashboard",
        title="Calco",
        language=language,
        home=home,
        charts=list(CHARTS),
        wide=_WIDE,
        tall=_TALL,
        data=Markup(json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")),
        plotly=Markup((files("calco.crime") / "plotly" / "plotly.min.js").read_text(encoding="utf-8")),
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
    if config.chart not in ("all", *CHARTS):
        raise CalcoError(f"{config.chart!r}: there is no such chart; name all, or {', '.join(CHARTS)}")
    names = list(CHARTS) if config.chart == "all" else [config.chart]
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
