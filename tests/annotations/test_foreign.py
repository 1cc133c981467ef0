"""Formats that are known and not read are named, with what to do instead."""

import json
from pathlib import Path

import numpy as np
import pytest

from calco import imaging
from calco.annotations.reading import read_annotations
from calco.annotations.sniffing import FOREIGN, sniff_foreign
from calco.data.sources import open_source
from calco.detection.learning import DetectTrainConfig
from calco.detection.learning.setup import open_boxes
from calco.errors import CalcoError

CVAT_VIDEO = (
    '<annotations><version>1.1</version><track id="0" label="gun"><box frame="0" outside="0" xtl="1" ytl="2" xbr="30" '
    'ybr="40"/></track></annotations>'
)
DATUMARO = {
    "info": {}, "categories": {"label": {"labels": [{"name": "gun"}]}},
    "items": [{"id": "im0", "annotations": [{"type": "bbox", "label_id": 0, "bbox": [1, 2, 3, 4]}]}],
}  # fmt: skip
VIA_3 = {"project": {}, "config": {}, "attribute": {}, "file": {}, "view": {}, "metadata": {}}
VOTT = {"asset": {"name": "im0.png"}, "regions": [{"tags": ["gun"], "boundingBox": {"left": 1}}]}
RESULTS = [{"image_id": 0, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]
FILES: dict[str, tuple[str, str]] = {
    "cvat video": ("annotations.xml", CVAT_VIDEO),
    "datumaro": ("train.json", json.dumps(DATUMARO)),
    "mot": ("gt/gt.txt", "1,1,10,10,20,20,1,1,1\n2,1,10,10,20,20,1,1,1\n"),
    "coco results": ("results.json", json.dumps(RESULTS)),
    "via 3": ("via.json", json.dumps(VIA_3)),
    "vott": ("vott.json", json.dumps(VOTT)),
    "labelbox": ("export.ndjson", '{"data_row": {"id": "x"}, "projects": {}}\n'),
    "named yolo": ("im0.txt", "gun 0.5 0.5 0.2 0.2\n"),
    "yolo commas": ("im0.txt", "0,0.5,0.5,0.2,0.2\n"),
    "decimal commas": ("im0.txt", "0 0,5 0,5 0,2 0,2\n"),
    "hugging face": ("metadata.jsonl", '{"file_name": "im0.png", "objects": {"bbox": [[1, 2, 3, 4]]}}\n'),
    "named corners": ("im0.txt", "Gun 12.5 10.0 40.0 50.0\n"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(4):
        imaging.write(tmp_path / f"im{number}.png", np.full((60, 80, 3), 40 * number, np.uint8))
    return tmp_path


def test_there_is_an_example_of_each() -> None:
    assert FILES.keys() == FOREIGN.keys()


@pytest.mark.parametrize("form", FILES)
def test_a_format_that_is_not_read_is_named_with_a_remedy(folder: Path, form: str) -> None:
    name, content = FILES[form]
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content, encoding="utf-8")
    wanted = FOREIGN[form]
    assert sniff_foreign(path) == wanted
    source = open_source(folder)
    assert source.kind == "photographs"
    assert [problem.where for problem in source.problems] == [str(path)]
    assert f"it holds {wanted.words}, which is not read; {wanted.remedy}" in source.summary()
    with pytest.raises(CalcoError, match="which is not read") as caught:
        open_boxes(DetectTrainConfig(images=str(folder)))
    assert wanted.remedy in str(caught.value) and "\n" not in str(caught.value)
    if path.suffix in (".xml", ".json", ".txt", ".jsonl"):
        with pytest.raises(CalcoError, match="which is not read"):
            read_annotations(path)


def test_a_long_file_is_recognised_by_its_end(folder: Path) -> None:
    """LabelMe's files may keep the image before everything else."""
    shape = {"label": "gun", "points": [[1, 2], [30, 40]], "shape_type": "rectangle"}
    content = {"imageData": "A" * 200_000, "imagePath": "im0.png", "shapes": [shape]}
    (folder / "im0.json").write_text(json.dumps(content))
    assert read_annotations(folder, folder).format == "LabelMe JSON"
