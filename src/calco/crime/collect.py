"""`calco crime collect`: the pages of DataCrim's panel into Parquet and CSV, resumed where an earlier call stopped."""

import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

from calco.addresses import redact_address
from calco.collecting.download import Failed
from calco.crime.clean import squeezed
from calco.crime.database import needs
from calco.crime.datacrim import COLUMNS
from calco.crime.fetch import FetchConfig, Fetcher
from calco.crime.reading import (
    LONGEST_LINE,
    Columns,
    csv_lines,
    guess_separator,
    open_text,
    plain,
    records,
    split_record,
)
from calco.errors import CalcoError, printable
from calco.files import atomic_write, explain, make_folder, put_in_place, replacing, sweep
from calco.journal import Journal
from calco.outputs import Outputs, writing_folder

_BLOCK: Final = 1 << 16  # characters that are taken at once
_AHEAD: Final = 50  # lines among which the names of the columns must stand
_ENDS_LINE: Final = frozenset({"br", "p", "div", "tr", "li", "pre", "body", "table", "title", "h1", "h2", "h3"})
_SILENT: Final = frozenset({"script", "style", "title"})


def page_records(
    path: str | Path, renamed: Mapping[str, str], encoding: str = ""
) -> Iterator[tuple[int, dict[str, str], str, list[str]]]:
    """Yield the line, the cells by the names of the columns, the fault ("" for none) and all fields of each record.

    Args:
        path: The raw page, CSV text by itself or in the body of HTML.
        renamed: Name of a column on the page => our name.
        encoding: Encoding of the page; detected if empty.

    Raises:
        CalcoError: No line names the columns, or one of them is missing.
    """
    columns = Columns(names=COLUMNS, renamed=renamed)
    with open_text(path, encoding) as (file, chosen):
        head = file.read(1024)
        pieces = chain([head], iter(lambda: file.read(_BLOCK), ""))
        lines = _lines(_text_of_page(pieces) if head.lstrip("\ufeff \r\n\t").startswith("<") else pieces)
        first = list(islice(lines, _AHEAD))
        places = [len(columns.places(split_record(line, guess_separator(line, columns)) or [])) for line in first]
        if not places or max(places) < 3:
            begins = " ".join("".join(first).split())[:80]
            raise CalcoError(f"no line names the columns {', '.join(COLUMNS)}; it begins with {begins!r}")
        at = places.index(max(places))
        sign = guess_separator(first[at], columns)
        header = [name.strip() for name in split_record(first[at].strip(), sign) or []]
        wanted = columns.checked(header, "the page")
        rest = chain(first[at + 1 :], lines)
        for line, fields, problem in records(rest, sign, header, chosen, first=at + 2):
            yield line, {} if problem else {name: fields[place] for name, place in wanted.items()}, problem, fields


def whole(path: str | Path) -> bool:
    """Return whether a page is complete: a page of HTML is closed."""
    with Path(path).open("rb") as file:
        begins = file.read(1024).lstrip(b"\xef\xbb\xbf \r\n\t").lower()
        file.seek(0, 2)
        file.seek(max(0, file.tell() - 1024))
        return not begins.startswith((b"<!doctype", b"<html")) or b"</html" in file.read().lower()


def _lines(pieces: Iterator[str]) -> Iterator[str]:
    """Text in pieces as lines with their ends."""
    held = ""
    for piece in pieces:
        held += piece
        *done, held = held.split("\n")
        yield from (f"{line}\n" for line in done)
        if len(held) > LONGEST_LINE:
            raise CalcoError(f"a line of more than {LONGEST_LINE:,} characters; it must be CSV")
    if held:
        yield held


