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
from calco.crime.database import DEFAULT, connect, database_errors
from calco.crime.queries import Tables, to_arrow
from calco.errors import CalcoError, needs
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
        check_numbers(self, ahead=(1, 24), districts=(0, 2**31 - 1), level=(0.5, 0.999))


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
    """Result of a forecast: all districts together, then single ones, with the backtest and the limits."""

    forecasts: list[Forecast] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)  # of the methods for which there is enough data
    first: str = ""  # period of the data
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
    """Return a prediction whose counts are not below 0."""
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
    needs("ibis", "duckdb", "pyarrow", "statsmodels", extra="crime")
    backend = connect(config.source)
    try:
        with database_errors(config.source):
            counts = _counts(Tables(backend), config.every)
    finally:
        backend.disconnect()
    if counts.empty:
        raise CalcoError(
            f"{redact_address(config.source)} holds no robbery with a date; fill it with: "
            "calco crime load --robberies FILE"
        )
    periods, season = len(counts), SEASON[config.every]
    if periods < LEAST:
        raise CalcoError(
            f"only {periods} {config.every}s have robberies, and a forecast needs {LEAST}"
            + ("; try --every month" if config.every == "quarter" else "; load more data")
        )
    first, *_, last = counts.index
    everything = counts.sum(axis=1).to_numpy(np.float64)
    scores = backtest(everything, season, config.level)
    best = min(scores, key=lambda score: score.mae).method if scores else "mean"
    names = {"month": "%Y-%m", "quarter": "%Y Q%q"}
    ahead = tuple((last + step).strftime(names[config.every]) for step in range(1, config.ahead + 1))
    single = counts.sum().sort_values(ascending=False, kind="stable").index[: config.districts]
    done = Forecasts(scores=scores, first=first.strftime(names[config.every]), last=last.strftime(names[config.every]))
    for name, series in [(ALL, everything), *((key[1], counts[key].to_numpy(np.float64)) for key in single)]:
        predicted = METHODS[best](series, config.ahead, season, config.level)
        done.forecasts.append(Forecast(name, best, ahead, predicted, series))
    done.remarks = _remarks(periods, config.every, season)
    return done


def _counts(held: Tables, every: Every) -> Any:
    """Return robberies by period (rows, without gaps) and district (columns: key and name) as a frame of pandas."""
    import pandas as pd

    held.check()
    robberies, districts = held["Robos_Lima"], held["Distrito"].rename(place="id")
    dated = robberies.filter(robberies.Fecha.notnull()).inner_join(districts, [("Id_Distrito", "place")])
    keys = ["Fecha", "Id_Distrito", "Nombre_Distrito"]
    rows = to_arrow(held.backend, dated.group_by(keys).aggregate(n=dated.count())).to_pandas()
    rows["Fecha"] = pd.to_datetime(rows["Fecha"]).dt.to_period(every[0].upper())
    counts = rows.pivot_table(index="Fecha", columns=keys[1:], values="n", aggfunc="sum", fill_value=0)
    if counts.empty:
        return counts
    return counts.reindex(pd.period_range(counts.index[0], counts.index[-1], freq=counts.index.freq), fill_value=0)


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
