"""`calco crime load`: the sources into the nine tables; each row ends in a table or in the rejects."""

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import astuple, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from calco.addresses import redact_address
from calco.crime.clean import fold
from calco.crime.database import DEFAULT, Store, arrow, check_folder, duckdb_path, open_store
from calco.crime.datacrim import COLUMNS as DATACRIM_COLUMNS
from calco.crime.datacrim import Cleaner, batches
from calco.crime.gazetteer import gazetteer
from calco.crime.reading import csv_lines, renames
from calco.crime.robberies import COLUMNS as ROBBERY_COLUMNS
from calco.crime.robberies import CleanedRows, Reject, clean_robberies, read_kinds, robbery_rows
from calco.crime.schema import DATACRIM, REJECTS, ROBBERIES, TABLES
from calco.crime.workbook import is_workbook
from calco.errors import CalcoError, needs
from calco.files import replacing
from calco.outputs import locked_file, writing_file

DATACRIM_REJECTS: Final = 1_000_000  # above which their rejects are numbered
MANY: Final = 10_000_000  # rows of DataCrim from which their table gets no keys unless asked for
VERB: Final = "calco crime load"
Progress = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class LoadConfig:
    """Clean the sources and load them into a database; each row ends in a table or in the rejects."""

    robberies: str = ""
    """Robberies of Data Criminal: CSV in any encoding and with any separator, or the workbook (.xlsx)."""

    kinds: str = ""
    """Kinds of robbery with their descriptions: CSV, or the workbook. The workbook of robberies holds them too."""

    datacrim: str = ""
    """Rows of DataCrim, as calco crime collect or generate writes them: Parquet, CSV, or a workbook."""

    to: str = DEFAULT
    """Database: a file that ends in .duckdb, or a URL such as mysql://USER:PASSWORD@HOST:3306/DATABASE."""

    rejects: str = ""
    """CSV file of the rows that are in no table; by default beside the DuckDB file, or rechazos.csv."""

    encoding: str = ""
    """Encoding of the CSV files; detected by default."""

    separator: str = ""
    """Separator of the CSV files; detected by default."""

    sheets: tuple[str, ...] = ()
    """Sheets of the workbook of robberies; by default all that have the columns."""

    columns: tuple[str, ...] = ()
    """Columns with other names: "ITS NAME=OUR NAME"."""

    keep_several: bool = False
    """Keep robberies whose age or gender names several groups of persons ("Hombre / Mujer"), with the cell as it is."""

    keys: Literal["auto", "yes", "no"] = "auto"
    """Whether the table of DataCrim's crimes has keys; auto: below ten million rows, because keys cost memory."""

    def __post_init__(self) -> None:
        if not (self.robberies or self.datacrim):
            raise CalcoError("no source is named; give --robberies FILE with --kinds FILE, --datacrim FILE, or both")
        if self.robberies and not self.kinds and not is_workbook(self.robberies):
            raise CalcoError("--robberies needs --kinds FILE, the kinds of robbery")
        if self.kinds and not self.robberies:
            raise CalcoError("--kinds is for robberies; give --robberies FILE as well")
        renames(self.columns)
        if len(self.separator) > 1:
            raise CalcoError(f"--separator {self.separator!r}: it must be one character")
        # Options that have no effect are refused.
        tables = [Path(one).suffix.lower() for one in (self.robberies, self.kinds, self.datacrim) if one]
        if (self.encoding or self.separator) and all(one in (".xlsx", ".xlsm", ".parquet", ".pq") for one in tables):
            raise CalcoError("--encoding and --separator are for CSV files, and none is given; leave them out")
        if self.sheets and not is_workbook(self.robberies):
            raise CalcoError("--sheets is for a workbook of robberies; give it: --robberies FILE.xlsx")
        if self.keep_several and not self.robberies:
            raise CalcoError("--keep-several is for robberies; give --robberies FILE as well")


@dataclass
class SourceCount:
    """Count of the rows of one source: `read` = `loaded` + `rejected`."""

    source: str
    file: str
    read: int = 0
    loaded: int = 0
    rejected: int = 0
    seconds: float = 0.0


@dataclass
class LoadResult:
    """Result of a load."""

    sources: list[SourceCount] = field(default_factory=list)
    tables: dict[str, int] = field(default_factory=dict)  # name => number of rows afterwards
    reasons: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # source, column, reason => rejected rows
    remarks: list[str] = field(default_factory=list)  # notes for the user
    rejects: str = ""  # CSV file of the rejects
    to: str = ""  # the database, without its password
    keys: bool = True  # of the table of DataCrim's crimes, if it was loaded
    seconds: float = 0.0


