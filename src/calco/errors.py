"""The one error that a user can cause."""


class CalcoError(Exception):
    r"""Something the user gave cannot be used.

    The message is one line that tells the value, the rule and the remedy. The command line prints it without a
    traceback and leaves with exit code 2. Bytes of a file's name that are not UTF-8 stand in it as `\xe9`.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def printable(text: str) -> str:
    r"""The text in valid Unicode: bytes of a file's name that are not UTF-8 become `\xe9` and the like.

    >>> printable("caf\udce9.png")
    'caf\\xe9.png'
    """
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # halves of surrogate pairs, which no file's name gives but broken JSON does
        return text.encode("utf-8", "backslashreplace").decode("utf-8")
