"""Reference pages, generated from the code.

Each verb has a page with its options beside the fields of Python, each public package one with its names.
"""

import dataclasses
import html
import importlib
import inspect
import re
import typing
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import tyro
import tyro.extras

import calco.cli
from calco.cli.parsing import _field_texts
from calco.cli.verbs import COMMANDS, listed_examples

PACKAGES: Final = (
    "calco", "calco.annotations", "calco.crime", "calco.detection", "calco.lessons", "calco.video", "calco.watch"
)  # fmt: skip
VERBS: Final = [*COMMANDS]
"""Every verb, such as "train" or "detect watch"."""

WORDS: Final = {
    "en": {
        "command": "Command line", "python": "Python", "options": "Options", "option": "Option", "field": "Field",
        "default": "Default", "effect": "What it does", "examples": "Examples", "language": "",
        "more": "{link} describes what the verb is for.",
    },
    "es": {
        "command": "Línea de comandos", "python": "Python", "options": "Opciones", "option": "Opción", "field": "Campo",
        "default": "Por omisión", "effect": "Efecto", "examples": "Ejemplos",
        "language": "Las descripciones salen del código y están en inglés.\n\n",
        "more": "{link} explica para qué sirve el verbo.",
    },
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option of a verb, and the field of its configuration."""

    names: tuple[str, ...]
    """Such as ("--flip", "--no-flip"); the metavar of a positional argument."""
    values: str
    """What it takes, such as INT or {auto,cpu}; empty for a flag."""
    field: str
    """Path in the configuration, such as "limit.minutes"."""
    default: str
    text: str
    section: str
    """What its group is about; empty for options of the verb itself."""


class _Parsed(Exception):
    """Raised in place of parsing."""


def options_of(verb: str) -> tuple[type, str, list[Option]]:
    """Return the configuration, the description and the options of a verb, as `calco VERB --help-all` shows them."""
    seen: list[tuple[type, str]] = []

    def instead(kind: type, *, description: str, **_rest: object) -> None:
        seen.append((kind, description))
        raise _Parsed

    original, tyro.cli = tyro.cli, instead
    try:
        calco.cli._run([*verb.split(), "--help-all"])
    except _Parsed:
        pass
    finally:
        tyro.cli = original
    kind, about = seen[0]
    with warnings.catch_warnings():
        # The one way to tyro's names of options; it announces that a later tyro has another.
        warnings.simplefilter("ignore", DeprecationWarning)
        parser = tyro.extras.get_parser(kind, prog=f"calco {verb}", description=about)
    return kind, about, [option for group in parser._action_groups for option in _options(group)]


def _options(group: Any) -> Iterator[Option]:
    """Yield the options of a group of an argparse parser."""
    for action in group._group_actions:
        if action.dest == "help":
            continue
        text, default = re.fullmatch(
            r"(.*?)(?: ?\((?:default: (.*)|required)\))?", action.help or "", re.DOTALL
        ).groups("")
        is_flag = bool(action.option_strings) and action.nargs == 0
        yield Option(
            names=tuple(action.option_strings) or (str(action.metavar),),
            values="" if is_flag or not action.option_strings else _metavar(action),
            field=action.dest.replace("-", "_"),
            default=default,
            text=text.rstrip(),
            section=group.description or "",
        )


def _metavar(action: Any) -> str:
    return " ".join(action.metavar) if isinstance(action.metavar, tuple) else str(action.metavar)


def function_of(kind: type) -> str:
    """Return the public function that takes the configuration of a verb, such as "calco.train"."""
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            value = getattr(module, name)
            if not inspect.isfunction(value):
                continue
            first = next(iter(inspect.signature(value).parameters.values()), None)
            if first is not None and getattr(first.annotation, "__name__", first.annotation) == kind.__name__:
                return f"{package}.{name}"
    raise LookupError(f"{kind.__name__}: no public function takes it")


def verb_page(verb: str, language: str) -> str:
    """Return the page of a verb: command and function, then a table of options and fields for each section."""
    words = WORDS[language]
    kind, about, options = options_of(verb)
    function = function_of(kind)
    package = function.rpartition(".")[0]
    first, examples = COMMANDS[verb].about, COMMANDS[verb].examples
    rest = about.removeprefix(f"{first}\n\n{listed_examples(examples)}")
    positional = " ".join(f"[{option.names[0]}]" for option in options if not option.names[0].startswith("-"))
    section = verb.partition(" ")[0]
    lines = [
        f"# calco {verb}\n",
        f"{first}\n",
        words["language"] + words["more"].format(link=f"[calco {section}](../cli.md#{section})") + "\n",
        '<div class="beside" markdown>\n<div markdown>\n',
        f"**{words['command']}**\n",
        f"```sh\ncalco {verb} {positional}".rstrip() + " [OPTIONS]\n```\n",
        "</div>\n<div markdown>\n",
        f"**{words['python']}**\n",
        f"```python\nimport {package}\n\nconfig = {package}.{kind.__name__}({_example(options)})",
        f"{function}(config)\n```\n",
        f"[{function}]({_page_of(package)}#{function})\n",
        "</div>\n</div>\n",
        f"**{words['examples']}**\n",
        "```sh\n" + "\n".join(examples) + "\n```\n",
    ]
    if rest.strip():
        lines.append(f"{_escape(rest.strip())}\n")
    lines.append(f"## {words['options']}\n")
    section_now: str | None = None
    for option in options:
        if option.section != section_now:
            section_now = option.section
            head = (
                f"| {words['option']} | {words['field']} | {words['default']} | {words['effect']} |\n|---|---|---|---|"
            )
            lines.append((f"\n### {section_now.rstrip('.')}\n\n" if section_now else "\n") + head)
        names = " ".join(f"`{name}`" for name in option.names)
        values = f" {_code(option.values)}" if option.values else ""
        default = _code(option.default) if option.default else ""
        lines.append(f"| {names}{values} | `{option.field}` | {default} | {_cell(option.text)} |")
    return "\n".join(lines) + "\n"


def _example(options: list[Option]) -> str:
    """Return the first field as it is given in Python."""
    positional = next((option for option in options if not option.names[0].startswith("-")), None)
    return f"{positional.field}=..." if positional else ""


def package_page(package: str, language: str) -> str:
    """Return the page of a public package: each name with its signature and docstring."""
    module = importlib.import_module(package)
    head = [f"# {package}\n", WORDS[language]["language"] + _prose(inspect.getdoc(module) or "")]
    names = sorted((name for name in module.__all__ if not name.startswith("__")), key=str.lower)
    return "\n".join([*head, *(_entry(f"{package}.{name}", getattr(module, name)) for name in names)])


def _entry(name: str, value: Any) -> str:
    """Return the entry of a public name."""
    lines = [f"\n## `{name}` {{#{name}}}\n"]
    if inspect.isclass(value):
        lines += _class(name, value)
    elif callable(value):
        lines += [_signature(name, value), _prose(inspect.getdoc(value) or "")]
    else:
        kind = value if isinstance(value, type) else type(value)
        lines.append(f"`{kind.__name__}`\n")
        if isinstance(value, dict):
            lines.append("\n".join(f"- `{key}`" for key in value))
    return "\n".join(lines)


def _class(name: str, value: type) -> Iterator[str]:
    """Yield signature, docstring, fields and methods of a class."""
    if issubclass(value, Exception):
        yield f"```python\nclass {name}({', '.join(base.__name__ for base in value.__bases__)})\n```\n"
        yield _prose(inspect.getdoc(value) or "")
        return
    if not dataclasses.is_dataclass(value):
        yield _signature(name, value)
    about = inspect.getdoc(value) or ""
    if dataclasses.is_dataclass(value):
        yield _prose(re.sub(r"^Attributes:\n(?: .*\n?|\n)*", "", about, flags=re.MULTILINE))
        yield "| Field | Type | Default | |\n|---|---|---|---|"
        for field, text in _fields(value):
            yield f"| `{field.name}` | {_code(_type(field.type))} | {_default(field)} | {_cell(text)} |"
        yield ""
    else:
        yield _prose(about)
    for method, function in vars(value).items():
        plain = getattr(function, "fget", None) or getattr(function, "__func__", function)
        if (method.startswith("_") and method != "__call__") or not inspect.isfunction(plain):
            continue
        shown = f"{value.__name__}.{method}"
        yield f"\n### `{shown}` {{#{name}.{method.strip('_')}}}\n"
        yield f"`{shown}`: property\n" if isinstance(function, property) else _signature(shown, plain)
        yield _prose(inspect.getdoc(plain) or "")


def _fields(kind: type) -> Iterator[tuple["dataclasses.Field[Any]", str]]:
    """Yield the fields of a dataclass, each with the sentence under it, or its line under Attributes."""
    texts = _attributes(inspect.getdoc(kind) or "")
    for base in reversed(kind.__mro__):
        if dataclasses.is_dataclass(base):
            texts |= _field_texts(base.__module__).get(base.__qualname__, {})
    for field in dataclasses.fields(kind):
        if not field.name.startswith("_"):
            part = None if field.default_factory is dataclasses.MISSING else field.default_factory()
            about = inspect.getdoc(type(part)) or "" if dataclasses.is_dataclass(part) else ""
            yield field, texts.get(field.name, "") or about


def _attributes(text: str) -> dict[str, str]:
    """Return what the section Attributes of a docstring says of each name."""
    _, _, block = text.partition("Attributes:\n")
    return {name: " ".join(about.split()) for name, about in _entries(block)}


def _entries(block: str) -> list[tuple[str, str]]:
    """Return the entries of a section of a Google docstring, "name: text", with indented lines that follow."""
    return re.findall(r"^ {4}([\w*.`]+(?: \([^)]*\))?): (.*(?:\n(?: {5,}.*)?)*)", block, flags=re.MULTILINE)


def _signature(name: str, function: Callable[..., Any] | type) -> str:
    """Return a signature as a block of Python, a line for each argument if it is long."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return ""
    parts: list[str] = []
    kind_before = None
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and kind_before not in (
            parameter.KEYWORD_ONLY,
            parameter.VAR_POSITIONAL,
        ):
            parts.append("*")
        kind_before = parameter.kind
        star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        shown = star + parameter.name
        if parameter.annotation is not parameter.empty:
            shown += f": {_type(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            shown += f" = {_value(parameter.default)}"
        parts.append(shown)
    result = (
        ""
        if signature.return_annotation in (signature.empty, None, "None")
        else f" -> {_type(signature.return_annotation)}"
    )
    line = f"{name}({', '.join(parts)}){result}"
    if len(line) > 88:
        line = f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){result}"
    return f"```python\n{line}\n```\n"


