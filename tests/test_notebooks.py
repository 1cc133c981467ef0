"""The notebooks: the same in both languages, without outputs, and each runs from start to end."""

import ast
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from support import ROOT, requires
from test_public_names import NAMES
from test_spanish import code

NOTEBOOKS = ROOT / "notebooks"
SPANISH, ENGLISH = (sorted((NOTEBOOKS / language).glob("*.ipynb")) for language in ("es", "en"))
TWINS = list(zip(SPANISH, ENGLISH, strict=False))
SECONDS = 120  # of one core, without others beside it
PACKAGES = {"calco", *(name.rpartition(".")[0] for name in NAMES)}


def cells(path: Path, kind: str) -> list[str]:
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in read["cells"] if cell["cell_type"] == kind]


def tree(path: Path) -> ast.Module:
    """The code of a notebook after its install cell, whose lines of pip are no Python."""
    return ast.parse("\n".join(cells(path, "code")[1:]))


def name_of(value: Any) -> str:
    return str(value.stem) if isinstance(value, Path) else ""


def test_each_notebook_has_its_twin() -> None:
    assert len(SPANISH) >= 9
    assert [path.name[:2] for path in SPANISH] == [path.name[:2] for path in ENGLISH]


@pytest.mark.parametrize(("spanish", "english"), TWINS, ids=name_of)
def test_both_languages_have_the_same_code_and_sections(spanish: Path, english: Path) -> None:
    assert [code(each) for each in cells(spanish, "code")[1:]] == [code(each) for each in cells(english, "code")[1:]]
    assert [line for line in cells(spanish, "code")[0].splitlines() if "#" not in line] == [
        line for line in cells(english, "code")[0].splitlines() if "#" not in line
    ]
    heads = [[re.findall(r"(?m)^#+ ", each) for each in cells(path, "markdown")] for path in (spanish, english)]
    assert heads[0] == heads[1]


@pytest.mark.parametrize("path", [*SPANISH, *ENGLISH], ids=name_of)
def test_a_notebook_is_stripped_installs_first_and_takes_public_names_only(path: Path) -> None:
    read = json.loads(path.read_text(encoding="utf-8"))
    assert (read["nbformat"], read["metadata"]["kernelspec"]["name"]) == (4, "python3")
    stripped = [cell for cell in read["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in stripped)
    first = "".join(read["cells"][0]["source"])
    assert 'if importlib.util.find_spec("calco") is None:\n    %pip install' in first
    assert f'os.environ["CALCO_LANGUAGE"] = "{path.parent.name}"' in first
    extras = set(re.findall(r"\.\.\[([\w,]+)\]", first)[0].split(","))
    assert extras <= set(
        re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    )
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("calco"):
            assert {f"{node.module}.{each.name}" for each in node.names} <= {*NAMES}
        if isinstance(node, ast.Import):
            assert {each.name for each in node.names if each.name.startswith("calco")} <= PACKAGES
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in PACKAGES:
            assert ast.unparse(node) in {*NAMES, *PACKAGES}


@pytest.mark.parametrize("path", [*SPANISH, *ENGLISH], ids=name_of)
def test_the_links_of_a_notebook_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", "\n".join(cells(path, "markdown"))):
        assert (path.parent / target).is_file(), target


@pytest.mark.slow
@pytest.mark.parametrize("path", [*SPANISH[::2], *ENGLISH[1::2]], ids=name_of)  # both languages have the same code
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        import nbformat
        from nbclient import NotebookClient
    except ImportError:
        requires(False, "nbclient", "pip install -e '.[dev]'")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # what is installed already is not looked for
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    # Ten times the time that one core needs: tests beside this one take most of it.
    client = NotebookClient(notebook, timeout=10 * SECONDS, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert [each for each in outputs if each.output_type == "error"] == []
    assert sum("text/html" in each.get("data", {}) for each in outputs) >= 1
