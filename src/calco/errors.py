"""The one error that a user can cause, and text that a terminal can show."""

import re
from typing import Final

# What a terminal obeys instead of showing it, or what makes text look like other text: control characters (C0, DEL,
# C1), line and paragraph separators, halves of surrogate pairs, bidirectional marks, overrides and isolates, invisible
# format characters. The joiners U+200C and U+200D stay: Persian, Indic scripts and emoji need them.
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
_SHORT: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


class CalcoError(Exception):
    r"""Something the user gave cannot be used.

    The message is one line with the value, the rule and the remedy. The command line prints it without a traceback and
    exits with code 2. Bytes of a file name that are not UTF-8 stand in it as `\xe9`, control characters as `\x1b`.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


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
