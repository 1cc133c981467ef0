"""DataCrim's rows, in batches, to crimes by district, modality and year, or into the rejects.

A text column holds few different texts many times: each text is cleaned once, each place and each kind of crime is
looked up once, and what a row costs is a number in an array.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from calco.crime import clean, dates
from calco.crime.batches import Batch, Numbers
from calco.crime.clean import Cell, Unusable, fold
from calco.crime.gazetteer import Gazetteer
from calco.crime.reading import Row
from calco.crime.robberies import Reject, reject

if TYPE_CHECKING:
    import pyarrow as pa

_PLACE: Final = ("Departamento", "Provincia", "Distrito")
_CRIME: Final = ("Generica", "Especifica", "Modalidad")
_WIDEST: Final = 255


@dataclass
class Crimes:
    """The kinds of crime as they turn up: rows of three tables, numbered by first appearance."""

    generic: dict[str, int] = field(default_factory=dict)
    specific: dict[tuple[int, str], int] = field(default_factory=dict)
    modality: dict[tuple[int, str], int] = field(default_factory=dict)
    new: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)

    def key(self, generic: str, specific: str, modality: str) -> int:
        """The key of a modality; one that is new goes to `new` as well, with its generic and specific crime.

        Raises:
            Unusable: When one of the names is empty or too long.
        """
        names = [clean.letters(clean.stated(name)) for name in (generic, specific, modality)]
        for name, what in zip(names, ("generic crime", "specific crime", "modality"), strict=True):
            if not fold(name):
                raise Unusable(f"no {what} is told")
            if len(name) > _WIDEST:
                raise Unusable(f"the {what} has more than {_WIDEST} characters")
        above = self._known(self.generic, fold(names[0]), "Crimen_Generico", (names[0],))
        above = self._known(self.specific, (above, fold(names[1])), "Crimen_Especifico", (above, names[1]))
        return self._known(self.modality, (above, fold(names[2])), "Modalidad_Crimen", (above, names[2]))

    def _known(self, keys: dict[Any, int], name: Any, table: str, row: tuple[Any, ...]) -> int:
        if name not in keys:
            keys[name] = len(keys) + 1
            self.new.setdefault(table, []).append((keys[name], *row))
        return keys[name]


@dataclass
class Cleaner:
    """What turns batches into rows of `Crimenes_DataCrim`.

    Attributes:
        places: The gazetteer.
        path: The file, for the rejects.
        today: No year is later.
        crimes: The kinds of crime that have turned up.
    """

    places: Gazetteer
    path: str | Path
    today: date
    crimes: Crimes = field(default_factory=Crimes)
    _seen: dict[tuple[str, ...], int | Unusable] = field(default_factory=dict)

    def clean(self, batch: Batch) -> "tuple[pa.Table, list[Reject]]":
        """The rows of the table, whose `id` is the number of the record in its file, and what is not among them."""
        import pyarrow as pa

        districts, district_faults = self._looked_up(batch, _PLACE)
        years, year_faults = self._numbers(batch, "Año")
        counts, count_faults = self._numbers(batch, "Numero")
        faults = {**count_faults, **year_faults, **district_faults}
        # Last, and of good rows alone: what is looked up becomes a crime in the tables.
        modalities, modality_faults = self._looked_up(batch, _CRIME, leave_out=list(faults))
        faults |= modality_faults
        good = np.ones(len(batch.lines), bool)
        good[list(faults)] = False
        columns = (batch.numbers, districts, modalities, counts, years)
        names = ("id", "Id_Distrito", "Id_Modalidad", "Numero_Ocurrencias", "Anio")
        table = pa.table({name: values[good].astype(np.int32) for name, values in zip(names, columns, strict=True)})
        rejects = [reject("datacrim", self.path, row, "", "", row.problem) for row in batch.broken]
        rejects += [self._reject(batch, place, *faults[place]) for place in sorted(faults)]
        return table, sorted(rejects, key=lambda one: one.line)

    def _reject(self, batch: Batch, place: int, column: str, reason: str) -> Reject:
        raw = {name: values[place].as_py() for name, values in batch.columns.items()}
        row = Row(int(batch.lines[place]), raw, "", raw, batch.sheet)
        return reject("datacrim", self.path, row, column, raw[column], reason)

    def _looked_up(
        self, batch: Batch, names: Sequence[str], *, leave_out: Sequence[int] = ()
    ) -> tuple[Numbers, dict[int, tuple[str, str]]]:
        """The key that three texts of each row mean together, and the faults by the place of their row."""
        texts: list[list[str]] = []
        combined = np.zeros(len(batch.lines), np.int64)
        for name in names:
            held, codes = _coded(batch.columns[name])
            texts.append([one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in held])
            combined = combined * len(held) + codes
        combined[list(leave_out)] = -1
        different, first, where = np.unique(combined, return_index=True, return_inverse=True)
        keys = np.zeros(len(different), np.int64)
        wrong: dict[int, str] = {}
        for place in np.argsort(first).tolist():  # crimes are numbered as they turn up, whatever the batches are
            code, told = int(different[place]), []
            if code < 0:
                continue
            for held in reversed(texts):
                code, digit = divmod(code, len(held))
                told.append(held[digit])
            found = self._meant(names, tuple(reversed(told)))
            if isinstance(found, Unusable):
                wrong[place] = str(found)
            else:
                keys[place] = found
        faults: dict[int, tuple[str, str]] = {}
        if wrong:
            for row in np.flatnonzero(np.isin(where, list(wrong))).tolist():
                faults[row] = (names[-1], wrong[int(where[row])])
        return keys[where], faults

    def _meant(self, names: Sequence[str], told: tuple[str, ...]) -> int | Unusable:
        key = (names[0], *told)
        if key not in self._seen:
            try:
                if names is _CRIME:
                    self._seen[key] = self.crimes.key(*told)
                else:
                    department, province, district = (clean.letters(clean.stated(text)) for text in told)
                    self._seen[key] = self.places.district(district, province, department)
            except Unusable as error:
                self._seen[key] = error
        return self._seen[key]

    def _numbers(self, batch: Batch, name: str) -> tuple[Numbers, dict[int, tuple[str, str]]]:
        """The numbers of a column, each different text read once, and the faults by the place of their row."""
        held, codes = _coded(batch.columns[name])
        values = np.zeros(len(held), np.int64)
        wrong: dict[int, str] = {}
        for code, text in enumerate(held):
            try:
                values[code] = dates.year(text, today=self.today) if name == "Año" else _told_count(text)
            except Unusable as error:
                wrong[code] = str(error)
        faults: dict[int, tuple[str, str]] = {}
        if wrong:
            for row in np.flatnonzero(np.isin(codes, list(wrong))).tolist():
                faults[row] = (name, wrong[int(codes[row])])
        return values[codes], faults


def _told_count(text: Cell) -> int:
    if not clean.stated(text):
        raise Unusable("no number of occurrences is told")
    return clean.whole_number(text)


def _coded(values: "pa.Array") -> tuple[list[Any], Numbers]:
    """The different values of a column (with an empty text for what is missing), and each row's."""
    import pyarrow as pa

    coded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    held = ["" if value is None else value for value in coded.dictionary.to_pylist()]
    codes = coded.indices
    if codes.null_count:
        codes = codes.fill_null(len(held))
    return [*held, ""], codes.to_numpy(zero_copy_only=False).astype(np.int64)
