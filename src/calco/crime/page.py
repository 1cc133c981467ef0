"""The page of DataCrim's panel: CSV text, as it is or in the body of a page of HTML."""

from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from itertools import chain, islice
from pathlib import Path
from typing import Final

from calco.crime.batches import COLUMNS
from calco.crime.csv_records import LONGEST_LINE, records, split_record
from calco.crime.reading import Columns, guess_separator, open_text
from calco.errors import CalcoError

_BLOCK: Final = 1 << 16  # characters that are taken at once
_AHEAD: Final = 50  # lines among which the names of the columns must stand
_ENDS_LINE: Final = frozenset({"br", "p", "div", "tr", "li", "pre", "body", "table", "title", "h1", "h2", "h3"})
_SILENT: Final = frozenset({"script", "style", "title"})


def page_records(
    path: str | Path, renamed: Mapping[str, str], encoding: str = ""
) -> Iterator[tuple[int, dict[str, str], str, list[str]]]:
    """Yields for each record its line, its cells by DataCrim's names, what is wrong with it, and all its fields.

    Args:
        path: The raw answer.
        renamed: What the page calls its columns now, to our names.
        encoding: Of the answer; found out where it is empty.

    Raises:
        CalcoError: When no line names the columns, or one of them is missing.
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
    """Whether an answer has the end that its beginning announces: a page of HTML is closed."""
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
        if len(body.rawdata) > LONGEST_LINE:  # what a tag or a comment opened and nothing closes
            raise CalcoError(f"a tag or a comment of more than {LONGEST_LINE:,} characters; it must be CSV, or a page")
        yield "".join(body.text)
        body.text.clear()
    body.close()
    yield "".join(body.text)
