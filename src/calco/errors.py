"""The one error that a user can cause."""


class CalcoError(Exception):
    """Something the user gave cannot be used.

    The message is one line that tells the value, the rule and the remedy. The command line prints it without a
    traceback and leaves with exit code 2.
    """