def load(config: LoadConfig, progress: Progress | None = None) -> LoadResult:
    """Load the named sources in one transaction, in place of what was loaded from them before.

    Rows of other sources stay. Loading the same files again gives the same tables.

    Args:
        config: The sources and the database.
        progress: Called with the number of rows of DataCrim that are done.

    Returns:
        Rows read, loaded and rejected by source, rows of each table, and remarks.

    Raises:
        CalcoError: A file or the database cannot be used; then nothing of this load is kept.
    """
    needs("ibis", "duckdb", "pyarrow", extra="crime")
    begun = time.perf_counter()
    loading = _Loading(config, progress or (lambda _done: None))
    file = duckdb_path(config.to)
    beside = file.with_name(f"{file.stem}.rechazos.csv") if file else Path("rechazos.csv")
    rejects = Path(config.rejects or beside)
    check_folder(rejects)
    loading.done.rejects = str(rejects)
    with ExitStack() as held:
        if file and file.parent.is_dir():
            held.enter_context(locked_file(file, VERB))
        held.enter_context(writing_file(rejects, VERB))
        if config.robberies:
            loading.read_robberies()  # before the database is touched
        new = file if file and not os.path.lexists(file) else None
        try:
            with closing(open_store(config.to)) as store, replacing(rejects) as temporary:
                with temporary.open("w", encoding="utf-8", newline="") as lines:
                    loading.write(store, lines)
                store.commit()
        except BaseException:
            if new:  # a database without tables would be taken for one that was loaded
                for path in (new, new.with_name(f"{new.name}.wal")):
                    path.unlink(missing_ok=True)
            raise
    loading.done.seconds = time.perf_counter() - begun
    return loading.done


