"""The panel's page as it is, slowly, cut off in the middle, with an error, with other columns."""

import csv
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from calco import CalcoError
from calco.cli import main
from calco.crime.collect import PanelConfig, PanelResult, collect
from collecting.web import Visit, Web, claims, dripping, first, hung_up, serving, silent_in_the_middle, status, whole

pytest.importorskip("httpx")
pytest.importorskip("pyarrow")

HEADER = "Año,Numero,Generica,Especifica,Modalidad,Departamento,Provincia,Distrito"
LINES = [
    f'{year},{number},"0{number} - CONTRA EL PATRIMONIO",ROBO,"ROBO, AGRAVADO",LIMA,LIMA,BREÑA'
    for year in range(2014, 2021)
    for number in range(1, 40)
]
TEXT = "\n".join([HEADER, *LINES]) + "\n"
PLAIN = TEXT.encode()
HTML = (
    "<!DOCTYPE html><html><head><title>Panel</title><script>var a = '<b>';</script></head><body>\n"
    + TEXT.replace("Ñ", "&Ntilde;").replace("ñ", "&ntilde;").replace("\n", "<br>\n")
    + "</body></html>\n"
).encode()
ROWS = 5 * 39  # of 2015 to 2019


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as server:
        yield server


def collected(address: str, out: Path, **options: object) -> PanelResult:
    quick: dict[str, object] = {"pause": 0.01, "timeout": 0.5, "patience": 5.0, "retries": 3}
    return collect(PanelConfig(address=address, out=str(out), **{**quick, **options}))


