"""The page of charts, opened in a real browser, and the charts as files."""

import csv
import io
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from calco import CalcoError
from calco.cli import main
from calco.crime.dashboard import CHARTS, ChartConfig, ChartData, DashboardConfig, chart, csv_of, dashboard, page, read
from calco.crime.generate import GenerateConfig, generate
from calco.crime.load import LoadConfig, load
from crime.test_robberies import written
from support import find_chromium

pytest.importorskip("ibis")

# District, kind, weapon, date, age, occupation; one of them with what would break a page that trusts its data.
ROBBERIES = [
    ("San Juan de Lurigancho", "Asalto", "Pistola", "3/12/2016", "22-34", "Chofer"),
    ("San Juan de Lurigancho", "Asalto", "Pistola", "4/1/2017", "35-55", "Chofer"),
    ("San Juan de Lurigancho", "Hurto", "", "5/1/2017", "", "Abogado"),
    ("Surco", "Asalto", "Arma blanca", "6/4/2017", "22-34", "</script><script>alert(1)</script>"),
    ("Callao", "Hurto", "Pistola", "7/4/2017", "", ""),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("crime")
    names = ("DISTRITO", "MODALIDAD DE ROBO", "TIPO DE ARMA", "FECHA", "EDAD VICTIMA", "OCUPACIÓN")
    written(folder, *(dict(zip(names, row, strict=True)) for row in ROBBERIES))
    (folder / "kinds.csv").write_text("Crimen;Descripcion\nAsalto;Con violencia\nHurto;Sin violencia\n")
    generate(GenerateConfig(out=str(folder / "datacrim.parquet"), rows=6_000))
    to = str(folder / "crime.duckdb")
    robberies, kinds = str(folder / "robberies.csv"), str(folder / "kinds.csv")
    load(LoadConfig(datacrim=str(folder / "datacrim.parquet"), robberies=robberies, kinds=kinds, to=to))
    return to


@pytest.fixture(scope="module")
def cube(url: str) -> ChartData:
    return read(url)


@pytest.fixture(scope="module")
def file(url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dashboard(DashboardConfig(source=url, out=str(tmp_path_factory.mktemp("page") / "crime.html")))


def tab_of(browser: Any, file: Path, scheme: str) -> Any:
    tab = browser.new_page(color_scheme=scheme, viewport={"width": 1200, "height": 900})
    tab.set_default_timeout(120_000)
    tab.said = []
    tab.on("console", lambda message: tab.said.append(message.text))
    tab.on("pageerror", lambda error: tab.said.append(str(error)))
    tab.on("request", lambda asked: asked.url.startswith("http") and tab.said.append(asked.url))
    tab.goto(file.as_uri())
    ready(tab)
    return tab


@pytest.fixture(scope="module")
def light(browser: Any, file: Path) -> Any:
    tab = tab_of(browser, file, "light")
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def dark(browser: Any, file: Path) -> Any:
    tab = tab_of(browser, file, "dark")
    yield tab
    tab.close()


@pytest.fixture
def opened(light: Any) -> Any:
    """The page as it opens."""
    light.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = false; })")
    light.click("#reset")
    light.click("[data-lang=es]")
    ready(light)
    light.said.clear()
    return light


def ready(tab: Any) -> None:
    tab.wait_for_selector("html[data-drawn=yes]", timeout=120_000)


def csv_on_page(tab: Any, name: str) -> list[list[str]]:
    """A chart's rows, as the page has added them up."""
    return list(csv.reader(io.StringIO(tab.evaluate(f"window.calco.csv('{name}')"))))


def total(tab: Any, name: str, column: int = -1) -> int:
    return sum(int(row[column]) for row in csv_on_page(tab, name)[1:])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_chart_is_drawn_without_an_error_or_a_network(
    light: Any, dark: Any, cube: ChartData, scheme: str
) -> None:
    opened = light if scheme == "light" else dark
    assert opened.locator(".chart").count() == len(CHARTS) == 11
    for name in CHARTS:
        assert opened.locator(f"#plot-{name} svg.main-svg").count() >= 1, name
        assert len(opened.locator(f"#plot-{name}").get_attribute("aria-label")) > 20
    assert opened.said == []
    assert opened.locator("#told").inner_text().startswith(f"{sum(cube['robberies'][-1])} robos y ")


