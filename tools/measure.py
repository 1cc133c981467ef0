"""Measure the house: its size, its import cycles, and how many files common tasks enter.

python tools/measure.py [FOLDER]     files, lines, packages, arrows, cycles of src/calco (or of another checkout's)
python tools/measure.py --entered    distinct files whose functions run in four common tasks
"""

import ast
import contextlib
import io
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from arguments import Arguments

SOURCE = Path(__file__).resolve().parent.parent / "src" / "calco"


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted names that a file imports, inside functions and under TYPE_CHECKING too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def graph_of(source: Path) -> dict[str, set[str]]:
    """Return which module imports which, by dotted names below `calco`."""
    modules = {}
    for path in source.rglob("*.py"):
        parts = ("calco", *path.relative_to(source).with_suffix("").parts)
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph = {}
    for name, path in modules.items():
        found = set()
        for target in imported(ast.parse(path.read_text(encoding="utf-8"))):
            while target and target not in modules:
                target = target.rpartition(".")[0]
            if target and target != name and (target != "calco" or name == "calco"):
                found.add(target)
        graph[name] = found
    return graph


def cycles_of(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected parts with more than one member (Tarjan, 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in graph[name]:
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            part = [stack.pop()]
            while part[-1] != name:
                part.append(stack.pop())
            if len(part) > 1:
                found.append(sorted(part))

    sys.setrecursionlimit(10_000)
    for name in graph:
        if name not in index:
            visit(name)
    return found


def package_of(module: str) -> str:
    """Return the package directly below `calco`, or the module itself where it lies there."""
    return ".".join(module.split(".")[:2])


def print_size(source: Path) -> None:
    """Print files, lines, packages, arrows and cycles."""
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in source.rglob("*.py")}
    longest = max(lines, key=lambda path: lines[path])
    graph = graph_of(source)
    packages: dict[str, set[str]] = {}
    for name, targets in graph.items():
        packages.setdefault(package_of(name), set()).update(map(package_of, targets))
    for name, targets in packages.items():
        targets.discard(name)
    packages.pop("calco", None)
    file_cycles, package_cycles = cycles_of(graph), cycles_of({n: t & packages.keys() for n, t in packages.items()})
    print(f"files            {len(lines)}")
    print(f"lines            {sum(lines.values())}")
    print(f"median file      {statistics.median(lines.values()):.0f}")
    print(f"longest file     {lines[longest]} ({longest.relative_to(source)})")
    print(f"packages         {sum(1 for path in source.iterdir() if path.is_dir() and any(path.glob('*.py')))}")
    between_packages, between_files = (sum(map(len, arrows.values())) for arrows in (packages, graph))
    print(f"arrows           {between_packages} between packages, {between_files} between files")
    print(f"cycles           {len(package_cycles)} between packages, {len(file_cycles)} between files")
    for part in [*package_cycles, *file_cycles]:
        print("                 " + " ".join(part))


def entered(task: Callable[[], Any]) -> int:
    """Return the number of files of Calco in which a function is called while the task runs."""
    root = str(SOURCE)
    seen: set[str] = set()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code.co_name != "<module>" and frame.f_code.co_filename.startswith(root):
            seen.add(frame.f_code.co_filename)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        task()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return len(seen)


def made_images(folder: Path) -> None:
    """Write two parallel folders of 30 images, a video, and 24 images with boxes in COCO."""
    import json

    import av
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(30):
        for side in ("sketch", "photo"):
            (folder / "pairs" / side).mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (64, 64, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "pairs" / side / f"{number}.png")
    with av.open(str(folder / "video.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for number in range(5):
            out.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), number * 40, np.uint8), format="rgb24"))
            )
        out.mux(stream.encode())
    (folder / "boxes").mkdir()
    images, annotations = [], []
    for number in range(24):
        pixels = rng.integers(90, 140, (96, 96, 3), np.uint8)
        x, y = (int(value) for value in rng.integers(4, 60, 2))
        pixels[y : y + 30, x : x + 30] = 250
        Image.fromarray(pixels).save(folder / "boxes" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 96, "height": 96})
        annotations.append(
            {"id": number, "image_id": number, "category_id": 1, "bbox": [x, y, 30, 30], "area": 900, "iscrowd": 0}
        )
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "square"}]}
    (folder / "boxes" / "annotations.json").write_text(json.dumps(content), encoding="utf-8")


def print_entered() -> None:
    """Print how many files four common tasks enter, each by the command line."""
    import calco
    from calco.cli import main

    def call(words: str) -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            main(words.split())

    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        made_images(Path(name))
        small = "--steps 2 --no-tensorboard --size"
        networks = "--resize 70 --generator.depth 4 --discriminator.patch 16"
        train = f"train pairs --input sketch --target photo {small} 64 {networks}"
        call(f"{train} --out run")
        call(f"detect train boxes --out detector {small} 96")
        tasks = {
            "opening a folder of 30 pairs": lambda _: calco.open_source(Path(name, "pairs")),
            "training for two steps": lambda turn: call(f"{train} --out run{turn}"),
            "translating five video frames": lambda turn: call(f"translate run video.mp4 --out {turn}.mp4"),
            "evaluating a detector": lambda turn: call(f"detect evaluate detector boxes --out scores{turn}"),
        }
        for task, run in tasks.items():
            run(0)  # importing modules calls functions too, which are not the task
            print(f"{task:<30} {entered(lambda run=run: run(1))}")


def main() -> None:
    """Print the one or the other."""
    parser = Arguments(__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("folder", nargs="?", type=Path, help="checkout to measure; by default the one of this script")
    what.add_argument("--entered", action="store_true", help="count the files whose functions run")
    given = parser.parse_args()
    source = given.folder / "src" / "calco" if given.folder else SOURCE
    if not source.is_dir():
        parser.error(f"{given.folder}: this folder has no src/calco")
    if given.entered:
        print_entered()
    else:
        print_size(source)


if __name__ == "__main__":
    main()
