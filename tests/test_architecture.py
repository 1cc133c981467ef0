"""A module imports only what stands above it, and the light doors stay light."""

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from calco.cli.verbs import COMMANDS
from support import ROOT

SOURCE = ROOT / "src" / "calco"

# The order of ARCHITECTURE.md. `top` is calco/__init__.py and calco/__main__.py.
LAYERS = (
    "version",
    "lazy",
    "addresses",
    "hardware",
    "errors",
    "files",
    "console",
    "journal",
    "outputs",
    "work",
    "records",
    "imaging",
    "report",
    "video",
    "annotations",
    "data",
    "collecting",
    "checking",
    "networks",
    "inference",
    "export",
    "evaluation",
    "training",
    "detection",
    "watch",
    "crime",
    "lessons",
    "ablation",
    "benchmarks",
    "web",
    "diagnosis",
    "top",
    "cli",
)
APART = {"detection": {"crime"}, "crime": {"detection", "training"}}
MAY_LOOK_DOWN_IN_FUNCTIONS = {"cli"}
HEAVY = {
    "av", "cv2", "duckdb", "matplotlib", "pandas", "plotly", "pyarrow", "scipy", "skimage", "tensorboardX", "torch",
    "torchmetrics", "transformers",
}  # fmt: skip
FORBIDDEN = {"dill", "joblib", "lpips", "marshal", "pickle", "shelve", "timm", "torchvision"}


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def layer_of(module: str) -> str:
    """The layer of a dotted name inside calco: `calco.data.sample` => data, `calco` => top."""
    parts = module.split(".")
    return "top" if len(parts) == 1 or parts[1] in {"__init__", "__main__"} else parts[1]


def module_of(path: Path, source: Path) -> str:
    return ".".join(("calco", *path.relative_to(source).with_suffix("").parts))


