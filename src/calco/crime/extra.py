"""What `calco[crime]` brings, asked for before any work begins."""

from importlib.util import find_spec

from calco.errors import CalcoError


def needs(*modules: str) -> None:
    """Sees that libraries are installed.

    Raises:
        CalcoError: Naming the first that is not, and what brings it.
    """
    for module in modules:
        if find_spec(module) is None:
            raise CalcoError(f"calco crime needs {module}; install it: pip install 'calco[crime]'")
