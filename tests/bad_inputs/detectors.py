"""Detectors and the rules of a watch."""

from collections.abc import Callable
from pathlib import Path

from bad_inputs.annotations import GOOD, labels
from bad_inputs.making import Bad
from bad_inputs.videos import a_video


def watched(rules: str) -> Callable[[Path], None]:
    """A video, a detector of people and rules."""

    def make(folder: Path) -> None:
        from calco.detection.lite import LiteDetector
        from calco.detection.model import DetectorInfo, save_detector

        a_video("video.mkv")(folder)
        info = DetectorInfo(architecture="lite", settings={"width": 16, "depth": 1}, classes=("person",), size=96)
        save_detector(folder / "detector", info, LiteDetector(1, width=16, depth=1))
        (folder / "rules.yaml").write_text(rules)

    return make


RULES = """
zones:
  door: {shares: [[0.1, 0.1], [0.9, %s], [0.9, %s], [0.1, 0.9]]}
rules:
  - {name: waits, class: %s, zone: door, seconds: 2}
"""
BOMB = "rules:\n  - name: a\n    class:\n      - &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"      - &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 8)
)
WATCH = "detect watch video.mkv --model detector --rules rules.yaml --out watched"


CASES = (
    Bad("rules about a class that the detector does not know", watched(RULES % (0.1, 0.9, "dragon")), code=2,
        command=WATCH, says=("dragon", "person")),
    Bad("a zone that crosses itself", watched(RULES % (0.9, 0.1, "person")), code=2, command=WATCH,
        says=("door", "cross")),
    Bad("rules whose aliases unfold to millions of values", watched(BOMB), code=2, command=WATCH,
        says=("unfolds to more than 1,000,000 values",)),
    Bad("a watch whose folder has a video's name", watched(RULES % (0.1, 0.9, "person")), code=2,
        command=WATCH.replace("--out watched", "--out watched.mp4"), says=("watched.mp4 is the name of one video",)),
    Bad("a translator where a detector belongs", watched(RULES % (0.1, 0.9, "person")), code=2,
        command=WATCH.replace("--model detector", "--model model"), says=("detect",)),
    Bad("a detector of an unknown name", labels(GOOD[".xml"]), code=2,
        command="detect train set --model yolo99 --steps 1 --out run", says=("yolo99",)),
)  # fmt: skip