def rows_of(out: Path) -> list[dict[str, str]]:
    import pyarrow.parquet as pq

    with (out / "datacrim.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert pq.read_table(out / "datacrim.parquet").to_pylist() == rows
    return rows


@pytest.mark.parametrize("page", [PLAIN, HTML, TEXT.encode("cp1252"), TEXT.replace("\n", "\r\n").encode("utf-8-sig")])
def test_the_page_as_it_is(web: Web, tmp_path: Path, page: bytes) -> None:
    done = collected(web.put("/csv", whole(page, "text/html")), tmp_path)
    rows = rows_of(tmp_path)
    assert (done.rows, done.other_years, done.unreadable) == (len(rows), 78, 0) == (ROWS, 78, 0)
    assert list(rows[0]) == HEADER.split(",")
    assert set(rows[0].values()) == {
        "2015",
        "1",
        "01 - CONTRA EL PATRIMONIO",
        "ROBO",
        "ROBO, AGRAVADO",
        "LIMA",
        "BREÑA",
    }
    assert (tmp_path / "raw" / "page.txt").read_bytes() == page  # beside, as it came


def test_ids_and_years_are_put_into_the_address(web: Web, tmp_path: Path) -> None:
    for number in ("40173", "40514,40515"):
        for year in (2015, 2016):
            web.put(
                f"/csv?id={number}&anio={year}", whole(f"{HEADER}\n{year},1,A,B,C,LIMA,LIMA,{number[-1]}\n".encode())
            )
    address = web.put("/csv?id={id}&anio={year}", status(404))
    done = collected(address, tmp_path, ids=("40173", "40514,40515"), years="2015-2016")
    assert done.pages == 4
    assert [(row["Año"], row["Distrito"]) for row in rows_of(tmp_path)] == [
        ("2015", "3"), ("2016", "3"), ("2015", "5"), ("2016", "5"),
    ]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == [
        "40173-2015.txt", "40173-2016.txt", "40514_40515-2015.txt", "40514_40515-2016.txt",
    ]  # fmt: skip


def test_what_was_fetched_is_not_asked_for_again(web: Web, tmp_path: Path) -> None:
    address = web.put("/csv", whole(PLAIN))
    collected(address, tmp_path)
    done = collected(address, tmp_path)
    assert (done.kept, web.visits["/csv"]) == (1, 1)
    assert len(rows_of(tmp_path)) == ROWS
    collected(address, tmp_path, again=True)
    assert web.visits["/csv"] == 2


def test_an_answer_that_somebody_cut_is_fetched_anew(web: Web, tmp_path: Path) -> None:
    address = web.put("/csv", whole(PLAIN))
    collected(address, tmp_path)
    (tmp_path / "raw" / "page.txt").write_bytes(PLAIN[:500])
    assert collected(address, tmp_path).kept == 0
    assert len(rows_of(tmp_path)) == ROWS


def test_slowly(web: Web, tmp_path: Path) -> None:
    small = f"{HEADER}\n{LINES[50]}\n".encode()
    assert collected(web.put("/csv", dripping(small, 0.002)), tmp_path).rows == 1


@pytest.mark.parametrize(
    "broken",
    [
        claims(PLAIN[:5000], len(PLAIN)),
        claims(HTML[:5000], 5000),  # as long as it says, and yet no whole page
        silent_in_the_middle(PLAIN),
        status(500),
        status(503, Retry_After=0),
        status(429),
        hung_up,
    ],
    ids=["cut off", "half a page", "silent in the middle", "500", "503", "429", "hung up"],
)
def test_what_goes_wrong_twice_comes_the_third_time(web: Web, tmp_path: Path, broken: object) -> None:
    address = web.put("/csv", first(2, whole(PLAIN), broken))
    assert collected(address, tmp_path).rows == ROWS
    assert web.visits["/csv"] == 3
    assert len(rows_of(tmp_path)) == ROWS


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (status(404), "the server answered 404 Not Found"),
        (status(500), "the server answered 500 Internal Server Error, tried 4 times"),
        (status(503, Retry_After=9999), "asks to come back in 9999 seconds"),
        (claims(PLAIN[:5000], len(PLAIN)), "the connection broke: "),
        (claims(HTML[:5000], 5000), "the page is incomplete, tried 4 times"),
        (
            whole(TEXT.replace("Modalidad", "Subtipo").encode()),
            "the page has no column 'Modalidad'; it has Año, Numero",
        ),
        (whole(b"<html><body>Mantenimiento</body></html>"), "the page has no column 'Año'; it has Mantenimiento: "),
        (whole(b""), "the page is empty"),
        (whole(f"{HEADER}\n".encode()), "the pages hold none"),
    ],
)
def test_what_cannot_be_had_is_one_line(
    web: Web, tmp_path: Path, answer: object, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    address = web.put("/csv", answer)
    with pytest.raises(SystemExit) as left:
        main(["crime", "collect", "--address", address, "--out", str(tmp_path), "--pause", "0", "--retries", "3"])
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert told in line
    assert not (tmp_path / "datacrim.csv").exists()


def test_one_page_that_fails_does_not_cost_the_others(web: Web, tmp_path: Path) -> None:
    for number, answer in (("1", whole(PLAIN)), ("2", status(404)), ("3", whole(b"a,b\n1,2\n"))):
        web.put(f"/csv?id={number}", answer)
    done = collected(web.put("/csv?id={id}", status(404)), tmp_path, ids=("1", "2", "3"))
    assert done.rows == ROWS
    assert re.match(r"the server answered 404 Not Found \(http://127.0.0.1:\d+/csv\?id=2\)", done.left_out["2"])
    assert "the page has no column 'Año'; it has a, b: " in done.left_out["3"]


def test_renamed_columns_may_be_named(web: Web, tmp_path: Path) -> None:
    address = web.put("/csv", whole(TEXT.replace("Modalidad", "Subtipo").encode()))
    assert collected(address, tmp_path, columns=("Subtipo=Modalidad",)).rows == ROWS


def test_columns_in_another_order_are_put_in_ours(web: Web, tmp_path: Path) -> None:
    page = (
        "id;Distrito;Provincia;Departamento;Modalidad;Especifica;Generica;Numero;Anio\n9;ATE;LIMA;LIMA;C;B;A;7;2019\n"
    )
    collected(web.put("/csv", whole(page.encode())), tmp_path)
    (row,) = rows_of(tmp_path)
    assert list(row.values()) == ["2019", "7", "A", "B", "C", "LIMA", "LIMA", "ATE"]


def test_records_that_cannot_be_read_are_kept_aside(web: Web, tmp_path: Path) -> None:
    page = f'{HEADER}\n{LINES[50]}\n2016,1,A,B\n{LINES[51]}\n2016,1,"A,B,C,LIMA,LIMA,ATE\n{LINES[52]}\n'
    done = collected(web.put("/csv", whole(page.encode())), tmp_path)
    assert (done.rows, done.unreadable) == (3, 2)
    with (tmp_path / "unreadable.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["Linea"], row["Motivo"]) for row in rows] == [
        ("3", "4 fields, where the header has 8"),
        ("5", "a quote is opened and not closed"),
    ]
    assert json.loads(rows[0]["Registro"]) == ["2016", "1", "A", "B"]


def test_a_broken_answer_goes_on_where_it_stopped(web: Web, tmp_path: Path) -> None:
    asked: list[str | None] = []

    def answer(visit: Visit) -> None:
        asked.append(visit.headers["Range"])
        if visit.headers["Range"] and visit.headers["If-Range"] == '"v1"':
            start = int(visit.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            body = PLAIN[start:]
            visit.head(206, Content_Length=len(body), Content_Range=f"bytes {start}-{len(PLAIN) - 1}/{len(PLAIN)}")
            visit.wfile.write(body)
            return
        visit.head(Content_Length=len(PLAIN), ETag='"v1"')
        visit.wfile.write(PLAIN[:9000])
        visit.close_connection = True

    done = collected(web.put("/csv", answer), tmp_path)
    assert asked == [None, "bytes=9000-"]
    assert done.rows == ROWS
    assert (tmp_path / "raw" / "page.txt").read_bytes() == PLAIN
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == ["page.txt"]


def test_requests_keep_their_distance(web: Web, tmp_path: Path) -> None:
    import time

    times: list[float] = []

    def answer(visit: Visit) -> None:
        times.append(time.monotonic())
        whole(PLAIN)(visit)

    for number in "123":
        web.put(f"/csv?id={number}", answer)
    collected(web.put("/csv?id={id}", status(404)), tmp_path, ids=("1", "2", "3"), pause=0.2)
    assert min(after - before for before, after in pairwise(times)) > 0.15


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"address": "ftp://a/{id}"}, "must begin with http:// or https://"),
        ({"address": "http://a/{ids}"}, "--address may hold {id} and {year}, not {ids}"),
        ({}, "--ids names no table"),
        ({"address": "http://a/", "ids": ("1",)}, "the address has no {id}"),
        ({"ids": ("../1",)}, "--ids '../1' must be letters"),
        ({"ids": ("1",), "years": "2019-2015"}, "--years '2019-2015' must be years"),
        ({"ids": ("1",), "years": "all"}, "--years 'all' must be years"),
        ({"ids": ("1",), "retries": -1}, "retries is -1"),
    ],
)
def test_options_that_do_not_fit_are_told(tmp_path: Path, options: dict[str, object], told: str) -> None:
    with pytest.raises(CalcoError) as error:
        PanelConfig(out=str(tmp_path), **options)
    assert told in str(error.value)