class _Body(HTMLParser):
    """The text of a page, with an end of line where a page shows one."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text: list[str] = []
        self.silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
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


def _text_of_page(pieces: Iterator[str]) -> Iterator[str]:
    body = _Body()
    for piece in pieces:
        body.feed(piece)
        if len(body.rawdata) > LONGEST_LINE:  # a tag or a comment without an end
            raise CalcoError(f"a tag or a comment of more than {LONGEST_LINE:,} characters; it must be CSV, or a page")
        yield "".join(body.text)
        body.text.clear()
    body.close()
    yield "".join(body.text)


PANEL: Final = "https://datacrim.inei.gob.pe/csv_controller/index?desde=tematico&id={id}"
JOURNAL: Final = "collected.jsonl"
RAW: Final = "raw"
_ROWS: Final = 65_536  # written at once


@dataclass(frozen=True, kw_only=True)
class PanelConfig(FetchConfig):
    """Fetch DataCrim's panel into Parquet and CSV, and keeps the raw pages."""

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
        if wrong := [pair for pair in self.columns if "=" not in pair]:
            raise CalcoError(f"--columns {wrong[0]!r} must be of the form 'ITS NAME=OUR NAME'")
        years_of(self.years)


@dataclass
class PanelResult:
    """Result of a collection.

    Attributes:
        folder: The folder.
        pages: Number of usable pages.
        kept: Number of those that an earlier call had fetched.
        rows: Number of rows written.
        other_years: Number of rows of other years.
        unreadable: Number of unreadable records, which unreadable.csv holds.
        left_out: Name and reason of each page that cannot be used.
    """

    folder: Path
    pages: int = 0
    kept: int = 0
    rows: int = 0
    other_years: int = 0
    unreadable: int = 0
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Page:
    name: str
    address: str

    @property
    def asked(self) -> str:
        """Digest of the address, which may hold a password."""
        return hashlib.sha256(self.address.encode()).hexdigest()


def years_of(text: str) -> list[int]:
    """Return the years that a text names.

    >>> years_of("2015-2017,2019")
    [2015, 2016, 2017, 2019]

    Raises:
        CalcoError: The text names none.
    """
    years: list[int] = []
    for piece in text.split(","):
        found = re.fullmatch(r"\s*(\d{4})(?:\s*-\s*(\d{4}))?\s*", piece)
        if not found or int(found[2] or found[1]) < int(found[1]):
            raise CalcoError(f"--years {text!r} must be years such as 2015-2019 or 2017,2019")
        years += range(int(found[1]), int(found[2] or found[1]) + 1)
    return sorted(set(years))


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
    needs("httpx", "pyarrow")
    pages = _pages(config)
    # Files that were changed since they were fetched are fetched again.
    with writing_folder(config.out, "calco crime collect", overwrite=True) as outputs:
        return _collect(config, pages, outputs, progress)


def _collect(
    config: PanelConfig, pages: Sequence[_Page], outputs: Outputs, progress: Callable[[int, int], None] | None
) -> PanelResult:
    folder = outputs.folder
    outputs.check(folder / name for name in (JOURNAL, "datacrim.parquet", "datacrim.csv", "unreadable.csv"))
    outputs.check(make_folder(folder / RAW) / f"{page.name}.txt" for page in pages)
    sweep(folder)
    done = PanelResult(folder)
    fetched = _Fetched(folder / JOURNAL)
    outputs.record(folder / JOURNAL, grows=True)
    with closing(Fetcher(config)) as fetcher:
        for count, page in enumerate(pages, 1):
            try:
                done.kept += _have(page, folder / RAW, fetcher, fetched, config)
            except Failed as failure:
                done.left_out[page.name] = f"{failure} ({redact_address(page.address)})"
            if progress:
                progress(count, len(pages))
    _write([page for page in pages if page.name not in done.left_out], done, config)
    return done


def _pages(config: PanelConfig) -> list[_Page]:
    years = [str(year) for year in years_of(config.years)] if "{year}" in config.address else [""]
    pages = []
    for number in config.ids or ("",):
        for year in years:
            name = "-".join(filter(None, (number.replace(",", "_")[:100], year))) or "page"
            pages.append(_Page(name, config.address.replace("{id}", number).replace("{year}", year)))
    return pages