def test_the_tables_of_the_page_are_those_of_the_files(opened: Any, cube: ChartData) -> None:
    opened.evaluate("document.getElementById('table-kinds').open = true")
    with opened.expect_download() as download:
        opened.click("#table-kinds .csv")
    assert Path(download.value.path()).read_text() == "Tipo de robo,Robos\nAsalto,3\nHurto,2\n"
    for name in CHARTS:
        assert csv_on_page(opened, name)[1:] == list(csv.reader(io.StringIO(csv_of(name, cube))))[1:], name


@pytest.mark.slow
def test_names_are_shown_as_they_are_and_no_csv_holds_a_formula(browser: Any, cube: ChartData, tmp_path: Path) -> None:
    """Charts take <b>, <a> and entities for markup, and spreadsheets run what begins with "="."""
    nasty = "=<a href='https://example.org'>x</a><b>y</b>&lt;\u2028</script><!--"
    lists = {
        key: [f"{nasty} {n}" for n, _ in enumerate(cube[key])] for key in ("kinds", "weapons", "ages", "occupations")
    }
    named = {key: [[f"{nasty} {name}", at] for name, at in cube[key]] for key in ("specifics", "modalities")}
    places = {level: [[key, f"{nasty} {name}"] for key, name in rows] for level, rows in cube["places"].items()}
    generics = [f"{nasty} {name}" for name in cube["generics"]]
    changed = {**cube, **lists, **named, "places": places, "generics": generics}
    file = tmp_path / "page.html"
    file.write_text(page(changed), encoding="utf-8")
    tab = tab_of(browser, file, "light")
    try:
        assert tab.said == []
        assert tab.locator("svg.main-svg a").count() == 0
        assert tab.locator("svg.main-svg tspan[style*=bold]").count() == 0
        assert f"{lists['kinds'][0]}" in tab.locator("#plot-kinds svg.main-svg").first.text_content()
        for name in CHARTS:
            assert all(cell[:1] != "=" for row in csv_on_page(tab, name) for cell in row), name
            assert "\n=" not in csv_of(name, changed)
            assert ",=" not in csv_of(name, changed)
        assert csv_on_page(tab, "kinds")[1][0] == f"'{lists['kinds'][0]}"
        assert csv_on_page(tab, "kinds")[1:] == list(csv.reader(io.StringIO(csv_of("kinds", changed))))[1:]
    finally:
        tab.close()


def notes(tab: Any) -> dict[str, str]:
    """What stands below the titles of charts whose source knows nothing of a filter that is set, to be seen."""
    return {
        name: tab.locator(f"#note-{name}").inner_text() for name in CHARTS if tab.locator(f"#note-{name}").is_visible()
    }


def test_filters_act_on_the_charts(opened: Any, cube: ChartData) -> None:
    crimes = total(opened, "places")
    opened.select_option("#department", label="Callao")
    ready(opened)
    assert csv_on_page(opened, "robberies-by-district")[1:] == [["Callao", "Callao", "1"]]
    assert {row[0] for row in csv_on_page(opened, "places")[1:]} == {"Callao"}
    assert total(opened, "modalities") == total(opened, "places") < crimes
    opened.click("#reset")
    ready(opened)
    opened.uncheck("#years input[value='2017']")
    ready(opened)
    assert total(opened, "robberies-by-district") == 1
    assert "2017" not in {row[0] for row in csv_on_page(opened, "generics-by-year")}
    opened.check("#years input[value='2017']")
    opened.select_option("#weapon", label="Pistola")
    ready(opened)
    assert total(opened, "kinds") == total(opened, "ages") == total(opened, "occupations") == 3
    deaf = {"crimes-by-district", "crimes-by-year", "places", "modalities", "generics-by-year", "map"}
    assert notes(opened) == dict.fromkeys(
        deaf, "DataCrim no dice el arma ni el tipo de robo: esos filtros no cambian sus gráficos."
    )
    assert "con estos filtros: Pistola." in opened.locator("#told").inner_text()
    assert "no cambian sus gráficos. (6 gráficos)" in opened.locator("#told").inner_text()
    assert total(opened, "places") == crimes
    opened.select_option("#weapon", "")
    opened.select_option("#kind", label="CONTRA EL PATRIMONIO")
    ready(opened)
    assert {row[2] for row in csv_on_page(opened, "modalities")[1:]} == {"CONTRA EL PATRIMONIO"}
    assert total(opened, "places") == total(opened, "modalities") == total(opened, "map", 1) < crimes
    assert set(notes(opened)) == set(CHARTS) - deaf
    assert opened.said == []


