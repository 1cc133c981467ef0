"""`calco crime collect`: the pages of DataCrim's panel into Parquet and CSV, resumed where an earlier call stopped."""

import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

from calco.addresses import redact_address
from calco.collecting import FetchConfig
from calco.collecting.fetch import Failed, Fetcher, run_in_loop
from calco.crime.clean import squeezed
from calco.crime.datacrim import COLUMNS
from calco.crime.reading import (
    LONGEST_LINE,
    Columns,
    Table,
    bounded_lines,
    csv_lines,
    open_table,
    open_text,
    plain,
    renames,
)
from calco.errors import CalcoError, needs, printable
from calco.files import atomic_write, explain, make_folder, put_in_place, replacing, sweep
from calco.journal import Journal
from calco.outputs import writing_folder

PANEL: Final = "https://datacrim.inei.gob.pe/csv_controller/index?desde=tematico&id={id}"
JOURNAL: Final = "collected.jsonl"
RAW: Final = "raw"
_ROWS: Final = 65_536  # written at once
_BLOCK: Final = 1 << 16  # characters read at once
_ENDS_LINE: Final = frozenset({"br", "p", "div", "tr", "li", "pre", "body", "table", "title", "h1", "h2", "h3"})
_SILENT: Final = frozenset({"script", "style", "title"})


