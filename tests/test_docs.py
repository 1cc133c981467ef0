"""The documentation says what is so."""

import ast
import contextlib
import functools
import importlib
import inspect
import io
import re
import shlex
import sys
import tomllib
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tyro

import calco
import calco.cli
from calco.cli.verbs import COMMANDS, VERBS
from calco.errors import CalcoError
from support import ROOT
from test_public_names import PACKAGES

READMES = [ROOT / "README.md", ROOT / "README.es.md"]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """The text without its blocks of code."""
    return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def commands(page: Path) -> list[str]:
    """The lines of its shell blocks that call calco, without their comments."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("calco ")]


def headings(page: Path) -> list[str]:
    return re.findall(r"^(#+) ", prose(page), flags=re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", READMES, ids=name_of)
def test_every_verb_stands_in_the_readme(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [verb for verb in VERBS if f"calco {verb}" not in text] == []


def test_every_verb_has_its_section_in_the_page_of_commands() -> None:
    sections = re.findall(r"^## (\w+)$", prose(ROOT / "docs" / "cli.md"), flags=re.MULTILINE)
    assert sections == list(VERBS)


GROUPS = {name: verb.verbs for name, verb in VERBS.items() if verb.verbs}


@functools.cache
def help_of(verb: str) -> str:
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.suppress(SystemExit):
        calco.cli.main([*verb.split(), "--help" if verb in GROUPS else "--help-all"])
    return told.getvalue()


@pytest.mark.parametrize("group", GROUPS)
def test_a_verb_with_verbs_of_its_own_tells_what_it_does(group: str) -> None:
    told = help_of(group)
    assert told.startswith(VERBS[group].about)
    assert all(f"\n  {verb} " in told for verb in GROUPS[group])


class Parsed(Exception):
    """Raised once the arguments are parsed."""


@pytest.fixture
def parses(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], bool]:
    """Whether a command parses; a file of a run or a palette that it names need not be there."""

    def instead(kind: type, **options: Any) -> None:
        assert isinstance(parse(kind, **options), kind)
        raise Parsed

    def is_parsed(line: str) -> bool:
        line = re.sub(r" --(?:resume|config) (?!--)\S+", "", line.partition(" > ")[0].rstrip("\\"))
        try:
            calco.cli._run(shlex.split(line)[1:])
        except Parsed:
            return True
        except CalcoError as error:
            return "No such file" in str(error)
        except SystemExit as error:
            return not error.code and "--help" in line
        return line in ("calco --version", "calco lessons")  # they take nothing

    parse = tyro.cli
    monkeypatch.setattr(tyro, "cli", instead)
    return is_parsed


def test_the_examples_of_the_help_parse(parses: Callable[[str], bool]) -> None:
    lines = sorted({line for verb in (*VERBS.values(), *COMMANDS.values()) for line in verb.examples})
    assert [line for line in lines if not parses(line)] == []


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=name_of)
def test_every_command_of_a_page_parses(page: Path, parses: Callable[[str], bool]) -> None:
    assert [line for line in commands(page) if not parses(line)] == []


@pytest.mark.parametrize("verb", [*COMMANDS, *GROUPS])
def test_every_help_shows_one_to_three_examples_of_its_verb(verb: str) -> None:
    examples = (COMMANDS.get(verb) or VERBS[verb]).examples
    assert 1 <= len(examples) <= 3
    assert all(f"{line} ".startswith(f"calco {verb} ") for line in examples)
    assert "\n".join(["Examples:", *(f"  {line}" for line in examples)]) in help_of(verb)


def verb_of(line: str) -> str:
    """The verb of a command: one word, or two where a verb has verbs of its own."""
    words = line.split()[1:]
    return " ".join(words[: 2 if words[0] in GROUPS else 1])


def passed_on(line: str) -> set[str]:
    """The options that `calco ablate` passes on to `calco train`."""
    own, _, rest = line.partition(" -- ")
    quoted = " ".join(word for word in shlex.split(own.rstrip("\\")) if " " in word)
    return {word for word in f"{quoted} {rest}".replace("=", " ").split() if word.startswith("--")}


def test_options_that_an_ablation_passes_on_exist() -> None:
    options = set().union(*(passed_on(line) for page in PAGES for line in commands(page) if verb_of(line) == "ablate"))
    assert "--objective.gan" in options
    assert {each for each in options if not re.search(rf"{re.escape(each)}(?![\w.-])", help_of("train"))} == set()


def test_relative_links_resolve() -> None:
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists() or (anchor and anchor not in anchors(file)):
                broken.append(f"{name_of(page)}: {target}")
    assert broken == []


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / target).resolve() for target in re.findall(r"\]\(([^)#\s]+)\)", prose(index))}
    spanish = ROOT / "docs" / "es"
    assert {page for page in PAGES if page != index and spanish not in page.parents} <= linked


def test_a_spanish_page_has_an_english_one_of_the_same_name() -> None:
    spanish = ROOT / "docs" / "es"
    assert {
        page for page in spanish.rglob("*.md") if not (ROOT / "docs" / page.relative_to(spanish)).is_file()
    } == set()


def test_the_two_readmes_have_the_same_sections_and_commands() -> None:
    english, spanish = READMES
    assert headings(english) == headings(spanish)
    # What stands for the reader's own folders is in the reader's language.
    own = {"IMÁGENES": "IMAGES", "CARPETA": "DIR"}
    translated = [" ".join(own.get(word, word) for word in line.split()) for line in commands(spanish)]
    assert [" ".join(line.split()) for line in commands(english)] == translated


def test_the_readmes_show_a_report_the_watch_and_each_job() -> None:
    shown = [re.findall(r"!\[[^]]+\]\(([^)]+)\)", prose(page)) for page in READMES]
    assert shown[0] == shown[1]
    home = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "images" / "home").glob("*.png")}
    assert len(home) == 5
    assert {*home, "docs/images/readme/report.png", "docs/images/readme/watch.webp"} <= {*shown[0]}


def test_the_version_is_the_newest_of_the_changelog() -> None:
    newest = re.search(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert newest is not None
    assert newest[1] == project["version"] == calco.__version__


def test_every_library_stands_in_the_architecture() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *(line for name, lines in extras.items() if name not in ("dev", "docs") for line in lines),
    ]
    names = {re.split(r"[\[<>=~! ]", line)[0] for line in wanted} - {"calco"}
    assert {name for name in names if name not in text} == set()


@pytest.mark.parametrize("command", [line for line in commands(READMES[0]) if line.startswith("calco train ../")])
def test_the_commands_of_the_readme_fit_the_real_images(
    command: str, real_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(real_data / "faces")  # so that ../faces is there
    calco.cli.main([*command.split()[1:], "--dry-run"])
    assert "generator" in capsys.readouterr().out


def private_names(block: str) -> set[str]:
    """The names of Calco in an example that are not public."""
    public = {f"{package}.{name}" for package in PACKAGES for name in dir(importlib.import_module(package))}
    used: set[str] = set()
    modules = {"calco"}
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "calco":
            used |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names if alias.name.split(".")[0] == "calco"}
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) in {"calco", *PACKAGES}:
            used.add(ast.unparse(node))
    return (used - public - {*PACKAGES}) | (modules - {*PACKAGES})


def test_python_examples_use_public_names() -> None:
    for page in PAGES:
        blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        private = set().union(*map(private_names, blocks))
        assert private == set(), name_of(page)


def test_private_names_in_an_example_are_seen() -> None:
    assert private_names("from calco.detection.boxes import nms") == {"calco.detection.boxes.nms"}
    assert private_names("import calco\ncalco.load('run')\ncalco.inference.load()") == {"calco.inference"}
    assert private_names("import calco.imaging") == {"calco.imaging"}


def test_every_module_of_the_architecture_exists() -> None:
    named = re.findall(r"`([\w/]+(?:\.py|/))`", prose(ROOT / "ARCHITECTURE.md"))
    package = Path(calco.__path__[0])
    assert {name for name in named if not (package / name).exists() and not (ROOT / name).exists()} == set()


@pytest.mark.parametrize("verb", [name for name, verb in COMMANDS.items() if verb.common])
def test_the_short_help_shows_options_that_exist_and_names_the_long_one(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        calco.cli.main([*verb.split(), "--help"])
    short = capsys.readouterr().out
    assert f"calco {verb} --help-all" in short
    for name in COMMANDS[verb].common.split():
        shown = rf"--{name}(?![\w.-])"
        assert re.search(shown, short) or not re.search(shown, help_of(verb)), name
    assert len(set(re.findall(r"--[a-z][\w.-]*", short))) <= 40 < len(set(re.findall(r"--[a-z][\w.-]*", help_of(verb))))


def test_the_help_shows_the_sentences_of_inherited_fields_and_the_values_of_a_preset(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        calco.cli.main(["train", "--preset", "small", "--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--batch INT Number of items in a forward pass. (default: 8)" in text


@pytest.mark.parametrize("verb", COMMANDS)
def test_no_help_shows_a_default_that_is_nothing(verb: str) -> None:
    text = " ".join(help_of(verb).replace("│", " ").split())
    assert re.findall(r"(\S+ \S+ \S+) \(default: (?:None|''|)\)", text) == []


def test_the_examples_of_the_page_on_extending_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"```py(?:thon)?\n# (\S+)\n(.*?)```", text, flags=re.DOTALL))
    modules: dict[str, types.ModuleType] = {}
    for path, code in blocks.items():
        name = path.removeprefix("src/").removesuffix(".py").replace("/", ".")
        modules[path] = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, modules[path])
        # `from calco.data.sources import archives` finds a module as an attribute of its package.
        package, _, last = name.rpartition(".")
        if package.startswith("calco."):
            monkeypatch.setattr(importlib.import_module(package), last, modules[path], raising=False)
        exec(compile(code, path, "exec"), vars(modules[path]))
    tests = [
        value for path, module in modules.items() for name, value in vars(module).items() if name.startswith("test_")
    ]
    assert len(tests) == 3
    for test in tests:
        test(*([tmp_path] if inspect.signature(test).parameters else []))


def test_images_of_a_page_are_there_and_have_words_for_who_cannot_see_them() -> None:
    wrong = [
        f"{name_of(page)}: {target}"
        for page in PAGES
        for words, target in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", prose(page))
        if len(words) < 8 or not (page.parent / target).is_file()
    ]
    assert wrong == []


@pytest.mark.parametrize("page", ["choose.md", "es/choose.md"])
def test_the_scores_to_expect_are_those_of_the_results(page: str) -> None:
    rows = re.findall(r"^\|.*results\.md.*$", (ROOT / "docs" / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    results = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    scores = {score.replace(",", ".") for row in rows for score in re.findall(r"\d+[.,]\d+", row)}
    assert len(scores) > 8
    assert {score for score in scores if score not in results} == set()
