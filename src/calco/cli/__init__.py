"""The command line: parsing only; what a verb does lives in the package that it names.

Names of `calco` and its packages are imported when they are used: a verb parses its arguments before it names the
function that does the work, so that `--help` loads no heavy library.
"""

import contextlib
import sys
from collections.abc import Callable
from types import TracebackType
from typing import NoReturn, TypeAlias

from calco.addresses import redact_addresses
from calco.cli.crime import CRIME
from calco.cli.data import check, collect, prepare, recipes
from calco.cli.detect import DETECT
from calco.cli.translators import ablate, bench, compare, demo, evaluate, export, serve, train, translate
from calco.console import abandon_stdout, prepare_streams, print_notes
from calco.errors import CalcoError, UsageError, is_out_of_memory, out_of_memory, printable
from calco.version import __version__

Verb: TypeAlias = Callable[[list[str]], None]


def detect(args: list[str]) -> None:
    """Find objects in images and video: train a detector, measure, show and watch."""
    _run_group("detect", DETECT, args)


def crime(args: list[str]) -> None:
    """Analyse crime in Peru: collect, clean, load, query, chart and forecast."""
    _run_group("crime", CRIME, args)


VERBS: dict[str, Verb] = {
    "demo": demo,
    "collect": collect,
    "prepare": prepare,
    "check": check,
    "recipes": recipes,
    "train": train,
    "evaluate": evaluate,
    "compare": compare,
    "ablate": ablate,
    "translate": translate,
    "export": export,
    "detect": detect,
    "crime": crime,
    "serve": serve,
    "bench": bench,
}


def _run_group(name: str, verbs: dict[str, Verb], args: list[str]) -> None:
    """Run one of the verbs of a group."""
    if not args or args[0] in ("-h", "--help", "help"):
        print(f"{_first_line(VERBS[name])}\n\nusage: calco {name} VERB [OPTIONS]\n\n{_listed(verbs)}\n")
        print(f"calco {name} VERB --help shows the options of a verb.")
        sys.exit(0 if args else 2)
    if args[0] not in verbs:
        raise UsageError(f"there is no {name} {args[0]}; choose one of {', '.join(verbs)}")
    verbs[args[0]](args[1:])


def _first_line(verb: Verb) -> str:
    return (verb.__doc__ or "").splitlines()[0]


def _listed(verbs: dict[str, Verb]) -> str:
    return "\n".join(f"  {name:<10} {_first_line(verb)}" for name, verb in verbs.items())


def usage() -> str:
    """Return what `calco --help` prints."""
    return (
        "Calco trains image-to-image translators from a few hundred pairs.\n\n"
        f"usage: calco VERB [OPTIONS]\n\n{_listed(VERBS)}\n\n"
        "calco VERB --help shows the options of a verb, calco --version the version.\n"
    )


def main(args: list[str] | None = None) -> None:
    """Run a verb; an error that the user can cause is one line and exit code 2."""
    prepare_streams()
    print_notes()
    sys.excepthook = _report
    try:
        _run(sys.argv[1:] if args is None else args)
        sys.stdout.flush()  # an error of writing is met here, not at the interpreter's end
    except BrokenPipeError:  # such as | head, which has read enough
        abandon_stdout()
        sys.exit(1)
    except CalcoError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("stopped", code=130)
    except OSError as error:
        from calco.files import explain

        abandon_stdout()
        _fail(str(explain(error, error.filename or "the output", "use" if error.filename else "write")))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        _fail(str(out_of_memory(error, "close other programs, or give less at a time")))


def _run(words: list[str]) -> None:
    """Run the verb that the arguments name, or print the verbs."""
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage(), end="")
        sys.exit(0 if words else 2)
    if words[0] == "--version":
        print(f"calco {__version__}")
        return
    if words[0] not in VERBS:
        _fail(f"there is no verb {printable(words[0])}; choose one of {', '.join(VERBS)}")
    VERBS[words[0]](words[1:])


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback of a bug without passwords and tokens of addresses."""
    import traceback

    text = "".join(traceback.format_exception(kind, error, trace))
    with contextlib.suppress(OSError):
        for line in redact_addresses(text).splitlines():
            print(printable(line), file=sys.stderr)


def _fail(reason: str, *, code: int = 2) -> NoReturn:
    """Print the one line, and exit."""
    with contextlib.suppress(OSError):  # where nobody reads it, the code still tells
        print(f"calco: {reason}", file=sys.stderr)
    sys.exit(code)