def imports_of(tree: ast.AST, *, inside: bool = False) -> Iterator[tuple[str, int, bool]]:
    """Yields (dotted name, line, whether it stands in a function) for every import."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, inside
        elif isinstance(node, ast.ImportFrom):
            if node.module == "calco":  # `from calco import images` names a module
                for alias in node.names:
                    yield f"calco.{alias.name}", node.lineno, inside
            else:
                yield node.module or "", node.lineno, inside
        else:
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports_of(node, inside=inside or function)


def violations(source: Path) -> list[str]:
    """Every import under `source` that runs upward, joins what is kept apart, or is forbidden."""
    found = []
    for path in sorted(source.rglob("*.py")):
        if path.parent.name == "notebooks":  # scripts of users: they import what is public
            continue
        here = layer_of(module_of(path, source))
        for name, line, inside in imports_of(parsed(path)):
            where = f"{path.relative_to(source)}:{line} imports {name}"
            if name.split(".")[0] in FORBIDDEN:
                found.append(f"{where}, which Calco does not use")
            if name.split(".")[0] != "calco":
                continue
            there = layer_of(name)
            free = here == "top" or (inside and here in MAY_LOOK_DOWN_IN_FUNCTIONS)
            if there not in LAYERS or here not in LAYERS:
                found.append(
                    f"{where}: {here} or {there} has no place in LAYERS; give it one here and in ARCHITECTURE.md"
                )
            elif LAYERS.index(there) > LAYERS.index(here) and not free:
                found.append(f"{where}: {here} stands above {there}")
            elif there in APART.get(here, set()):
                found.append(f"{where}: {here} knows nothing of {there}")
    return found


def test_no_import_runs_upward() -> None:
    assert violations(SOURCE) == []


@pytest.mark.parametrize(
    ("path", "line", "complaint"),
    [
        ("data/types.py", "from calco.training.step import train", "data stands above training"),
        ("imaging/reading.py", "def f():\n    from calco import data", "imaging stands above data"),
        ("crime/tables.py", "import calco.detection", "crime knows nothing of detection"),
        ("errors.py", "import torchvision.ops", "which Calco does not use"),
        ("novelty.py", "import calco.errors", "has no place in LAYERS"),
        ("cli.py", "def f():\n    from calco import benchmarks", None),
        ("data/dataset.py", "from calco.imaging import Image", None),
    ],
)
def test_the_rule_sees_what_it_should(tmp_path: Path, path: str, line: str, complaint: str | None) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(line)
    found = violations(tmp_path)
    if complaint is None:
        assert found == []
    else:
        assert len(found) == 1
        assert complaint in found[0]


def graph(source: Path) -> dict[str, set[str]]:
    """Every file below `source`, as a module, with the modules that it imports anywhere in it."""
    paths = {module_of(path, source).removesuffix(".__init__"): path for path in sorted(source.rglob("*.py"))}
    result: dict[str, set[str]] = {}
    for module, path in paths.items():
        wanted: set[str] = set()
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "calco":
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                wanted |= {name if name in paths else str(node.module) for name in names}
            elif isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names}
        # A package's public names are imported when they are used, and nothing of ours uses them.
        public = module.count(".") <= 1 and path.name == "__init__.py" and "lazy_names" in path.read_text("utf-8")
        result[module] = set() if public else wanted & paths.keys() - {module}
    return result


def circles(edges: dict[str, set[str]]) -> set[frozenset[str]]:
    """The sets of modules in which each reaches every other one."""
    reach = {}
    for start, first in edges.items():
        seen: set[str] = set()
        waiting = [*first]
        while waiting:
            if (name := waiting.pop()) not in seen:
                seen.add(name)
                waiting.extend(edges[name])
        reach[start] = seen
    return {frozenset(other for other in reach[one] if one in reach[other]) for one in edges if one in reach[one]}


def test_no_files_import_each_other_in_a_circle() -> None:
    """Imports inside functions and under TYPE_CHECKING count."""
    assert circles(graph(SOURCE)) == set()


def test_a_circle_is_seen(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.py").write_text("from calco.data.b import x")
    (tmp_path / "data" / "b.py").write_text("def f():\n    from calco.data import a")
    (tmp_path / "data" / "c.py").write_text("from calco.data.a import f")
    assert circles(graph(tmp_path)) == {frozenset({"calco.data.a", "calco.data.b"})}


def test_torch_load_takes_weights_only() -> None:
    loose = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                safe = any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords)
                if not safe:
                    loose.append(f"{path.relative_to(SOURCE)}:{node.lineno}")
    assert loose == []


def heavy_modules_after(code: str) -> set[str]:
    """What of HEAVY a fresh interpreter has imported after running `code`."""
    report = f"{code}\nimport sys; print('LOADED', *sorted({HEAVY!r} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True, timeout=60)
    return set(run.stdout.rsplit("LOADED", 1)[1].split())


@pytest.mark.parametrize("module", ["calco", "calco.cli", "calco.errors", "calco.imaging", "calco.data"])
def test_light_modules_import_no_heavy_library(module: str) -> None:
    allowed = {"cv2"} if module in {"calco.imaging", "calco.data"} else set()
    assert heavy_modules_after(f"import {module}") <= allowed


# All in one process: what the first of them imports is still there after the last.
HELP = """
import sys
import calco.cli
for arguments in {calls!r}:
    try:
        calco.cli.main(arguments.split())
    except SystemExit as end:
        assert not end.code, arguments
    assert not {heavy!r} & set(sys.modules), arguments
"""


def test_the_list_of_verbs_imports_nothing_but_their_table() -> None:
    code = (
        "import calco.cli, sys\ntry:\n    calco.cli.main(['--help'])\nexcept SystemExit:\n"
        "    print('LOADED', *sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(run.stdout.rsplit("LOADED", 1)[1].split())
    own = {"addresses", "cli", "cli.verbs", "errors", "lazy", "version"}
    assert {name for name in loaded if name.startswith("calco.")} == {f"calco.{name}" for name in own}
    assert not {"msgspec", "numpy", "rich", "tyro", "yaml"} & loaded


def test_help_imports_no_heavy_library() -> None:
    calls = ["--help", "--version", *(f"{verb} --help" for verb in sorted(COMMANDS))]
    assert heavy_modules_after(HELP.format(calls=calls, heavy=HEAVY)) == set()


@pytest.mark.parametrize(
    ("call", "frozen"), [("sys.argv = ['calco', 'doctor']; main()", True), ("main(['doctor'])", False)]
)
def test_a_command_of_its_own_keeps_what_it_imports_for_good(call: str, frozen: bool) -> None:
    """A program that calls `main` goes on afterwards, and its objects are left to the garbage collector."""
    code = f"import gc, sys\nfrom calco.cli import main\n{call}\nprint('FROZEN', gc.get_freeze_count(), gc.isenabled())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    count, enabled = run.stdout.rsplit("FROZEN", 1)[1].split()
    assert (int(count) > 10_000) == frozen
    assert enabled == "True"