def _type(annotation: Any) -> str:
    """Return an annotation without the modules of its names."""
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(r"Annotated\[([\w.\[\], |]+?), \w[^\]]*\]", r"\1", text)
    return re.sub(r"\b(?:\w+\.)+(?=[A-Za-z_])", "", text)


def _value(value: Any) -> str:
    return "..." if callable(value) and not isinstance(value, type) else repr(value)


def _default(field: "dataclasses.Field[Any]") -> str:
    if field.default is not dataclasses.MISSING:
        return _code(_value(field.default)) if field.default != "" else ""
    return "" if field.default_factory is dataclasses.MISSING else _code("...")


_SECTIONS: Final = re.compile(r"^(Args|Returns|Raises|Yields|Attributes|Example|Examples|Note|Notes):$", re.MULTILINE)


def _prose(text: str) -> str:
    """Return a Google docstring as Markdown: sections with an entry a line."""
    head, *rest = _SECTIONS.split(text)
    lines = [_escape(head.strip()), ""]
    for title, block in zip(rest[::2], rest[1::2], strict=True):
        entries = _entries(block)
        lines.append(f"**{title}**\n")
        if entries and title != "Returns":
            lines += [f"- `{name}`: {_escape(' '.join(about.split()))}" for name, about in entries]
        else:
            lines.append(_escape(inspect.cleandoc(block)))
        lines.append("")
    return "\n".join(lines)


