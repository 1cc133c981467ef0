"""What Calco says to the person at the terminal."""

from rich.console import Console

# Progress and remarks go to stderr, so that a verb's result may be piped.
console = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Prints a remark as it is, without interpreting markup."""
    console.print(text, markup=False)


def warn(text: str) -> None:
    """Prints a remark that the person should not miss."""
    console.print(f"note: {text}", markup=False, style="yellow")
