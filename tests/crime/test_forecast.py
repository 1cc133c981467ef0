"""Forecasts: what little data allows, and whether the methods see a season that is there."""

from pathlib import Path

import numpy as np
import pytest

from calco import CalcoError
from calco.cli import main
from calco.crime.forecast import ForecastConfig, backtest, ets, forecast, mean, seasonal_naive
from calco.crime.load import LoadConfig, load
from calco.data.sample import generator
from crime.test_robberies import written

pytest.importorskip("statsmodels")
pytest.importorskip("ibis")

DATES = ["3/11/2016", "9/12/2016", "10/12/2016", "4/2/2017", "5/2/2017", "6/2/2017", "7/4/2017"]


def database(folder: Path, dates: list[str]) -> str:
    written(folder, *({"FECHA": day, "DISTRITO": "Comas"} for day in dates))
    (folder / "kinds.csv").write_text("Crimen;Descripcion\nAsalto;Con violencia\n")
    to = str(folder / "crime.duckdb")
    load(LoadConfig(robberies=str(folder / "robberies.csv"), kinds=str(folder / "kinds.csv"), to=to))
    return to


def test_a_season_that_is_there_is_found() -> None:
    when = np.arange(60)
    series = 40 + 25 * np.sin(when * 2 * np.pi / 12) + generator(0, 0, "season").normal(0, 3, 60)
    scores = {score.method: score for score in backtest(series, 12, 0.8)}
    assert set(scores) == {"mean", "seasonal naive", "ETS"}
    assert scores["ETS"].mae < scores["seasonal naive"].mae < scores["mean"].mae / 2
    assert 0.6 <= scores["ETS"].coverage <= 1
    told = ets(series, 12, 12, 0.8)
    assert np.abs(told.mean - (40 + 25 * np.sin(np.arange(60, 72) * 2 * np.pi / 12))).max() < 8
    assert (told.low <= told.mean).all() and (told.mean <= told.high).all()
    assert np.array_equal(seasonal_naive(series, 14, 12, 0.8).mean, [*series[-12:], *series[-12:-10]])


def test_the_interval_of_the_mean_holds_what_it_promises() -> None:
    rng = generator(0, 0, "poisson")
    held = []
    for _ in range(400):
        series = rng.poisson(20, 9).astype(np.float64)
        told = mean(series[:8], 1, 12, 0.8)
        held.append(told.low[0] <= series[8] <= told.high[0])
    assert 0.75 <= np.mean(held) <= 0.95


def test_two_quarters_are_too_little_and_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to = database(tmp_path, DATES)
    done = forecast(ForecastConfig(source=to, ahead=2))
    assert (done.first, done.last) == ("2016-11", "2017-04")
    assert [one.district for one in done.forecasts] == ["(all districts)", "Comas"]
    assert list(done.forecasts[0].known) == [1, 2, 0, 3, 0, 1]
    assert done.forecasts[0].periods == ("2017-05", "2017-06")
    assert {one.method for one in done.forecasts} == {"mean"}
    assert done.forecasts[0].prediction.mean[0] == pytest.approx(7 / 6)
    assert (done.forecasts[0].prediction.low >= 0).all()
    main(["crime", "forecast", "--from", to, "--out", str(tmp_path / "told.csv")])
    told = capsys.readouterr()
    assert "too few to show a season" in told.err
    assert "not what will happen" in told.err
    assert (
        (tmp_path / "told.csv")
        .read_text()
        .startswith("district,method,period,robberies,low,high\n(all districts),mean,")
    )


def test_what_no_backtest_can_score_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["crime", "forecast", "--from", database(tmp_path, DATES), "--every", "quarter"])
    told = capsys.readouterr()
    assert "3 quarters are too few for a backtest: the error of the forecast is unknown" in told.err
    assert "on what is known" not in told.out  # no table without a row


def test_too_little_is_refused(tmp_path: Path) -> None:
    to = database(tmp_path, DATES[:3])
    with pytest.raises(CalcoError, match="only 2 months have robberies, .*; load more data"):
        forecast(ForecastConfig(source=to))
    with pytest.raises(CalcoError, match="try --every month"):
        forecast(ForecastConfig(source=to, every="quarter"))
    with pytest.raises(CalcoError, match="level is 1.0; it must lie between 0.5 and 0.999"):
        ForecastConfig(level=1.0)