@dataclass(frozen=True, kw_only=True)
class PanelConfig(FetchConfig):
    """Fetch DataCrim's panel into Parquet and CSV, and keep the raw pages."""

    out: str
    """Folder for datacrim.parquet, datacrim.csv, the unreadable records, and raw/ with the pages as they came."""

    address: str = PANEL
    """Address of the panel; {id} and {year} stand for each of --ids and --years."""

    ids: tuple[str, ...] = ()
    """Numbers of the tables, as the panel's own download names them."""

    years: str = "2015-2019"
    """Years, such as 2015-2019 or 2017,2019, each its own page if the address holds {year}. Others are left out."""

    columns: tuple[str, ...] = ()
    """Columns with other names: "ITS NAME=OUR NAME"."""

    encoding: str = ""
    """Encoding of the pages; detected by default."""

    again: bool = False
    """Fetch pages again that an earlier call has fetched."""

    pause: float = 1.0
    """Seconds between two requests; doubled with each failure."""

    timeout: float = 30.0
    """Seconds of silence after which an attempt fails."""

    patience: float = 900.0
    """Seconds that one attempt may take in all."""

    retries: int = 4
    """Repetitions after silence, a broken connection, an error of the server or an incomplete page."""

    largest: float = 2000.0
    """Megabytes above which an answer is refused."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.address.startswith(("http://", "https://")):
            raise CalcoError(f"--address {redact_address(self.address)} must begin with http:// or https://")
        if unknown := set(re.findall(r"\{(.*?)\}", self.address)) - {"id", "year"}:
            raise CalcoError(f"--address may hold {{id}} and {{year}}, not {{{min(unknown)}}}")
        if ("{id}" in self.address) != bool(self.ids):
            raise CalcoError(
                "--ids names no table, and the address holds {id}; give one such as --ids 40173"
                if not self.ids
                else "--ids is given, and the address has no {id}; leave out one of them"
            )
        if wrong := [one for one in self.ids if not re.fullmatch(r"[\w.,-]+", one)]:
            raise CalcoError(f"--ids {wrong[0]!r} must be letters, digits, commas, points and hyphens")
        renames(self.columns)
        years_of(self.years)


@dataclass
class PanelResult:
    """Result of a collection."""

    folder: Path
    pages: int = 0  # usable pages
    kept: int = 0  # pages that an earlier call had fetched
    rows: int = 0  # rows written
    other_years: int = 0  # rows of other years, left out
    unreadable: int = 0  # records that cannot be read, which unreadable.csv holds
    left_out: dict[str, str] = field(default_factory=dict)  # name of a page => reason


def years_of(text: str) -> list[int]:
    """Return the years that a text names.

    >>> years_of("2015-2017,2019")
    [2015, 2016, 2017, 2019]
    """
    years: set[int] = set()
    for piece in text.split(","):
        found = re.fullmatch(r"\s*(\d{4})(?:\s*-\s*(\d{4}))?\s*", piece)
        if not found or int(found[2] or found[1]) < int(found[1]):
            raise CalcoError(f"--years {text!r} must be years such as 2015-2019 or 2017,2019")
        years |= set(range(int(found[1]), int(found[2] or found[1]) + 1))
    return sorted(years)


def collect(config: PanelConfig, progress: Callable[[int, int], None] | None = None) -> PanelResult:
    """Fetch the pages and write their rows.

    A page that cannot be fetched, or has other columns, is left out and listed.

    Args:
        config: The pages and the folder.
        progress: Called with the pages done and their number.

    Returns:
        Folder, numbers of rows and pages, and what was left out.

    Raises:
        CalcoError: No page can be used, or the folder cannot be written.
    """
    needs("httpx", "pyarrow", extra="crime")
    years = [str(year) for year in years_of(config.years)] if "{year}" in config.address else [""]
    pages = {
        "-".join(filter(None, (number.replace(",", "_")[:100], year))) or "page": config.address.replace(
            "{id}", number
        ).replace("{year}", year)
        for number in config.ids or ("",)
        for year in years
    }
    # Files that were changed since they were fetched are fetched again.
    with writing_folder(config.out, "calco crime collect", overwrite=True) as outputs:
        folder = outputs.folder
        outputs.check(folder / name for name in (JOURNAL, "datacrim.parquet", "datacrim.csv", "unreadable.csv"))
        outputs.check(make_folder(folder / RAW) / f"{name}.txt" for name in pages)
        sweep(folder)
        journal = Journal(folder / JOURNAL)
        outputs.record(folder / JOURNAL, grows=True)
        collecting = _Collecting(config, pages, PanelResult(folder))
        run_in_loop(lambda: collecting.fetch(journal, progress))
        collecting.write()
    return collecting.done


class _Collecting:
    """One call of `collect`; `pages` maps names to addresses."""

    def __init__(self, config: PanelConfig, pages: Mapping[str, str], done: PanelResult) -> None:
        self.config, self.pages, self.done = config, pages, done
        self.unreadable: list[tuple[str, int, str, str]] = []  # page, line, fault, record

    def leave_out(self, name: str, error: Exception) -> None:
        self.done.left_out[name] = f"{error} ({redact_address(self.pages[name])})"

    async def fetch(self, journal: Journal, progress: Callable[[int, int], None] | None) -> None:
        """Fetch the pages, one request after the other; the journal lists those that are there."""
        import anyio

        rows = {str(row.get("page")): row for row in journal.rows()}
        raw, pause = self.done.folder / RAW, 0.0
        accept = "text/csv,text/html,*/*;q=0.5"
        async with Fetcher(self.config, self.pages.values(), private=True, accept=accept) as fetcher:
            for count, (name, address) in enumerate(self.pages.items(), 1):
                file, part = raw / f"{name}.txt", raw / f".{name}.part"
                asked = hashlib.sha256(address.encode()).hexdigest()  # the address may hold a password
                row = rows.get(name, {})
                there = row.get("asked") == asked and file.is_file() and file.stat().st_size == row.get("bytes")
                if there and not self.config.again:
                    self.done.kept += 1
                else:
                    await anyio.sleep(pause)
                    pause = self.config.pause
                    try:
                        sha256 = await fetcher.fetch(address, part, _check_whole)
                        named = {"page": name, "address": redact_address(address), "asked": asked}
                        held = {"file": f"{RAW}/{file.name}", "bytes": part.stat().st_size, "sha256": sha256}
                        put_in_place(part, file)
                        journal.add(named | held)
                    except Failed as failure:
                        self.leave_out(name, failure)
                    except OSError as error:
                        raise explain(error, file, "write") from error
                if progress:
                    progress(count, len(self.pages))

    def write(self) -> None:
        """Write all rows of all pages as they came, and the unreadable records apart."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        done = self.done
        schema = pa.schema([(name, pa.string()) for name in COLUMNS])
        with (
            replacing(done.folder / "datacrim.parquet") as parquet,
            replacing(done.folder / "datacrim.csv") as text,
            text.open("w", encoding="utf-8", newline="") as file,
            pq.ParquetWriter(parquet, schema, compression="zstd") as writer,
        ):
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(COLUMNS)
            rows = self._rows()
            while chunk := list(islice(rows, _ROWS)):
                lines.writerows([plain(cell) for cell in row] for row in chunk)
                writer.write_table(pa.table(list(map(list, zip(*chunk, strict=True))), schema=schema))
                done.rows += len(chunk)
            if not done.rows:
                reasons = [f"{name}: {why}" for name, why in done.left_out.items()]
                raise CalcoError(f"no row was collected; {(reasons or ['the pages hold none'])[0]}")
        done.unreadable = len(self.unreadable)
        content = [("Pagina", "Linea", "Motivo", "Registro"), *self.unreadable]
        atomic_write(done.folder / "unreadable.csv", csv_lines(content))

    def _rows(self) -> Iterator[list[str]]:
        """Yield the rows of the wanted years; rows whose year cannot be read stay, and the load rejects them."""
        years = {str(year) for year in years_of(self.config.years)}
        for name in [name for name in self.pages if name not in self.done.left_out]:
            try:
                with _page(self.done.folder / RAW / f"{name}.txt", self.config) as table:
                    for line, fields, problem in table.records:
                        if problem:
                            record = printable(json.dumps(fields, ensure_ascii=False))
                            self.unreadable.append((name, line, problem, record))
                            continue
                        year = squeezed(fields[table.places["Año"]])
                        if re.fullmatch(r"\d{4}", year) and year not in years:
                            self.done.other_years += 1
                        else:
                            yield [fields[place] for place in table.places.values()]
                self.done.pages += 1
            except CalcoError as error:
                self.leave_out(name, error)