class _Loading:
    """One call of `load`."""

    def __init__(self, config: LoadConfig, progress: Progress) -> None:
        self.config, self.progress = config, progress
        self.today = datetime.now(UTC).date()
        self.done = LoadResult(to=redact_address(config.to))
        self.renamed = renames(config.columns)
        ours = [*ROBBERY_COLUMNS, *DATACRIM_COLUMNS]
        if wrong := [name for name in self.renamed.values() if fold(name) not in map(fold, ours)]:
            raise CalcoError(f"--columns {wrong[0]!r}: there is no such column; ours are {', '.join(ours)}")
        self.kinds, self.robberies = CleanedRows(), CleanedRows()
        self.csv = {"encoding": config.encoding, "separator": config.separator}
        self.rejected = 0

    def read_robberies(self) -> None:
        """Read and clean the robberies and their kinds."""
        config, remarks, begun = self.config, self.done.remarks, time.perf_counter()
        kinds = config.kinds or config.robberies
        self.kinds = read_kinds(kinds, **self.csv)
        rows = list(
            robbery_rows(config.robberies, sheets=config.sheets, renamed=self.renamed, remarks=remarks, **self.csv)
        )
        if not rows:
            raise CalcoError(
                f"{config.robberies}: there is no robbery below the names of the columns; restore its rows"
            )
        self.robberies = clean_robberies(
            rows, self.kinds.rows, gazetteer(), config.robberies, today=self.today, keep_several=config.keep_several
        )
        if not self.robberies.rows:
            raise _nothing_left(config.robberies, len(rows), Counter(one.reason for one in self.robberies.rejects))
        remarks += [*self.kinds.remarks, *self.robberies.remarks]
        for name, file, one in (("kinds", kinds, self.kinds), ("robberies", config.robberies, self.robberies)):
            count = SourceCount(name, file, one.read, len(one.rows), len(one.rejects), time.perf_counter() - begun)
            self.done.sources.append(count)

    def write(self, store: Store, file: Any) -> None:
        """Write everything, without the commit; rows of sources that are not named stay."""
        config, keys, quote = self.config, self._with_keys(), store.quote
        replaced, sources = list[str](), list[str]()
        if config.robberies:
            replaced, sources = [*ROBBERIES], ["kinds", "robberies"]
        if config.datacrim:
            replaced, sources = [*replaced, *DATACRIM], [*sources, "datacrim"]
        store.begin(replaced, keys=keys)
        file.write(csv_lines([TABLES[REJECTS].names]))
        names = ", ".join(f"'{name}'" for name in sources)
        store.run(f"DELETE FROM {quote(REJECTS)} WHERE {quote('Fuente')} IN ({names})")
        self._write_places(store)
        if config.robberies:
            store.put("Tipo_Robo", arrow("Tipo_Robo", self.kinds.rows))
            store.put("Robos_Lima", arrow("Robos_Lima", self.robberies.rows))
            self._reject(store, file, [*self.kinds.rejects, *self.robberies.rejects])
        if config.datacrim:
            self.done.keys = keys
            self._write_datacrim(store, file)
        self.done.tables = {name: int(store.run(f"SELECT COUNT(*) FROM {quote(name)}")[0][0]) for name in TABLES}
        tables = {"kinds": "Tipo_Robo", "robberies": "Robos_Lima", "datacrim": "Crimenes_DataCrim"}
        for one in self.done.sources:
            held = self.done.tables[tables[one.source]]
            if one.read != one.loaded + one.rejected or held != one.loaded:
                raise CalcoError(
                    f"{one.file}: of {one.read} rows {held} are in {tables[one.source]}, {one.rejected} in the "
                    "rejects, which does not add up; nothing was kept: please report this"
                )

    def _with_keys(self) -> bool:
        if self.config.keys != "auto" or not self.config.datacrim:
            return self.config.keys != "no"
        path = Path(self.config.datacrim)
        if path.suffix.lower() in (".parquet", ".pq"):
            import pyarrow.parquet as pq

            with contextlib.suppress(OSError, ValueError):  # which the reader reports
                return int(pq.read_metadata(path).num_rows) < MANY
        return not path.is_file() or path.stat().st_size < MANY * 100

    def _write_places(self, store: Store) -> None:
        """Add the places of the gazetteer that the tables lack, so that references to the others stay valid."""
        places = gazetteer()
        rows: dict[str, list[tuple[Any, ...]]] = {
            "Departamento": list(places.departments.items()),
            "Provincia": [(key, key // 100, name) for key, name in places.provinces.items()],
            "Distrito": [(key, key // 100, name) for key, name in places.districts.items()],
        }
        for table, all_rows in rows.items():
            held = {row[0] for row in store.run(f"SELECT {store.quote('id')} FROM {store.quote(table)}")}
            if new := [row for row in all_rows if row[0] not in held]:
                store.put(table, arrow(table, new))

    def _reject(self, store: Store, file: Any, rejects: Sequence[Reject]) -> None:
        if not rejects:
            return
        # Each source has its own range of numbers, so that rejects of other sources keep theirs.
        first = (DATACRIM_REJECTS if rejects[0].source == "datacrim" else 0) + self.rejected + 1
        rows = [(number, *astuple(one)) for number, one in enumerate(rejects, first)]
        self.rejected += len(rows)
        self.done.reasons.update((one.source, one.column, one.reason) for one in rejects)
        store.put(REJECTS, arrow(REJECTS, rows))
        file.write(csv_lines(rows))

    def _write_datacrim(self, store: Store, file: Any) -> None:
        path, begun, self.rejected = self.config.datacrim, time.perf_counter(), 0
        count = SourceCount("datacrim", path)
        self.done.sources.append(count)
        cleaner = Cleaner(gazetteer(), path, self.today)
        for batch in batches(path, renamed=self.renamed, remarks=self.done.remarks, **self.csv):
            rows, rejects = cleaner.clean(batch)
            for table, new in cleaner.new.items():
                store.put(table, arrow(table, new))
            cleaner.new.clear()
            store.put("Crimenes_DataCrim", rows)
            self._reject(store, file, rejects)
            count.read += len(batch.lines) + len(batch.broken)
            count.loaded += rows.num_rows
            count.rejected += len(rejects)
            self.progress(count.read)
        if not count.read:
            raise CalcoError(f"{path}: the file holds no row; collect it again")
        if not count.loaded:
            reasons = {reason: n for (source, _, reason), n in self.done.reasons.items() if source == "datacrim"}
            raise _nothing_left(path, count.read, Counter(reasons))
        count.seconds = time.perf_counter() - begun


def _nothing_left(file: str, read: int, reasons: Counter[str]) -> CalcoError:
    """Return the error of a source without a usable row, which must not replace what was loaded before."""
    (reason, count), *_ = reasons.most_common(1)
    return CalcoError(
        f"{file}: none of its {read:,} rows can be used ({count:,}: {reason}); correct them. The database is unchanged"
    )
