"""What the export of a translator and that of a detector have in common: where the file goes, and what came of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from calco.errors import CalcoError
from calco.inference.graph_files import ends_as

D = TypeVar("D")


@dataclass(frozen=True)
class Exported(Generic[D]):
    """What came of an export.

    Attributes:
        path: The file.
        description: What stands in it.
        said: What was found, a sentence each.
    """

    path: Path
    description: D
    said: tuple[str, ...]


def target(
    model: str | Path,
    to: str,
    out: str | Path | None,
    endings: Mapping[str, str],
    folder_of: Callable[[str | Path], Path],
) -> Path:
    """The file that an export writes.

    Args:
        model: A run or a model folder.
        to: The kind of file.
        out: The file; None names it after the model, in the present folder.
        endings: Of the kinds of files.
        folder_of: Gives the model folder that `model` means.

    Raises:
        CalcoError: When the model is an exported file itself, or the name has another ending than its kind.
    """
    if ends_as(model, endings):
        raise CalcoError(f"{model} is an exported model already; name the run or the model folder that it was made of")
    ending = next((end for end, kind in endings.items() if kind == to), None)
    if ending is None:
        raise CalcoError(f"there is no export to {to}; choose {' or '.join(endings.values())}")
    path = Path(out) if out is not None else Path(f"{_name(folder_of(model))}{ending}")
    if path.suffix != ending:
        raise CalcoError(f"the file is {path}, and {to} is written as {ending}; name it {path.with_suffix(ending)}")
    return path


def differs(words: str) -> CalcoError:
    """What is said when a file does not do what its model does.

    Args:
        words: How far they lie apart.
    """
    return CalcoError(f"the export differs from its model, so no file is written ({words}); please report this")


def _name(folder: Path) -> str:
    """The run's name, or the model folder's."""
    folder = folder.resolve()
    return folder.parent.name if folder.name == "model" and (folder.parent / "config.yaml").is_file() else folder.name
