"""Makes the part of Plotly that the page of charts needs, with the licences of all that is in it.

python tools/plotly_bundle.py src/calco/crime/plotly/plotly.min.js

It wants Node.js with npm, and a network. The file tells the versions of all that is in it.
"""

import json
import subprocess
import tempfile
from pathlib import Path

from arguments import Arguments

VERSIONS = {"plotly.js": "4.1.1", "esbuild": "0.28.2"}
TRACES = ("bar", "pie", "sunburst")  # and scatter, which the core holds
DEFINED = {"global": "window", "define.amd": "false"}
HEAD = (
    "plotly.js {version} with the traces scatter, {traces}; MIT License, Copyright Plotly, Inc.; what else is in it, "
)


def bundle(room: Path) -> tuple[str, list[Path]]:
    """The script, and the folders of the packages that it holds."""
    packages = [f"{name}@{version}" for name, version in VERSIONS.items()]
    (room / "package.json").write_text("{}", encoding="utf-8")
    subprocess.run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", *packages], cwd=room, check=True)
    traces = ", ".join(f'require("plotly.js/lib/{name}")' for name in TRACES)
    entry = f'const Plotly = require("plotly.js/lib/core");\nPlotly.register([{traces}]);\nmodule.exports = Plotly;\n'
    (room / "entry.js").write_text(entry, encoding="utf-8")
    (room / "nothing.js").write_text("module.exports = {};\n", encoding="utf-8")  # Node's streams, which browsers lack
    defined = [f"--define:{name}={value}" for name, value in DEFINED.items()]
    subprocess.run(
        [
            "node_modules/.bin/esbuild", "entry.js", "--bundle", "--minify", "--format=iife", "--global-name=Plotly",
            "--target=es2019", "--alias:stream=./nothing.js", "--legal-comments=none", "--charset=utf8",
            "--metafile=held.json", "--outfile=plotly.min.js", *defined,
        ],
        cwd=room, check=True,
    )  # fmt: skip
    held = json.loads((room / "held.json").read_text(encoding="utf-8"))["outputs"]["plotly.min.js"]["inputs"]
    folders = {package(room / path) for path in held if "node_modules" in path and not path.endswith(".css")}
    return (room / "plotly.min.js").read_text(encoding="utf-8"), sorted(folders)


def package(file: Path) -> Path:
    """The folder of the package that a file belongs to."""
    above = (folder for folder in file.parents if not folder.name.startswith("@"))
    return next(folder for folder in above if folder.parent.name == "node_modules" or folder.parent.name[0] == "@")


def licence(folder: Path) -> str:
    """Name, version and licence of a package, with the text where it has one."""
    about = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    texts = sorted(path for path in folder.iterdir() if path.name.lower().startswith(("licen", "copying")))
    text = texts[0].read_text(encoding="utf-8").strip() if texts else f"Author: {about.get('author', 'not told')}"
    return f"{about['name']} {about['version']}: {about.get('license', 'not told')}\n\n{text}"


def main() -> None:
    """Writes the file that is named."""
    parser = Arguments(__doc__)
    parser.add_argument("out", type=Path, help="file to write")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        script, packages = bundle(Path(folder))
        licences = "\n\n---\n\n".join(map(licence, packages)).replace("*/", "* /")
    head = HEAD.format(version=VERSIONS["plotly.js"], traces=", ".join(TRACES)) + "with its licence, stands at the end"
    out.write_text(f"/* {head} */\n{script.strip()}\n/*\n{licences}\n*/\n", encoding="utf-8")


if __name__ == "__main__":
    main()
