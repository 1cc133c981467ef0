"""Train the model that the studio shows without any other: drawings by hand to colour.

python tools/studio_model.py [--minutes 20] [--out studio-model] [--into src/calco/web/drawings]

Learns from the coloured drawings of OpenMoji (CC BY-SA 4.0), each with its lines as they are, and as another hand
would draw it: thicker or thinner, and shaky, in the sketch and in the drawing alike, so that the colours follow the
lines that are there. The model is kept in half precision, under 10 MB; its licence is that of the drawings.
"""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from arguments import Arguments
from safetensors.torch import load_file

import calco
from calco import imaging
from calco.data.config import SourceConfig, SplitConfig
from calco.data.recipes.sketch import shaken
from calco.data.sample import generator
from calco.data.sources.openmoji import draw, drawings_folder, group_of, is_coloured, lines_only
from calco.imaging import Image
from calco.inference.folder import save_model
from calco.inference.translator import load_info
from calco.training.config import LimitConfig

LICENCE = "CC BY-SA 4.0: made from the drawings of OpenMoji (openmoji.org)"
SIDE, LEARNED = 288, 192  # pixels of the drawings, and of what the network sees
# Of each person there are six drawings, five of them in skin tones; with all of them every shape would become brown.
SKIN_TONES = {"1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF"}
_WIDTH = re.compile(r'stroke-width="([\d.]+)"')


def pair_of(svg: str) -> dict[str, Image]:
    """Draw the lines of an SVG, and the whole: HW3 uint8."""
    return {"sketch": draw(lines_only(svg), SIDE), "drawing": draw(svg, SIDE)}


def by_hand(svg: str, seed: int, key: str) -> dict[str, Image]:
    """Draw both again, with thicker or thinner lines by a shaky hand."""
    rng = generator(seed, 0, key, "hand")
    weight, reach = rng.uniform(0.7, 2.2), rng.uniform(0.002, 0.02) * SIDE
    other = _WIDTH.sub(lambda found: f'stroke-width="{float(found[1]) * weight:.2f}"', svg)

    def moved(plane: npt.NDArray[np.float32]) -> npt.NDArray[np.floating[Any]]:
        return shaken(plane, reach, generator(seed, 0, key, "wobble"))  # the same way for every plane

    return {
        side: imaging.as_dtype(
            np.dstack([moved(plane) for plane in np.moveaxis(image / np.float32(255), 2, 0)]), np.uint8
        )
        for side, image in pair_of(other).items()
    }


def write_pairs(folder: Path, seed: int) -> int:
    """Write sketches and drawings as two folders, and which of them show the same; return their number."""
    rows = []
    for path in sorted(drawings_folder().glob("*.svg")):
        svg = path.read_text(encoding="utf-8")
        if not is_coloured(svg) or SKIN_TONES & set(path.stem.split("-")):
            continue
        for hand, pair in (("clean", pair_of(svg)), ("hand", by_hand(svg, seed, path.stem))):
            key = f"{path.stem}-{hand}"
            for side, image in pair.items():
                (folder / side).mkdir(parents=True, exist_ok=True)
                imaging.write(folder / side / f"{key}.png", image)
            rows.append((f"{key}.png", group_of(path.stem)))
    with (folder / "groups.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("key", "group"), *rows])
    return len(rows)


def main() -> None:
    """Write the pairs, train, and put the model in its place."""
    parser = Arguments(__doc__)
    parser.add_argument("--minutes", type=float, default=20, help="minutes of the training")
    parser.add_argument("--threads", default="auto", help="threads of the training")
    parser.add_argument("--seed", type=int, default=0, help="seed of pairs and training")
    parser.add_argument("--out", type=Path, default=Path("studio-model"), help="folder of pairs and run")
    parser.add_argument("--into", type=Path, default=Path("src/calco/web/drawings"), help="folder of the model")
    asked = parser.parse_args()
    pairs = asked.out / "pairs"
    if not (pairs / "groups.csv").exists():
        print(f"{write_pairs(pairs, asked.seed)} pairs in {pairs}")
    best = calco.preset("best", "aligned")
    run = calco.train(
        replace(
            best,
            images=str(pairs),
            out=str(asked.out / "run"),
            seed=asked.seed,
            source=SourceConfig(input="sketch", target="drawing"),
            split=SplitConfig(validation=0.03, test=0.05),
            jitter=replace(best.jitter, size=LEARNED, resize=LEARNED * 9 // 8),
            # Against one tone for everything: a line drawing leaves many colours possible.
            objective=replace(best.objective, colour_weight=10),
            limit=LimitConfig(epochs=0, minutes=asked.minutes),
            compute=replace(best.compute, threads=asked.threads if asked.threads == "auto" else int(asked.threads)),
        ),
        resume=(asked.out / "run" / "config.yaml").exists(),
    )
    calco.evaluate(calco.EvaluateConfig(model=run))
    info = load_info(run / "model")
    # The addresses of the training are of this machine, and its digests of no use to others.
    provenance = {name: value for name, value in info.provenance.items() if name not in ("images", "trained_on")}
    drawings = SourceConfig(source="openmoji")  # by which the studio knows that people draw for it
    info = replace(info, provenance={**provenance, "licence": LICENCE}, source=drawings)
    weights = {name: tensor.half() for name, tensor in load_file(run / "model" / "model.safetensors").items()}
    save_model(asked.into, info, weights, None)
    size = (asked.into / "model.safetensors").stat().st_size
    print(json.dumps({"model": str(asked.into), "megabytes": round(size / 1e6, 2), "licence": LICENCE}, indent=2))


if __name__ == "__main__":
    main()