class _Fetched:
    """The pages that are there, by the journal of the folder."""

    def __init__(self, path: Path) -> None:
        self.journal = Journal(path)
        self.rows = {str(row.get("page")): row for row in self.journal.rows()}

    def holds(self, page: _Page, file: Path) -> bool:
        row = self.rows.get(page.name, {})
        return row.get("asked") == page.asked and file.is_file() and file.stat().st_size == row.get("bytes")

    def add(self, page: _Page, file: Path) -> None:
        with file.open("rb") as held:
            sha256 = hashlib.file_digest(held, "sha256").hexdigest()
        row = {
            "page": page.name,
            "address": redact_address(page.address),
            "asked": page.asked,
            "file": f"{RAW}/{file.name}",
            "bytes": file.stat().st_size,
            "sha256": sha256,
        }
        self.rows[page.name] = row
        self.journal.add(row)


def _have(page: _Page, raw: Path, fetcher: Fetcher, fetched: _Fetched, config: PanelConfig) -> bool:
    """Fetch a page unless it is there; return whether it was there."""
    file, part = raw / f"{page.name}.txt", raw / f".{page.name}.part"
    if not config.again and fetched.holds(page, file):
        return True
    fetcher.fetch(page.address, part, whole)
    try:
        put_in_place(part, file)
        fetched.add(page, file)
    except OSError as error:
        raise explain(error, file, "write") from error
    return False


def _write(pages: Sequence[_Page], done: PanelResult, config: PanelConfig) -> None:
    """Write all rows of all pages as they came, and the unreadable records apart."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.string()) for name in COLUMNS])
    unreadable: list[tuple[str, int, str, str]] = []
    with (
        replacing(done.folder / "datacrim.parquet") as parquet,
        replacing(done.folder / "datacrim.csv") as text,
        text.open("w", encoding="utf-8", newline="") as file,
        pq.ParquetWriter(parquet, schema, compression="zstd") as writer,
    ):
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(COLUMNS)
        for rows in _chunks(pages, done, config, unreadable):
            lines.writerows([plain(cell) for cell in row] for row in rows)
            writer.write_table(pa.table(list(map(list, zip(*rows, strict=True))), schema=schema))
        if not done.rows:
            reasons = [f"{name}: {why}" for name, why in done.left_out.items()]
            raise CalcoError(f"no row was collected; {(reasons or ['the pages hold none'])[0]}")
    content = [("Pagina", "Linea", "Motivo", "Registro"), *unreadable]
    atomic_write(done.folder / "unreadable.csv", csv_lines(content))


def _chunks(
    pages: Sequence[_Page], done: PanelResult, config: PanelConfig, unreadable: list[tuple[str, int, str, str]]
) -> Iterator[list[list[str]]]:
    years = set(years_of(config.years))
    renamed = dict(pair.split("=", 1) for pair in config.columns)
    rows: list[list[str]] = []
    for page in pages:
        try:
            for line, cells, problem, fields in page_records(
                done.folder / RAW / f"{page.name}.txt", renamed, config.encoding
            ):
                if problem:
                    record = json.dumps(fields, ensure_ascii=False)
                    unreadable.append((page.name, line, problem, printable(record)))
                    done.unreadable += 1
                elif _year(cells["Año"]) not in years | {None}:
                    done.other_years += 1
                else:
                    rows.append(list(cells.values()))
                    done.rows += 1
                if len(rows) == _ROWS:
                    yield rows
                    rows = []
            done.pages += 1
        except CalcoError as error:
            done.left_out[page.name] = f"{error} ({redact_address(page.address)})"
    if rows:
        yield rows


def _year(text: str) -> int | None:
    """A year; other texts stay among the rows, and the load rejects them."""
    found: Any = re.fullmatch(r"\d{4}", squeezed(text))
    return int(found[0]) if found else None
