"""The same objects come out of every format, however it is written; what is not used is named."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotations.sets import FORMATS, OBJECTS, Ways, write
from calco.annotations.reading import FORMATS as READ
from calco.annotations.reading import read_annotations
from calco.annotations.record import Annotations

PROPERTY = settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
WAYS = st.builds(
    Ways, seed=st.integers(0, 999), capitals=st.booleans(), optional=st.booleans(), extra=st.booleans()
)  # fmt: skip


def objects_of(found: Annotations) -> dict[str, list]:
    return {
        record.name.partition(".")[0]: sorted(
            (label, tuple(np.round(box, 2).tolist()))
            for label, box in zip(record.objects.classes, record.detections.boxes, strict=True)
        )
        for record in found.records
    }


EXPECTED = {name: sorted((label, tuple(map(float, box))) for label, box in each) for name, each in OBJECTS.items()}


@pytest.mark.parametrize("form", FORMATS)
@PROPERTY
@given(
    ways=WAYS,
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"]),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_the_same_objects_however_they_are_written(
    tmp_path: Path, form: str, ways: Ways, encoding: str, newline: str
) -> None:
    folder = tmp_path / "set"
    shutil.rmtree(folder, ignore_errors=True)
    if encoding == "utf-16-le" and form in ("Pascal VOC XML", "CVAT XML for images"):
        encoding = "utf-16"  # without a mark, XML in UTF-16 is broken by its own rules
    write(folder, FORMATS[form](ways), ways, encoding=encoding, newline=newline)
    found = read_annotations(folder, folder)
    assert found.format == form.partition(".")[0]
    assert objects_of(found) == EXPECTED
    assert found.problems == ()
    assert set(found.classes) == {"cat", "dog"}


def test_every_format_is_tried() -> None:
    assert {form.partition(".")[0] for form in FORMATS} == {form.title for form in READ.values()}