@pytest.mark.slow
def test_levels_years_and_languages(opened: Any) -> None:
    opened.click("[data-level=generic]")
    assert opened.locator("[data-level=generic]").get_attribute("aria-pressed") == "true"
    first = opened.locator("#title-generics-by-year").inner_text()
    opened.locator("#slide").press("Home")
    assert opened.locator("#title-generics-by-year").inner_text() != first
    opened.click("#play")
    assert opened.locator("#play").inner_text() == "Pausa"
    opened.click("#play")
    opened.click("[data-lang=en]")
    ready(opened)
    assert opened.title() == "Crime in Peru"
    assert opened.locator("html").get_attribute("lang") == "en"
    assert "Robberies by district" in opened.locator("#title-robberies-by-district").inner_text()
    assert opened.locator("label[for=weapon]").inner_text() == "Weapon"
    assert opened.said == []


def test_keyboard_and_names_for_those_who_do_not_see_it(opened: Any) -> None:
    opened.evaluate("document.activeElement.blur(); window.getSelection().removeAllRanges(); scrollTo(0, 0)")
    opened.evaluate("document.querySelector('.skip').focus()")  # the first that the keyboard reaches
    reached = []
    for _ in range(14):
        opened.keyboard.press("Tab")
        reached.append(opened.evaluate("document.activeElement.id || document.activeElement.dataset.lang || ''"))
    assert [one for one in reached if one in ("es", "en", "department", "kind", "weapon", "reset")] == [
        "es", "en", "department", "kind", "weapon", "reset",
    ]  # fmt: skip
    unnamed = opened.evaluate(
        "[...document.querySelectorAll('select, input, button')].filter((e) => !e.textContent.trim() && "
        "!e.labels?.length && !e.getAttribute('aria-label')).map((e) => e.outerHTML)"
    )
    assert unnamed == []
    opened.locator("#table-kinds summary").press("Enter")
    opened.locator("#table-kinds tbody tr").first.wait_for()  # the table is filled once it is open
    assert opened.locator("#table-kinds tbody tr").count() == 2
    assert opened.locator("#table-kinds th[scope=col]").count() == 2


@pytest.mark.slow
def test_everything_is_reached_and_worked_by_the_keyboard(opened: Any) -> None:
    opened.evaluate("document.querySelector('.skip').focus()")
    opened.keyboard.press("Enter")  # past the filters, to the charts
    assert opened.evaluate("location.hash") == "#charts"
    wanted = {f"{name}/SUMMARY" for name in CHARTS} | {
        f"modalities/{level}" for level in ("modality", "specific", "generic")
    }
    wanted |= {"generics-by-year/play", "generics-by-year/slide"}
    reached: list[str] = []
    where = "(e => `${e.closest('figure')?.id}/${e.id || e.dataset.level || e.tagName}`)(document.activeElement)"
    while len(reached) < len(wanted):
        opened.keyboard.press("Tab")
        reached.append(opened.evaluate(where))
        if reached[-1] == "generics-by-year/slide":
            opened.keyboard.press("Home")
            assert opened.locator("#slide").get_attribute("aria-valuetext") == "2015"
        if reached[-1] == "modalities/generic":
            opened.keyboard.press("Space")
            assert opened.locator("[data-level=generic]").get_attribute("aria-pressed") == "true"
    assert set(reached) == wanted
    charts = [one.split("/")[0] for one in reached]
    assert sorted(charts, key=list(CHARTS).index) == charts  # in the order of the page
    opened.keyboard.press("Enter")  # the last chart's table opens
    for _ in range(3):
        opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.getAttribute('role')") == "region"  # it can be scrolled by keys


