"""The command lines of these scripts: their docstring is the help, and what is wrong with an argument is one line."""

import argparse
from typing import NoReturn


class Arguments(argparse.ArgumentParser):
    """A parser of arguments, described by the docstring of a script as it stands."""

    def __init__(self, description: str | None) -> None:
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )

    def error(self, message: str) -> NoReturn:
        """Leave with status 2 and one line."""
        self.exit(2, f"{self.prog}: {message}; --help lists the arguments\n")
