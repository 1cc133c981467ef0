"""Take the images of the documentation from the runs that its pages train.

RUNS has the folders sketch, repair, colour, colour-holes and people of the commands in docs/guides.
"""

import re
import sys
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

sys.path.append(str(Path(__file__).resolve().parents[1]))  # tools/
from arguments import Arguments

OUT: Final = Path(__file__).resolve().parents[2] / "docs" / "images"
JOBS: Final = ("sketch", "repair", "colour", "colour-holes", "people")
STEPS: Final = (1, 300, 500, 5000)
BAND, GAP = 24, 4
"""Height of the caption of a sheet, and what lies between its images, pixels."""


def sheets(run: Path) -> dict[int, Image.Image]:
    """Return the sheets of samples of a run by their steps."""
    found = {int(re.sub(r"\D", "", path.stem)): path for path in (run / "samples").glob("step-*.png")}
    return {step: Image.open(found[step]).convert("RGB") for step in sorted(found)}


def pairs(sheet: Image.Image, chosen: tuple[int, ...]) -> Image.Image:
    """Return input and output of some samples side by side, at twice their size."""
    pixels = np.asarray(sheet)
    side = (pixels.shape[1] // 2 - 3 * GAP) // 3
    triples = []
    for number in chosen:
        top = BAND + number // 2 * (side + GAP)
        left = GAP + number % 2 * (3 * side + 3 * GAP)
        triples.append(pixels[top : top + side, left : left + 2 * side + GAP // 2])
    strip = np.concatenate(triples, axis=1)
    return Image.fromarray(strip).resize((strip.shape[1] * 2, strip.shape[0] * 2), Image.Resampling.LANCZOS)


def main() -> None:
    """Write the sheets of the guides, and the pairs and the animation of the home page."""
    parser = Arguments(__doc__)
    parser.add_argument("runs", type=Path, help="folder of the runs")
    runs = parser.parse_args().runs
    (OUT / "guides").mkdir(parents=True, exist_ok=True)
    (OUT / "home").mkdir(exist_ok=True)
    for job in JOBS:
        found = sheets(runs / job)
        for step in STEPS:
            if step in found:
                found[step].save(OUT / "guides" / f"{job}-{step}.png", optimize=True)
        pairs(found[max(found)], (2, 3, 5) if job != "people" else (0, 1, 2)).save(
            OUT / "home" / f"{job}.png", optimize=True
        )
    frames = [sheet.resize((sheet.width * 3 // 2, sheet.height * 3 // 2)) for sheet in sheets(runs / "sketch").values()]
    times = [700] * (len(frames) - 1) + [2500]
    frames[0].save(
        OUT / "home" / "training.webp", save_all=True, append_images=frames[1:], duration=times, loop=0, quality=80
    )


if __name__ == "__main__":
    main()