def _check_whole(path: Path) -> str:
    """Check that a page of HTML is closed; return the SHA-256 of the page."""
    with path.open("rb") as file:
        begins = file.read(1024).lstrip(b"\xef\xbb\xbf \r\n\t").lower()
        file.seek(max(0, path.stat().st_size - 1024))
        if begins.startswith((b"<!doctype", b"<html")) and b"</html" not in file.read().lower():
            raise Failed("the page is incomplete", 0.0)
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _page(path: Path, config: PanelConfig) -> Iterator[Table]:
    """Open a page of CSV, or of HTML around it."""
    with open_text(path, config.encoding) as (file, chosen):
        is_html = file.read(1024).lstrip("\ufeff \r\n\t").startswith("<")
        file.seek(0)
        lines = _lines_of_html(file) if is_html else bounded_lines(file, "the page")
        yield open_table(lines, Columns(names=COLUMNS, renamed=renames(config.columns)), "the page", chosen)


class _Body(HTMLParser):
    """Text of a page, with an end of line where a browser shows one."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text: list[str] = []
        self.silent = 0

    def handle_starttag(self, tag: str, *_: Any) -> None:
        self.silent += tag in _SILENT
        if tag in _ENDS_LINE:
            self.text.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self.silent -= tag in _SILENT and self.silent > 0
        if tag in _ENDS_LINE:
            self.text.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.text.append(data)


def _lines_of_html(file: IO[str]) -> Iterator[str]:
    """Yield the text of a page as lines with their ends, block by block."""
    body, held = _Body(), ""
    while piece := file.read(_BLOCK):
        body.feed(piece)
        *done, held = (held + "".join(body.text)).split("\n")
        body.text.clear()
        yield from (f"{line}\n" for line in done)
        if max(len(held), len(body.rawdata)) > LONGEST_LINE:  # a tag or a comment without an end
            raise CalcoError(f"a line or a tag of more than {LONGEST_LINE:,} characters; it must be CSV, or a page")
    body.close()
    yield from (f"{line}\n" for line in (held + "".join(body.text)).split("\n"))
