"""The command line: parsing only; what a verb does lives in the package that it names.

The table of verbs says where the function of a verb is; its module is imported when it is called, and what the verb
needs after its arguments are parsed. So `calco --help` imports nothing but the table, and no help a heavy library.
"""

import contextlib
import gc
import io
import os
import sys
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import NoReturn

from calco import lazy
from calco.addresses import redact_addresses
from calco.cli.verbs import VERBS, Verb, listed_examples
from calco.errors import CalcoError, UsageError, is_out_of_memory, out_of_memory, printable
from calco.version import __version__

_HELP = ("-h", "--help", "help")


def main(args: list[str] | None = None) -> None:
    """Run a verb; an error that the user can cause is one line and exit code 2."""
    _prepare_streams()
    if args is None:  # the process is this command's own
        lazy.around_imports = _for_good
    sys.excepthook = _report
    try:
        _run(sys.argv[1:] if args is None else args)
        sys.stdout.flush()  # an error of writing is met here, not at the interpreter's end
    except BrokenPipeError:  # such as | head, which has read enough
        _abandon_stdout()
        sys.exit(1)
    except CalcoError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("stopped", code=130)
    except OSError as error:
        from calco.files import explain

        _abandon_stdout()
        _fail(str(explain(error, error.filename or "the output", "use" if error.filename else "write")))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        _fail(str(out_of_memory(error, "close other programs, or give less at a time")))


def _run(words: list[str]) -> None:
    """Run the verb that the arguments name, or print the verbs."""
    if not words or words[0] in _HELP:
        print(usage(), end="")
        sys.exit(0 if words else 2)
    if words[0] == "--version":
        print(f"calco {__version__}")
        return
    if words[0] not in VERBS:
        _fail(f"there is no verb {printable(words[0])}; choose one of {', '.join(VERBS)}")
    verb = VERBS[words[0]]
    if verb.verbs:
        _run_group(words[0], verb, words[1:])
    else:
        _call(verb, words[1:])


def _run_group(name: str, group: Verb, words: list[str]) -> None:
    """Run one of the verbs of a group, or print them."""
    if not words and group.home:
        _call(group, words)
    elif not words or words[0] in _HELP:
        print(f"{group.about}\n\nusage: calco {name} VERB [OPTIONS]\n\n{_listed(group.verbs)}\n")
        print(f"{listed_examples(group.examples)}\n\ncalco {name} VERB --help shows the options of a verb.")
        sys.exit(0 if words else 2)
    elif words[0] not in group.verbs:
        alone = f", or calco {name} alone" if group.home else ""
        raise UsageError(f"there is no {name} {words[0]}; choose one of {', '.join(group.verbs)}{alone}")
    else:
        _call(group.verbs[words[0]], words[1:])


@contextlib.contextmanager
def _for_good() -> Iterator[None]:
    """Keep what is imported inside out of the sight of the garbage collector, until the process ends.

    torch alone makes 300,000 objects that stay. The collector would look through them again and again while they are
    made, afterwards, and once more at the end of the process, which together takes a sixth of a short command.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _call(verb: Verb, args: list[str]) -> None:
    """Run a verb, whose notes reach the terminal."""
    from calco.console import print_notes

    print_notes()
    verb(args)


def _listed(verbs: Mapping[str, Verb]) -> str:
    return "\n".join(f"  {name:<10} {verb.about}" for name, verb in verbs.items())


def usage() -> str:
    """Return what `calco --help` prints."""
    return (
        "Calco trains image-to-image translators from a few hundred pairs.\n\n"
        f"usage: calco VERB [OPTIONS]\n\n{_listed(VERBS)}\n\n"
        f"{listed_examples(VERBS[name].examples[0] for name in ('demo', 'train', 'translate'))}\n\n"
        "calco VERB --help shows the options of a verb, calco --version the version.\n"
    )


def _prepare_streams() -> None:
    r"""Let stdout and stderr take any text, whatever their encoding, and also where they are closed.

    Characters that the encoding lacks become escapes such as `\xf1`.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  (for the rest of the process)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _abandon_stdout() -> None:
    """Write nothing more to stdout, which nobody reads: what is left must not fail again at the program's end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


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
