"""`calco completion`: scripts by which a shell completes verbs, options, their values and file names.

A script holds everything, so that no Python starts when Tab is pressed. What the verbs take is read from their
configurations, as `--help` is; a script is made anew after an upgrade.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from tyro.conf import OmitArgPrefixes, Positional

from calco.cli.parsing import configuration_of, parse
from calco.cli.verbs import COMMANDS, VERBS, Verb
from calco.console import emit
from calco.errors import shortened

_LONGEST: Final = 90  # characters of the description of an option


@dataclass(frozen=True, kw_only=True)
class CompletionConfig:
    """Print the script by which a shell completes the command line."""

    shell: Positional[Literal["bash", "zsh", "fish"]]
    """Shell that reads the script."""


@dataclass(frozen=True)
class Option:
    """An option of a verb; a positional argument has no names.

    `values` are the words that it takes; `files` tells if it takes text, which may be a file name; neither: a number,
    or nothing.
    """

    names: tuple[str, ...]
    about: str = ""
    values: tuple[str, ...] = ()
    files: bool = False


def print_completion(args: list[str]) -> None:
    emit(completion(parse(CompletionConfig, args, "completion")))


def completion(config: CompletionConfig) -> str:
    """Return the script that completes `calco` in a shell.

    Args:
        config: The shell.

    Returns:
        The script, for the shell's folder of completions.
    """
    write = {"bash": _bash, "zsh": _zsh, "fish": _fish}[config.shell]
    head = f"# Completes calco in {config.shell}; made by: calco completion {config.shell}\n"
    return write(head, {command: options_of(command) for command in COMMANDS})


def options_of(command: str) -> list[Option]:
    """Return the options of a command such as "detect train", and its positional arguments."""
    from calco.training.config import PRESETS

    whole = (
        Option(("--config",), "repeat the run of a config.yaml", files=True),
        Option(("--resume",), "resume a run where it stopped", files=True),
        Option(("--dry-run",), "print configuration and summary, then exit"),
    )
    further: dict[str, tuple[Option, ...]] = {
        "train": (Option(("--preset",), "configuration to start from", tuple(PRESETS)), *whole),
        "detect train": whole,
        "check": (Option(("--drop",), "write the images to leave out", files=True),),
    }
    usual = (Option(("--help",), "show the options"), Option(("--help-all",), "show all options"))
    return [*_options(configuration_of(command)), *further.get(command, ()), *usual]


def _options(kind: type, prefix: str = "", *, bare: bool = False) -> Iterator[Option]:
    """Yield the options of a class as tyro names them."""
    hints = get_type_hints(kind, include_extras=True)
    for each in fields(kind):
        hint, name = hints[each.name], each.name
        markers = getattr(hint, "__metadata__", ())
        plain = get_args(hint)[0] if markers else hint
        if isinstance(plain, type) and is_dataclass(plain):
            without = bare or OmitArgPrefixes in markers
            yield from _options(plain, prefix if without else f"{prefix}{name}.", bare=without)
            continue
        name = next((own for marker in markers if (own := getattr(marker, "name", None))), name)
        shown = f"{prefix}{name}".replace("_", "-")
        about = shortened(each.metadata.get("help", ""), _LONGEST)
        values = tuple(_values(plain))
        if plain is bool:
            yield Option((f"--{shown}", f"--{shown[: len(prefix)]}no-{shown[len(prefix) :]}"), about)
        else:
            names = () if Positional in markers else (f"--{shown}",)
            yield Option(names, about, values, files=not values and _takes_text(plain))


def _values(hint: Any) -> Iterator[str]:
    """Yield the words that a type allows."""
    if get_origin(hint) is Literal:
        yield from (str(value) for value in get_args(hint) if value is not None)
    else:
        for part in get_args(hint):
            yield from _values(part)


def _takes_text(hint: Any) -> bool:
    return hint is str or any(map(_takes_text, get_args(hint)))


def _groups() -> dict[str, list[str]]:
    return {name: [*verb.verbs] for name, verb in VERBS.items() if verb.verbs}


def _split(options: Iterable[Option]) -> tuple[list[Option], list[Option]]:
    """Return options with names, and positional arguments."""
    every = [*options]
    return [each for each in every if each.names], [each for each in every if not each.names]


def _takes_value(option: Option) -> bool:
    """Return whether a value follows an option; after a flag comes another word."""
    return len(option.names) == 1 and option.names[0] not in ("--dry-run", "--help", "--help-all")


def _cases(options: Mapping[str, list[Option]], *, choose: str, number: str) -> Iterator[str]:
    """Yield the branches of a `case "$verb $previous"` of bash or zsh for options with values, by these templates."""
    numbers: list[str] = []
    for command, every in options.items():
        for option in _split(every)[0]:
            pattern = f'"{command} {option.names[0]}"'
            if option.values:
                yield f"        {pattern}) {choose.format(' '.join(map(shlex.quote, option.values)))} ;;"
            elif _takes_value(option) and not option.files:
                numbers.append(pattern)
    yield f"        {'|'.join(numbers)}) {number} ;;"


def _text_options(options: Mapping[str, list[Option]]) -> str:
    """Return the pattern of options after which any text comes, which may be a file."""
    return "|".join(
        f'"{command} {option.names[0]}"'
        for command, every in options.items()
        for option in _split(every)[0]
        if option.files
    )


def _bash(head: str, options: Mapping[str, list[Option]]) -> str:
    """Return the script for bash; file names are readline's, wherever the function offers nothing."""
    groups = _groups()
    lines = [
        "_calco() {",
        '    local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}"',
        '    local verb="${COMP_WORDS[1]}" words=""',
        "    COMPREPLY=()",
        "    # --option=value is three words",
        '    if [ "$current" = "=" ]; then current=""',
        '    elif [ "$previous" = "=" ]; then previous="${COMP_WORDS[COMP_CWORD-2]}"; fi',
        "    if [ $COMP_CWORD -eq 1 ]; then",
        f"        words={shlex.quote(' '.join([*VERBS, '--help', '--version']))}",
        f'    elif [ $COMP_CWORD -eq 2 ] && [[ " {" ".join(groups)} " == *" $verb "* ]]; then',
        '        case "$verb" in',
        *(f"        {name}) words={shlex.quote(' '.join([*verbs, '--help']))} ;;" for name, verbs in groups.items()),
        "        esac",
        "    else",
        f'        [[ " {" ".join(groups)} " == *" $verb "* ]] && verb="$verb ${{COMP_WORDS[2]}}"',
        '        case "$verb $previous" in',
        *_cases(options, choose='words="{}"', number="compopt +o default 2>/dev/null; return"),
        f"        {_text_options(options)}) return ;;",
        "        *)",
        '            case "$verb" in',
    ]
    for command, every in options.items():
        named, positional = _split(every)
        names = " ".join(name for option in named for name in option.names)
        values = " ".join(value for option in positional for value in option.values)
        lines += [
            f'            "{command}")',
            f'                if [[ "$current" == -* ]]; then words="{names}"; else words="{values}"; fi ;;',
        ]
    lines += [
        "            esac ;;",
        "        esac",
        "    fi",
        '    COMPREPLY=($(compgen -W "$words" -- "$current"))',
        "}",
        "complete -o default -F _calco calco",
    ]
    return head + "\n".join(lines) + "\n"


