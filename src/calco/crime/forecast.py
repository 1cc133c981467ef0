"""`calco crime forecast`: robberies by month or quarter, by simple methods that are backtested on the known data.

Methods after Hyndman and Athanasopoulos, Forecasting: Principles and Practice (3rd ed.), chapters 5 and 8. Less than
two years of data cannot show a season: the forecast is then the mean with its interval, and a remark says so.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

import numpy as np
import numpy.typing as npt
from tyro.conf import arg

from calco.addresses import redact_address
from calco.crime.database import DEFAULT, connect, database_errors, needs
from calco.crime.queries import Tables, to_arrow
from calco.errors import CalcoError
from calco.records import check_numbers

Floats = npt.NDArray[np.float64]
Every = Literal["month", "quarter"]
SEASON: Final[dict[str, int]] = {"month": 12, "quarter": 4}
LEAST: Final = 3  # periods, needed for a forecast
ALL: Final = "(all districts)"


@dataclass(frozen=True, kw_only=True)
class ForecastConfig:
    """Forecast robberies by month or quarter, with a backtest on the known data."""

    source: Annotated[str, arg(name="from")] = DEFAULT
    """The database that calco crime load made: a file that ends in .duckdb, or a URL."""

    every: Every = "month"
    """month or quarter."""

    ahead: int = 3
    """Periods to forecast."""

    districts: int = 5
    """Number of districts with a forecast of their own, those with most robberies first."""

    level: float = 0.8
    """Nominal coverage of the interval, such as 0.8."""

    out: str = ""
    """CSV file for the forecasts; by default they are only printed."""

    def __post_init__(self) -> None:
        check_numbers(self)
        if not 1 <= self.ahead <= 24 or self.districts < 0:
            raise CalcoError(
                f"--ahead {self.ahead}, --districts {self.districts}: give 1 to 24 periods, and 0 districts or more"
            )
        if not 0.5 <= self.level < 1:
            raise CalcoError(f"--level {self.level}: it must be at least 0.5 and below 1, such as 0.8")


@dataclass(frozen=True, slots=True)
class Prediction:
    """Forecast of one series: mean and ends of the interval, arrays of one value per period ahead."""

    mean: Floats
    low: Floats
    high: Floats


Method = Callable[[Floats, int, int, float], Prediction]  # series, periods ahead, season, level


@dataclass(frozen=True, slots=True)
class Score:
    """Backtest of a method on the known data, one period ahead, from each origin."""

    method: str
    mae: float  # mean absolute error, robberies
    coverage: float  # share of the known values inside the interval
    origins: int  # number of forecasts


@dataclass(frozen=True, slots=True)
class Forecast:
    """Forecast of one district, or of all together."""

    district: str  # its name, or `ALL`
    method: str
    periods: tuple[str, ...]  # names of the periods ahead
    prediction: Prediction
    known: Floats  # the series that it is based on


@dataclass
class Forecasts:
    """Result of a forecast.

    Attributes:
        forecasts: All districts together, then single ones.
        scores: Backtest of the methods for which there is enough data, on all districts together.
        first: First period of the data.
        last: Last period of the data.
        remarks: Limits of these forecasts.
    """

    forecasts: list[Forecast] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    first: str = ""
    last: str = ""
    remarks: list[str] = field(default_factory=list)


def mean(series: Floats, ahead: int, _season: int, level: float) -> Prediction:
    """Predict the mean of the series; the interval is that of a new value of a normal series (Student's t)."""
    from scipy.stats import t

    count = len(series)
    spread = max(float(series.std(ddof=1)), math.sqrt(max(float(series.mean()), 0.5)))  # no calmer than Poisson's
    half = float(t.ppf((1 + level) / 2, count - 1)) * spread * math.sqrt(1 + 1 / count)
    return _at_least_zero(np.full(ahead, series.mean()), np.full(ahead, half))


def seasonal_naive(series: Floats, ahead: int, season: int, level: float) -> Prediction:
    """Predict the value of one season before; the interval comes from the known differences between seasons."""
    from scipy.stats import norm

    values = np.array([series[len(series) - season + step % season] for step in range(ahead)])
    sigma = float(np.sqrt(np.mean((series[season:] - series[:-season]) ** 2)))
    steps = np.floor(np.arange(ahead) / season) + 1
    return _at_least_zero(values, float(norm.ppf((1 + level) / 2)) * sigma * np.sqrt(steps))


def ets(series: Floats, ahead: int, season: int, level: float) -> Prediction:
    """Predict by exponential smoothing with additive errors and season (the state-space model of statsmodels)."""
    import pandas as pd
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    with np.errstate(all="ignore"):
        model = ETSModel(pd.Series(series), error="add", seasonal="add", seasonal_periods=season)
        fitted = model.fit(disp=False, warn_convergence=False)  # the backtest decides what a fit is worth
        predicted = fitted.get_prediction(start=len(series), end=len(series) + ahead - 1)
        frame = predicted.summary_frame(alpha=1 - level)
    values = np.asarray(frame["mean"], np.float64)
    return _at_least_zero(values, np.asarray(frame["pi_upper"], np.float64) - values)


def _at_least_zero(values: Floats, half: Floats) -> Prediction:
    """No count is below 0."""
    return Prediction(np.maximum(values, 0), np.maximum(values - half, 0), np.maximum(values + half, 0))


METHODS: Final[dict[str, Method]] = {"mean": mean, "seasonal naive": seasonal_naive, "ETS": ets}


def backtest(series: Floats, season: int, level: float) -> list[Score]:
    """Backtest each method from rolling origins, one period ahead; a season must occur twice before it is predicted."""
    scores = []
    enough = len(series) > 2 * season
    first = 2 * season if enough else LEAST
    for name, method in METHODS.items() if enough else [("mean", mean)]:
        made = [method(series[:origin], 1, season, level) for origin in range(first, len(series))]
        if made:
            known = series[first:]
            errors = [abs(float(one.mean[0]) - value) for one, value in zip(made, known, strict=True)]
            inside = [one.low[0] <= value <= one.high[0] for one, value in zip(made, known, strict=True)]
            scores.append(Score(name, float(np.mean(errors)), float(np.mean(inside)), len(errors)))
    return scores


def forecast(config: ForecastConfig) -> Forecasts:
    """Forecast robberies from those in a database.

    Args:
        config: The database, the periods and the districts.

    Returns:
        Forecasts with intervals, and their backtest.

    Raises:
        CalcoError: The database cannot be read, or holds too few periods.
    """
    needs("ibis", "duckdb", "pyarrow", "statsmodels")
    backend = connect(config.source)
    try:
        with database_errors(config.source):
            counts, names = _counts(Tables(backend), config.every)
    finally:
        backend.disconnect()
    done = Forecasts()
    if not counts:
        raise CalcoError(
            f"{redact_address(config.source)} holds no robbery with a date; fill it with: "
            "calco crime load --robberies FILE"
        )
    first, last = min(when for _, when in counts), max(when for _, when in counts)
    periods = last - first + 1
    if periods < LEAST:
        raise CalcoError(
            f"only {periods} {config.every}s have robberies, and a forecast needs {LEAST}"
            + ("; try --every month" if config.every == "quarter" else "; load more data")
        )
    season = SEASON[config.every]
    done.first, done.last = _period(first, season), _period(last, season)
    series: dict[int, Floats] = {}
    for (district, when), count in counts.items():
        for key in (district, 0):
            series.setdefault(key, np.zeros(periods))[when - first] += count
    done.scores = backtest(series[0], season, config.level)
    best = min(done.scores, key=lambda score: score.mae).method if done.scores else "mean"
    ahead = tuple(_period(last + step, season) for step in range(1, config.ahead + 1))
    single = sorted((key for key in series if key), key=lambda key: (-series[key].sum(), key))[: config.districts]
    for key in (0, *single):
        predicted = METHODS[best](series[key], config.ahead, season, config.level)
        done.forecasts.append(Forecast(names.get(key, ALL), best, ahead, predicted, series[key]))
    done.remarks = _remarks(periods, config.every, season)
    return done


def _counts(held: Tables, every: Every) -> tuple[dict[tuple[int, int], int], dict[int, str]]:
    """(District, period) => robberies; periods are counted from year 0 on."""
    held.check()
    robberies, season = held["Robos_Lima"], SEASON[every]
    dated = robberies.filter(robberies.Fecha.notnull())
    part = dated.Fecha.month() if every == "month" else dated.Fecha.quarter()
    rows = dated.select("Id_Distrito", when=dated.Fecha.year().cast("int64") * season + part.cast("int64") - 1)
    found = to_arrow(held.backend, rows.group_by("Id_Distrito", "when").aggregate(n=rows.count())).to_pylist()
    names = to_arrow(held.backend, held["Distrito"].select("id", "Nombre_Distrito")).to_pylist()
    return (
        {(row["Id_Distrito"], row["when"]): row["n"] for row in found},
        {row["id"]: row["Nombre_Distrito"] for row in names},
    )


def _period(when: int, season: int) -> str:
    year, part = divmod(when, season)
    return f"{year}-{part + 1:02d}" if season == 12 else f"{year} Q{part + 1}"


def _remarks(periods: int, every: Every, season: int) -> list[str]:
    remarks = []
    if periods < 2 * season + 1:
        remarks.append(
            f"{periods} {every}s are less than two years and one {every}, too few to show a season: the forecast is "
            "the mean of the known values, with the interval of a new value"
        )
    if periods <= LEAST:
        remarks.append(f"{periods} {every}s are too few for a backtest: the error of the forecast is unknown")
    remarks.append(
        "the data are robberies in newspapers: this forecasts what will be reported, not what will happen; "
        f"the first and the last {every} may be incomplete"
    )
    return remarks


def rows(done: Forecasts) -> list[tuple[str, ...]]:
    """Return district, method, period, mean and the ends of the interval as text, headers first."""
    found: list[tuple[str, ...]] = [("district", "method", "period", "robberies", "low", "high")]
    for one in done.forecasts:
        values_of: Any = zip(one.periods, one.prediction.mean, one.prediction.low, one.prediction.high, strict=True)
        found += [
            (one.district, one.method, when, *(f"{value:.1f}" for value in values)) for when, *values in values_of
        ]
    return found
