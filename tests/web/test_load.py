"""The commands that load the studio and send it mutated uploads, in short."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from support import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import studio_fuzz
import studio_load

from web.studios import make_translator


@pytest.mark.slow
def test_loaded_studio_answers_each_with_its_own_image_and_refuses_the_rest(tmp_path: Path) -> None:
    model = make_translator(tmp_path / "faces")
    with studio_load.studio(model, options=("--queue", "4")) as there:
        asked = asyncio.run(studio_load.learn(there, "faces"))
        counts, rate = asyncio.run(studio_load.steady(there, asked, 4, 2.0))
        assert counts.answers.keys() == {"right"} and rate > 0
        counts, memory = asyncio.run(studio_load.overload(there, asked, 4 * rate, 3.0))
        assert not studio_load._faults(counts, may_refuse=True), counts
        assert counts.answers["right"] and counts.answers["refused"] and memory
        assert asyncio.run(studio_load.browsers(there, 20))[-1] < 10


@pytest.mark.slow
def test_mutated_uploads_break_nothing_and_leave_nothing(tmp_path: Path) -> None:
    with studio_load.studio(*studio_fuzz.models_in(tmp_path)) as there:
        uploads, served = studio_fuzz.Uploads(7), studio_fuzz.served(there)
        counts = asyncio.run(studio_fuzz.fuzz(there, uploads, 300, served))
    assert counts.wrong == []
    assert sum(sum(each.values()) for each in counts.statuses.values()) == 300 and counts.jobs


def test_mutated_uploads_derive_from_seed_and_number() -> None:
    assert studio_fuzz.Uploads(1).get(5) == studio_fuzz.Uploads(1).get(5) != studio_fuzz.Uploads(2).get(5)
    assert len({studio_fuzz.Uploads(1).get(number).kind for number in range(9)}) == 9


def test_a_table_replaces_the_one_before(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- x -->\nold\n<!-- end of x -->\nb\n")
    studio_load.write_section("x", "new", page)
    assert page.read_text() == "a\n<!-- x -->\nnew\n<!-- end of x -->\nb\n"
    with pytest.raises(SystemExit):
        studio_load.write_section("y", json.dumps({}), page)