def _described(pairs: Iterable[tuple[str, str]]) -> str:
    """Return words with descriptions as `_describe` of zsh takes them."""
    return " ".join(shlex.quote(f"{name}:{about}") for name, about in pairs)


def _described_verbs(verbs: Mapping[str, Verb]) -> str:
    return _described((name, verb.about) for name, verb in verbs.items())


def _zsh(head: str, options: Mapping[str, list[Option]]) -> str:
    """Return the script for zsh, for a folder of $fpath or to be sourced."""
    groups = _groups()
    pattern = "|".join(groups)
    lines = [
        "_calco() {",
        "    local verb=$words[2] previous=$words[CURRENT-1]",
        "    local -a shown",
        "    if (( CURRENT == 2 )); then",
        f"        shown=({_described_verbs(VERBS)})",
        "        _describe verb shown; return",
        "    fi",
        f"    if [[ $verb == ({pattern}) ]]; then",
        "        if (( CURRENT == 3 )); then",
        "            case $verb in",
        *(f"            {name}) shown=({_described_verbs(VERBS[name].verbs)}) ;;" for name in groups),
        "            esac",
        "            _describe verb shown; return",
        "        fi",
        '        verb="$verb $words[3]"',
        "    fi",
        "    compset -P '--*=' && previous=${IPREFIX%=}",
        '    case "$verb $previous" in',
        *_cases(options, choose="compadd -- {}; return", number="_message number; return"),
        f"        {_text_options(options)}) _files; return ;;",
        "    esac",
        '    case "$verb" in',
    ]
    for command, every in options.items():
        named, positional = _split(every)
        shown = _described((name, option.about) for option in named for name in option.names)
        values = " ".join(shlex.quote(value) for option in positional for value in option.values)
        lines += [
            f'        "{command}")',
            f"            if [[ $PREFIX == -* ]]; then shown=({shown}); _describe -o option shown",
            f"            else {f'compadd -- {values}' if values else '_files'}; fi ;;",
        ]
    lines += [
        "    esac",
        "}",
        'if [ "$funcstack[1]" = "_calco" ]; then _calco "$@"; else compdef _calco calco; fi',
    ]
    return "#compdef calco\n" + head + "\n".join(lines) + "\n"


def _fish(head: str, options: Mapping[str, list[Option]]) -> str:
    """Return the script for fish."""
    groups = _groups()
    lines = [
        "function __calco_verb",
        "    set -l words (commandline -opc)[2..]",
        f'    if contains -- "$words[1]" {" ".join(groups)}',
        '        echo "$words[1..2]"',
        "    else",
        '        echo "$words[1]"',
        "    end",
        "end",
        "complete -c calco -f",
        *_fish_words("", ((name, verb.about) for name, verb in VERBS.items())),
    ]
    for group in groups:
        lines += _fish_words(group, ((name, verb.about) for name, verb in VERBS[group].verbs.items()))
    for command, every in options.items():
        start = f"complete -c calco -n {_fish_when(command)}"
        for option in every:
            about = f" -d {_fish_quote(option.about)}" if option.about else ""
            values = f" -a {_fish_quote(' '.join(option.values))}" if option.values else ""
            if not option.names:
                lines.append(f"{start}{values or ' -F'}")
                continue
            kind = (" -r -F" if option.files else " -x") if _takes_value(option) else ""
            lines += [f"{start} -l {name[2:]}{kind}{values}{about}" for name in option.names]
    return head + "\n".join(lines) + "\n"


def _fish_words(verb: str, words: Iterable[tuple[str, str]]) -> list[str]:
    when = _fish_when(verb)
    return [f"complete -c calco -n {when} -a {name} -d {_fish_quote(about)}" for name, about in words]


def _fish_when(verb: str) -> str:
    return _fish_quote(f'test (__calco_verb) = "{verb}"')


def _fish_quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
