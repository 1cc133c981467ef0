"""The examples of docs/serve.md, run against a real studio."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from calco import imaging
from support import ROOT, requires
from video.videos import make_video
from web.studios import Site, image

PAGE = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:7860"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files that the examples name."""
    for name in ("sketch.png", "portrait.png"):
        imaging.write(tmp_path / name, image())
    imaging.write(tmp_path / "mask.png", image(channels=1) // 128 * 255)
    for name in ("film.mp4", "street.mp4"):
        make_video(tmp_path / name, 3)
    imaging.write(tmp_path / "logo.png", image(48, 64, channels=1) // 128 * 255)
    return tmp_path


def test_the_examples_of_curl(site: Site, folder: Path) -> None:
    requires(shutil.which("curl"), "curl", "apt-get install curl")
    lines = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    assert len(lines) >= 7
    for line in lines:
        command = line.replace(ADDRESS, site.url).replace("curl -s", "curl -sf")
        done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, check=False)
        assert done.returncode == 0, (line, done.stdout)
    for name in ("colour.png", "repaired.png", "other.jpg"):
        assert imaging.read(folder / name).shape == (40, 50, 3)


def test_the_example_of_python(site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    exec(block.replace(ADDRESS, site.url), names)
    assert names["coloured"].shape == (40, 50, 3)  # type: ignore[attr-defined]
    assert (folder / "repaired.mp4").is_file() and (folder / "street.csv").read_text().startswith("frame,time,class")