def _escape(text: str) -> str:
    """Return text whose angle brackets, stars and underlines stay what they are, outside of code."""
    parts = re.split(r"(`[^`]*`|^(?:    .*\n?)+)", text, flags=re.MULTILINE)
    return "".join(
        part if at % 2 else re.sub(r"([*_\[\]])", r"\\\1", html.escape(part, quote=False))
        for at, part in enumerate(parts)
    )


def _cell(text: str) -> str:
    return _escape(" ".join(text.split())).replace("|", "\\|")


def _code(text: str) -> str:
    """Return code for a cell of a table, in which no stroke may stand."""
    marks = str.maketrans({"|": "&#124;", "*": "&#42;", "_": "&#95;"})
    return f"<code>{html.escape(text, quote=False).translate(marks)}</code>"


def _page_of(package: str) -> str:
    return f"{package}.md"


def file_of(verb: str) -> str:
    """Return the name of the page of a verb, such as "detect-watch.md"."""
    return f"{verb.replace(' ', '-')}.md"


def pages(language: str) -> Iterator[tuple[str, str]]:
    """Yield all reference pages: name of the file and Markdown."""
    for verb in VERBS:
        yield file_of(verb), verb_page(verb, language)
    for package in PACKAGES:
        yield _page_of(package), package_page(package, language)


def undocumented() -> list[str]:
    """Return the verbs, options, public names, fields and methods that no sentence describes."""
    found: list[str] = []
    for verb in VERBS:
        _, about, options = options_of(verb)
        found += [] if about.strip() else [f"calco {verb}"]
        found += [f"calco {verb} {option.names[0]}" for option in options if not option.text.strip()]
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            found += _undocumented(f"{package}.{name}", getattr(module, name))
    return found


def _undocumented(name: str, value: Any) -> Iterable[str]:
    if not callable(value):
        return []
    found = [] if (inspect.getdoc(value) or "").strip() else [name]
    if dataclasses.is_dataclass(value) and isinstance(value, type):
        found += [f"{name}.{field.name}" for field, text in _fields(value) if not text]
    return found