@pytest.mark.slow
def test_paper_is_light_and_the_charts_fit_it(dark: Any) -> None:
    tab = dark
    before = tab.evaluate("getComputedStyle(document.querySelector('#plot-kinds .main-svg')).background")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    for name in CHARTS:
        assert tab.locator(f"#plot-{name} .main-svg").first.bounding_box()["width"] == 640, name
    assert "rgb(255, 255, 255)" in tab.evaluate(
        "getComputedStyle(document.querySelector('#plot-kinds .main-svg')).background"
    )
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    ready(tab)
    assert tab.evaluate("getComputedStyle(document.querySelector('#plot-kinds .main-svg')).background") == before
    assert tab.said == []


@pytest.mark.slow
def test_the_first_chart_is_there_within_two_seconds(
    browser: Any, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Milliseconds from the opening of the file until the first chart is on the screen."""
    times = []
    for _ in range(5):
        tab = tab_of(browser, file, "light")
        times.append(int(tab.locator("html").get_attribute("data-first")))
        tab.close()
    with capsys.disabled():
        print(f"\nthe first chart, of {file.stat().st_size / 1e6:.1f} MB: {sorted(times)} ms")
    assert sorted(times)[2] < 2000


def test_plotly_tells_what_is_in_it_and_under_which_licence() -> None:
    text = (files("calco.crime") / "plotly" / "plotly.min.js").read_text(encoding="utf-8")
    assert text.startswith("/* plotly.js 4.1.1 with the traces scatter, bar, pie, sunburst; MIT License")
    licences = text[text.rindex("\n/*\n") :].split("\n---\n")
    assert len(licences) > 20
    assert any("\nplotly.js 4.1.1: MIT\n" in one for one in licences)


@pytest.mark.slow
def test_nothing_with_these_filters_is_said(opened: Any) -> None:
    for box in opened.locator("#years input").all():
        box.uncheck()
    ready(opened)
    assert opened.locator(".none").count() == len(CHARTS)
    assert opened.said == []


def test_data_is_never_code(cube: ChartData) -> None:
    text = page(cube)
    held = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, flags=re.DOTALL)
    assert held and any("alert(1)" in name for name in json.loads(held[1])["occupations"])
    assert "<script>alert" not in text


@pytest.mark.slow
def test_charts_as_files(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    find_chromium()
    main(["crime", "chart", "kinds", "--from", url, "--out", str(tmp_path)])
    assert "kinds.csv, kinds.png" in capsys.readouterr().err
    assert (tmp_path / "kinds.csv").read_text() == "Tipo de robo,Robos\nAsalto,3\nHurto,2\n"
    from calco import imaging

    image = imaging.read(tmp_path / "kinds.png")
    assert image.shape[:2] == (1400, 2200)
    assert image.std() > 5  # it is not empty


def test_bad_input_is_one_line(url: str, tmp_path: Path) -> None:
    with pytest.raises(CalcoError, match="'cake': there is no such chart; name all, or "):
        chart(ChartConfig(chart="cake", source=url, out=str(tmp_path)))
    with pytest.raises(CalcoError, match="no browser-of-nobody, which draws the PNG"):
        chart(ChartConfig(chart="kinds", source=url, out=str(tmp_path), browser="browser-of-nobody"))
    with pytest.raises(CalcoError, match="did not draw the page"):
        chart(ChartConfig(chart="kinds", source=url, out=str(tmp_path), browser="true"))
    with pytest.raises(CalcoError, match=r"must end in \.html"):
        DashboardConfig(out="page.pdf")
    with pytest.raises(CalcoError, match="there is no folder"):
        dashboard(DashboardConfig(source=url, out=str(tmp_path / "none" / "crime.html")))
