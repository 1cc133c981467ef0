"""Errors that a user can cause, and text that a terminal can show."""

import importlib.util
import re
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from calco.addresses import redact_addresses

_LONGEST: Final = 80  # characters of a value in a message

# What a terminal obeys instead of showing it, or what makes text look like other text: control characters (C0, DEL,
# C1), line and paragraph separators, halves of surrogate pairs, bidirectional marks, overrides and isolates, invisible
# format characters. The joiners U+200C and U+200D stay: Persian, Indic scripts and emoji need them.
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
_LONGEST_MESSAGE: Final = 2000
_SHORT: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}

_OUT_OF_MEMORY: Final = re.compile(
    r"out of memory|can't allocate memory|cannot allocate memory|not enough memory|insufficient memory|"
    r"(?:failed|unable) to allocate|bad_alloc|alloc_failed|can't start new thread",
    re.IGNORECASE,
)
_ASKED: Final = re.compile(r"(?:tried|unable|failed) to allocate ([\d.]+) ?(bytes|[KMGTPE]iB)", re.IGNORECASE)
_UNITS: Final = ("bytes", "kib", "mib", "gib", "tib", "pib", "eib")


class CalcoError(Exception):
    r"""Something the user gave cannot be used.

    The message is one line with the value, the rule and the remedy. The command line prints it without a traceback and
    exits with code 2. Passwords and tokens of addresses are not in it. Bytes of a file
    name that are not UTF-8 stand in it as `\xe9`, control characters as `\x1b`.
    """

    def __init__(self, message: str) -> None:
        text = redact_addresses(printable(message))
        if len(text) > _LONGEST_MESSAGE:  # a value of a page or more: its beginning and the remedy are enough
            text = f"{text[: _LONGEST_MESSAGE // 2]} … {text[-_LONGEST_MESSAGE // 4 :]}"
        super().__init__(text)


class UsageError(CalcoError):
    """An option, an argument or a field of a configuration is invalid, or two of them contradict each other."""


class DataError(CalcoError):
    """Images, videos, annotations or tables cannot be read, or do not fit what they are used for."""


class UnusableError(DataError):
    """None of the images of a split can be used."""


class ModelError(CalcoError):
    """A model is missing, damaged, or does not fit what it is used for."""


class MissingExtraError(CalcoError):
    """An optional library is not installed; the message holds the `pip install` that brings it."""


def needs(*modules: str, extra: str) -> None:
    """Check that the libraries of an extra are installed, before they are imported.

    Raises:
        MissingExtraError: If one is missing.
    """
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(f"{module} is not installed, and this needs it; pip install 'calco[{extra}]'")


class WriteError(CalcoError):
    """A file or folder could not be written."""


class DiskError(WriteError):
    """The disk takes nothing more: it is full, over a quota, read-only or failing, so further files fail too."""


class OutOfMemoryError(CalcoError):
    """The memory of the machine, or of its GPU, does not suffice."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of Python, NumPy, torch, CUDA, OpenCV or ONNX Runtime means that memory ran out."""
    if isinstance(error, MemoryError | OutOfMemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    # The libraries raise bare RuntimeErrors, or errors of their own, that differ in their words only.
    return not isinstance(error, CalcoError | OSError) and bool(_OUT_OF_MEMORY.search(str(error)))


def out_of_memory(error: BaseException, remedy: str) -> OutOfMemoryError:
    """Describe an error of a library that means that memory ran out, with a remedy that needs less."""
    if isinstance(error, OutOfMemoryError):
        return error
    asked = ""
    if found := _ASKED.search(str(error)):
        asked = f" for another {float(found[1]) * 1024 ** _UNITS.index(found[2].lower()) / 1e9:,.1f} GB"
    where = " on the GPU" if "CUDA" in str(error) else ""
    return OutOfMemoryError(f"there is not enough memory{where}{asked}; {remedy}")


@contextmanager
def enough_memory(remedy: str) -> Iterator[None]:
    """Turn errors that mean that memory ran out into an OutOfMemoryError with a remedy."""
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise out_of_memory(error, remedy) from error
        raise


def printable(text: str) -> str:
    r"""Return the text as one line that a terminal shows and does not obey.

    Control characters, line breaks, bidirectional overrides and bytes of a file name that are not UTF-8 become escapes.

    >>> printable("caf\udce9.png")
    'caf\\xe9.png'
    >>> printable("two\nlines\x1b[31m")
    'two\\nlines\\x1b[31m'
    """
    return _UNPRINTABLE.sub(lambda found: _escape(found[0]), text)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as Python reads file names
        return f"\\x{code - 0xDC00:02x}"
    if character in _SHORT:
        return _SHORT[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class _Brief(reprlib.Repr):
    """`repr` of a few elements and characters, whose cost does not grow with the value."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 2
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdeque = 3
        self.maxlong, self.maxstring, self.maxother = 40, 60, 60

    def repr_int(self, value: int, level: int) -> str:
        """Like `repr`; of a number too long for it, the number of bits."""
        return super().repr_int(value, level) if value.bit_length() < 4096 else f"<int of {value.bit_length()} bits>"


def brief(value: Any) -> str:
    """Return a value as messages show it: like `repr`, but never longer than a line, however large the value is.

    >>> brief("gun")
    "'gun'"
    >>> brief([["x"] * 9] * 9)
    "[['x', 'x', 'x', ...], ['x', 'x', 'x', ...], ['x', 'x', 'x', ...], ...]"
    """
    return shortened(_Brief().repr(value))


def shortened(text: str, longest: int = _LONGEST) -> str:
    """Return a text in one line of at most so many characters; what is cut away is replaced by dots."""
    text = printable(" ".join(text[: 4 * longest].split())) + " " * (len(text) > 4 * longest)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