def test_what_is_collected_can_be_loaded(web: Web, tmp_path: Path) -> None:
    pytest.importorskip("ibis")
    from calco.crime.load import LoadConfig, load

    collected(web.put("/csv", whole(HTML)), tmp_path)
    for name in ("datacrim.csv", "datacrim.parquet"):
        done = load(LoadConfig(datacrim=str(tmp_path / name), to=str(tmp_path / "crime.duckdb")))
        assert (done.sources[0].read, done.sources[0].loaded) == (ROWS, ROWS)


def test_no_file_and_no_remark_holds_a_password(web: Web, tmp_path: Path) -> None:
    def secret(page: str) -> str:
        address = web.put(page, whole(PLAIN) if "id=1" in page else status(404))
        return address.replace("http://", "http://ana:cr%2Fet@")

    for number in "12":
        secret(f"/csv?id={number}&token=hidden")
    done = collected(secret("/csv?id={id}&token=hidden"), tmp_path, ids=("1", "2"))
    assert re.search(r"\(http://ana:\*\*\*@127.0.0.1:\d+/csv\?id=2&token=\*\*\*\)", done.left_out["2"])
    journal = (tmp_path / "collected.jsonl").read_text()
    assert not any(word in journal for word in ("cr/et", "cr%2Fet", "hidden"))
    again = collected(secret("/csv?id={id}&token=hidden"), tmp_path, ids=("1",))
    assert again.kept == 1


@pytest.mark.parametrize("begins", [b"<html><!--", b"<html><a ", b"<html><body>"])
def test_a_page_without_an_end_of_line_or_a_tag_is_left_out(web: Web, tmp_path: Path, begins: bytes) -> None:
    with pytest.raises(CalcoError, match="more than 1,048,576 characters; it must be CSV"):
        collected(web.put("/csv", whole(begins + b"x" * 3_000_000 + b"</html>")), tmp_path)


def test_no_csv_of_a_collection_holds_a_formula(web: Web, tmp_path: Path) -> None:
    page = f"{HEADER}\n2019,1,=A1,@B,C,LIMA,LIMA,ATE\n"
    collected(web.put("/csv", whole(page.encode())), tmp_path)
    assert "2019,1,'=A1,'@B,C,LIMA,LIMA,ATE" in (tmp_path / "datacrim.csv").read_text()
