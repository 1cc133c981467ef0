"""Draw people of OpenMoji (CC BY-SA 4.0) as cut-outs, and grounds for them: for `calco prepare --recipe composite`."""

import sys
from pathlib import Path
from typing import Final

from calco import imaging
from calco.data.sources.openmoji import draw, drawings_folder
from calco.files import make_folder
from calco.lessons.scenes import background

sys.path.append(str(Path(__file__).resolve().parents[1]))  # tools/
from arguments import Arguments

PEOPLE: Final = ("1F9CD", "1F6B6", "1F3C3", "1F57A", "1F483", "1F646", "1F934", "1F478", "1F46E", "1F477")
"""Standing, walking, running, dancing; a prince and a princess, police and builders."""


def main() -> None:
    """Write `cutouts/person/*.png` and `grounds/*.png` into the folder that is named."""
    parser = Arguments(__doc__)
    parser.add_argument("folder", type=Path, help="folder to write into")
    room = parser.parse_args().folder
    make_folder(room / "cutouts" / "person")
    make_folder(room / "grounds")
    for name in PEOPLE:
        svg = (drawings_folder() / f"{name}.svg").read_text(encoding="utf-8")
        imaging.write(room / "cutouts" / "person" / f"{name}.png", draw(svg, transparent=True))
    for number in range(60):
        imaging.write(room / "grounds" / f"{number:02}.png", background(f"people {number}", 128))


if __name__ == "__main__":
    main()
