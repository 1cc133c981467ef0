"""`calco crime generate`: invented rows in the format of DataCrim, any number of them, to try the other verbs.

Names are real, the distribution is as skewed as in the published figures, the texts as dirty as on the page; no row is
true. Each block derives from (seed, block) alone, so that a larger file begins with the rows of a smaller one.
"""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from calco.crime.clean import fold
from calco.crime.database import check_folder
from calco.crime.datacrim import COLUMNS
from calco.crime.gazetteer import METROPOLIS, gazetteer
from calco.errors import CalcoError, needs
from calco.files import replacing
from calco.outputs import writing_file
from calco.records import check_numbers

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK: Final = 1 << 18
MOST: Final = 1732  # occurrences in one row, as published
# Where most crimes of 2019 were, in the order published, then other large districts: a power law gives the shares.
LARGEST: Final = (
    150132, 150101, 70101, 140101, 150110, 150135, 150103, 150117, 150115, 40101, 150140, 130101, 150133, 150143,
    150142,
    200101, 150122, 110101, 120101, 140105, 70106, 150137, 240101, 80101, 160101, 150106, 150125, 230101, 20801, 250101,
)  # fmt: skip
_YEARS: Final = {2015: 0.17, 2016: 0.18, 2017: 0.2, 2018: 0.22, 2019: 0.23}
_CODES: Final = 5  # spellings of each text: the clean one, and those with stray codes
_TEXTS: Final = ("Generica", "Especifica", "Modalidad", "Departamento", "Provincia", "Distrito")

Numbers = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """Make rows in the format of DataCrim, any number of them, to try the other verbs."""

    out: str
    """File; its name ends in .parquet or .csv."""

    rows: int = 549_824
    """Number of rows; DataCrim had 549,824 for the years 2015 to 2019."""

    seed: int = 0
    """Seed of all random numbers."""

    dirty: float = 0.02
    """Share of texts with stray codes, numbers and spaces, as on the page."""

    def __post_init__(self) -> None:
        check_numbers(self, rows=(1, 2**31 - 1), dirty=(0, 1))
        if Path(self.out).suffix.lower() not in (".parquet", ".csv"):
            raise CalcoError(f"--out {self.out}: the name must end in .parquet or .csv")


def generate(config: GenerateConfig, progress: Callable[[int, int], None] | None = None) -> Path:
    """Write the rows block by block, in constant memory; return the file.

    Args:
        config: Number of rows, file and seed.
        progress: Called with the rows written and their number.

    Returns:
        The file.

    Raises:
        CalcoError: The file cannot be written.
    """
    needs("pyarrow", extra="crime")
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    out = Path(config.out)
    check_folder(out)
    with writing_file(out, "calco crime generate"), replacing(out) as temporary:
        writer: Any = None
        done = 0
        for block in blocks(config):
            if out.suffix.lower() == ".parquet":
                writer = writer or pq.ParquetWriter(temporary, block.schema, compression="zstd")
            else:
                plain = [pa.field(f.name, pa.string()) if f.name in _TEXTS else f for f in block.schema]
                block = block.cast(pa.schema(plain))
                writer = writer or pyarrow.csv.CSVWriter(temporary, block.schema)
            writer.write_table(block)
            done += block.num_rows
            if progress:
                progress(done, config.rows)
        writer.close()
    return out


def blocks(config: GenerateConfig) -> "Iterator[pa.Table]":
    """Yield the rows as Arrow tables with the columns of DataCrim, texts as dictionaries."""
    import pyarrow as pa

    from calco.data.sample import generator

    crimes, row_shares, means = _crimes()
    districts, district_shares, sizes = _districts()
    rng = generator(config.seed, 0, "crime/spellings")
    texts = [*_spelt([row[:3] for row in crimes], rng), *_spelt(districts, rng)]
    years = np.array(list(_YEARS))
    for start in range(0, config.rows, BLOCK):
        count = min(BLOCK, config.rows - start)
        rng = generator(config.seed, 0, f"crime/{start // BLOCK}")
        # Whole blocks are sampled, so that the last one begins like that of a longer run.
        crime = _sampled(row_shares, rng)
        district = _sampled(district_shares, rng)
        year = years[_sampled(np.array(list(_YEARS.values())), rng)]
        number = _numbers(means[crime] * sizes[district], rng)
        columns: dict[str, Any] = {"Año": pa.array(year[:count].astype(np.int16)), "Numero": pa.array(number[:count])}
        for place, name in enumerate(_TEXTS):
            spelling = np.where(rng.random(BLOCK) < config.dirty, rng.integers(1, _CODES, BLOCK), 0)
            codes = (crime if place < 3 else district) * _CODES + spelling
            columns[name] = pa.DictionaryArray.from_arrays(pa.array(codes[:count].astype(np.int32)), texts[place])
        yield pa.table({name: columns[name] for name in COLUMNS})


def _sampled(shares: Shares, rng: np.random.Generator) -> Numbers:
    edges = np.cumsum(shares / shares.sum())
    return np.minimum(np.searchsorted(edges, rng.random(BLOCK), side="right"), len(shares) - 1)


def _numbers(means: Shares, rng: np.random.Generator) -> npt.NDArray[np.int32]:
    """Return counts from 1 on around their means, with a long tail, up to the published maximum."""
    spread = rng.lognormal(-0.32, 0.8, BLOCK)  # its mean is 1
    values = 1 + rng.poisson(np.maximum(means - 1, 0.0) * spread)
    return np.minimum(values, MOST).astype(np.int32)


def _crimes() -> tuple[list[tuple[str, ...]], Shares, Shares]:
    with files("calco.crime").joinpath("crimes.csv").open(encoding="utf-8") as file:
        rows = [tuple(row) for row in list(csv.reader(file))[1:]]
    return rows, np.array([float(row[3]) for row in rows]), np.array([float(row[4]) for row in rows])


def _districts() -> tuple[list[tuple[str, ...]], Shares, Shares]:
    """Return department, province and district in capitals, their shares of the rows, and sizes of their numbers."""
    places = gazetteer()
    first = {key: rank for rank, key in enumerate(LARGEST)}
    # After the largest come the others of Lima and Callao, the capitals of provinces, and the rest, shuffled by Knuth's
    # multiplicative hash.
    order = sorted(
        places.districts,
        key=lambda key: (
            first.get(key, len(first)), key // 100 not in METROPOLIS, key % 100 != 1, key * 2_654_435_761 % 2**32
        ),
    )  # fmt: skip
    rank: Shares = np.arange(1.0, len(order) + 1)
    names = [(places.departments[key // 10_000], places.provinces[key // 100], places.districts[key]) for key in order]
    # About as many districts as published have crimes in one year, and in five.
    shares = 1.0 / (rank + 25.0) ** 2.1
    sizes = np.maximum(0.5, 3.2 / rank**0.25)
    # The panel writes capitals without accents, but with ñ.
    capitals = [tuple("Ñ".join(map(fold, re.split("[ñÑ]", name))) for name in row) for row in names]
    return capitals, shares, sizes


def _spelt(rows: list[tuple[str, ...]], rng: np.random.Generator) -> "list[pa.Array]":
    """Return the spellings of the names in each column, the clean one first, then with stray codes and spaces."""
    import pyarrow as pa

    columns = []
    for names in zip(*rows, strict=True):
        spellings = []
        for name in names:
            code = int(rng.integers(1, 9999))
            stray = (f"  {name} ", f"{code:04d} - {name}", f"{name} {code % 10}/", f"{name}*  ({code % 100})")
            spellings += [name, *stray]
        columns.append(pa.array(spellings, pa.string()))
    return columns
