"""Lines of CSV cut into records, whatever is wrong with some of them."""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

LONGEST: Final = 50  # lines that one record may span
LONGEST_LINE: Final = 1 << 20  # characters of a line, and of the lines of one record


def misfit(text: str) -> bool:
    """Whether there are bytes in it that did not fit the encoding."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return "\ufffd" in text


def records(
    lines: Iterator[str], separator: str, header: Sequence[str], encoding: str, *, first: int = 1
) -> Iterator[tuple[int, list[str], str]]:
    """Cuts lines into records: yields line, fields, and what is wrong with them, or "".

    Where a quote is opened and not closed, the line that opens it is lost, and no line after it. Records of empty
    fields alone are nobody's. Separators behind the last column, in the records or in the header, do no harm.

    Args:
        lines: With their ends.
        separator: Between fields.
        header: The names of the columns, of which the last may be empty.
        encoding: The file's, for the words.
        first: The number of the first line.
    """
    ahead: deque[str] = deque()
    number = first
    names = [name.strip() for name in header]
    while (line := ahead.popleft() if ahead else next(lines, None)) is not None:
        taken, fields = 1, None
        if '"' not in line:
            fields = _fitted(line.rstrip("\n").split(separator), names)
        else:
            fields, taken = _quoted(line, lines, ahead, separator, names)
        if fields is None:
            yield number, [line.rstrip("\n")], "a quote is opened and not closed"
        elif not any(field and not field.isspace() for field in fields):
            pass
        elif len(fields) != len(names):
            yield number, fields, f"{len(fields)} fields, where the header has {len(names)}"
        elif misfit("".join(fields)):
            yield number, fields, f"bytes that are not {encoding}"
        elif fields[0].strip() == names[0] and [field.strip() for field in fields] == names:
            yield number, fields, "the names of the columns again"
        else:
            yield number, fields, ""
        number += taken


def _fitted(fields: list[str], names: Sequence[str]) -> list[str]:
    """Fields without empty ones behind the last column, or with empty ones for columns that have no name."""
    while len(fields) > len(names) and (not fields[-1] or fields[-1].isspace()):
        fields.pop()
    if len(fields) < len(names) and not any(names[len(fields) :]):
        fields += [""] * (len(names) - len(fields))
    return fields


def _quoted(
    line: str, lines: Iterator[str], ahead: deque[str], separator: str, names: Sequence[str]
) -> tuple[list[str] | None, int]:
    """The fields of a record with quotes, and how many lines it spans; no fields where it has no end."""
    block, length = [line], len(line)
    while (fields := split_record("".join(block).removesuffix("\n"), separator, strict=len(block) > 1)) is None:
        following = ahead.popleft() if ahead and len(block) < LONGEST else next(lines, None)
        length += len(following or "")
        if following is None or len(block) >= LONGEST or length > LONGEST_LINE:
            ahead.extendleft(reversed([*block[1:], *([] if following is None else [following])]))
            return None, 1
        block.append(following)
    fields = _fitted(fields, names)
    if len(block) > 1 and len(fields) != len(names):
        ahead.extendleft(reversed(block[1:]))
        return None, 1
    return fields, len(block)


_CLOSED: Final = re.compile(r'"([^"]*(?:""[^"]*)*)"(?!")')


def split_record(text: str, separator: str, *, strict: bool = False) -> list[str] | None:
    """The fields of a record; None where a quote is not closed.

    Args:
        text: Without the end of its last line.
        separator: One sign.
        strict: After a closed quote nothing but a separator may come; otherwise what comes belongs to the field.
    """
    fields: list[str] = []
    place = 0
    while True:
        value = ""
        if text.startswith('"', place):
            quoted = _CLOSED.match(text, place)
            if quoted is None:
                return None
            value, place = quoted[1].replace('""', '"'), quoted.end()
        end = text.find(separator, place)
        end = len(text) if end < 0 else end
        rest = text[place:end]
        if strict and value and rest.strip():
            return None
        fields.append(value + rest)
        if end >= len(text):
            return fields
        place = end + 1
