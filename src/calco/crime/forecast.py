"""`calco crime forecast`: robberies by month or quarter, by simple methods that are scored on what is known.

Methods after Hyndman and Athanasopoulos, Forecasting: Principles and Practice (3rd ed.), chapters 5 and 8. Where there
is less than two years of data no method can tell a season from chance: then it is the mean, with its interval, and that
is said.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

import numpy as np
import numpy.typing as npt
from tyro.conf import arg

from calco.addresses import redact_address
from calco.crime.database import DEFAULT, connect, database_errors, needs
from calco.crime.queries import Held, fetched
from calco.errors import CalcoError
from calco.records import check_numbers

Floats = npt.NDArray[np.float64]
Every = Literal["month", "quarter"]
SEASON: Final[dict[str, int]] = {"month": 12, "quarter": 4}
LEAST: Final = 3  # periods, below which nothing is foretold
ALL: Final = "(all districts)"


@dataclass(frozen=True, kw_only=True)
class ForecastConfig:
    """Which database is asked, and how far ahead."""

    source: Annotated[str, arg(name="from")] = DEFAULT
    """The database that calco crime load made: a file that ends in .duckdb, or a URL."""

    every: Every = "month"
    """month or quarter."""

    ahead: int = 3
    """Periods to foretell."""

    districts: int = 5
    """How many districts, those with most robberies, beside all together."""

    level: float = 0.8
    """The share of futures that the interval is to hold."""

    out: str = ""
    """A CSV file for the forecasts; the terminal alone where none is named."""

    def __post_init__(self) -> None:
        check_numbers(self)
        if not 1 <= self.ahead <= 24 or self.districts < 0:
            raise CalcoError(
                f"--ahead {self.ahead} must be between 1 and 24, and --districts {self.districts} 0 or more"
            )
        if not 0.5 <= self.level < 1:
            raise CalcoError(f"--level {self.level} must be at least 0.5 and below 1, such as 0.8")


@dataclass(frozen=True, slots=True)
class Foretold:
    """What a method says of the periods ahead: each as an array of the same length."""

    mean: Floats
    low: Floats
    high: Floats


Method = Callable[[Floats, int, int, float], Foretold]  # series, periods ahead, season, level


@dataclass(frozen=True, slots=True)
class Score:
    """A method's errors on what is known, one period ahead, from each origin on.

    Attributes:
        method: Its name.
        mae: Mean absolute error, in robberies.
        coverage: The share of what came that its interval held.
        origins: How many forecasts were scored.
    """

    method: str
    mae: float
    coverage: float
    origins: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """A district's forecast.

    Attributes:
        district: Its name, or `ALL`.
        method: What foretells it.
        periods: The names of the periods ahead.
        foretold: The counts.
        known: The series it rests on.
    """

    district: str
    method: str
    periods: tuple[str, ...]
    foretold: Foretold
    known: Floats


@dataclass
class Forecasts:
    """All of a call.

    Attributes:
        forecasts: All districts together, then single ones.
        scores: Of the methods that there is enough data for, on all districts together.
        first: The first period of the data.
        last: The last.
        remarks: What a person must know before using them.
    """

    forecasts: list[Forecast] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    first: str = ""
    last: str = ""
    remarks: list[str] = field(default_factory=list)


def mean(series: Floats, ahead: int, _season: int, level: float) -> Foretold:
    """The mean of what is known; the interval is that of a new value of a normal series (Student's t)."""
    from scipy.stats import t

    count = len(series)
    spread = max(float(series.std(ddof=1)), math.sqrt(max(float(series.mean()), 0.5)))  # no calmer than Poisson's
    half = float(t.ppf((1 + level) / 2, count - 1)) * spread * math.sqrt(1 + 1 / count)
    return _foretold(np.full(ahead, series.mean()), np.full(ahead, half))


def seasonal_naive(series: Floats, ahead: int, season: int, level: float) -> Foretold:
    """The value of a season before; the interval from the differences of seasons that are known."""
    from scipy.stats import norm

    values = np.array([series[len(series) - season + step % season] for step in range(ahead)])
    sigma = float(np.sqrt(np.mean((series[season:] - series[:-season]) ** 2)))
    steps = np.floor(np.arange(ahead) / season) + 1
    return _foretold(values, float(norm.ppf((1 + level) / 2)) * sigma * np.sqrt(steps))


def ets(series: Floats, ahead: int, season: int, level: float) -> Foretold:
    """Exponential smoothing with additive errors and season, by statsmodels' state-space model."""
    import pandas as pd
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a fit that went on for its last iteration: the backtest judges it
        fitted = ETSModel(pd.Series(series), error="add", seasonal="add", seasonal_periods=season).fit(disp=False)
        told = fitted.get_prediction(start=len(series), end=len(series) + ahead - 1)
        frame = told.summary_frame(alpha=1 - level)
    values = np.asarray(frame["mean"], np.float64)
    return _foretold(values, np.asarray(frame["pi_upper"], np.float64) - values)


def _foretold(values: Floats, half: Floats) -> Foretold:
    """No count is below 0."""
    return Foretold(np.maximum(values, 0), np.maximum(values - half, 0), np.maximum(values + half, 0))


METHODS: Final[dict[str, Method]] = {"mean": mean, "seasonal naive": seasonal_naive, "ETS": ets}


def usable(periods: int, season: int) -> list[str]:
    """The methods that so many periods allow: a season must have been seen twice before it is foretold."""
    return ["mean"] if periods < 2 * season + 1 else list(METHODS)


def backtest(series: Floats, season: int, level: float) -> list[Score]:
    """Scores each usable method from rolling origins, one period ahead.

    Args:
        series: Counts by period.
        season: Periods in a year.
        level: The share that intervals are to hold.
    """
    scores = []
    for name in usable(len(series), season):
        least = LEAST if name == "mean" and len(series) < 2 * season + 1 else 2 * season
        origins = range(least, len(series))
        if not origins:
            continue
        told = [METHODS[name](series[:origin], 1, season, level) for origin in origins]
        came = series[least:]
        errors = [abs(float(one.mean[0]) - value) for one, value in zip(told, came, strict=True)]
        held = [one.low[0] <= value <= one.high[0] for one, value in zip(told, came, strict=True)]
        scores.append(Score(name, float(np.mean(errors)), float(np.mean(held)), len(errors)))
    return scores


def forecast(config: ForecastConfig) -> Forecasts:
    """Foretells robberies from those that a database holds.

    Raises:
        CalcoError: When it cannot be read, or holds too few periods.
    """
    needs("ibis", "duckdb", "pyarrow", "statsmodels")
    backend = connect(config.source)
    try:
        with database_errors(config.source):
            counts, names = _counts(Held(backend), config.every)
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
            f"there are but {periods} {config.every}s with robberies, and nothing can be foretold below {LEAST}"
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
        told = METHODS[best](series[key], config.ahead, season, config.level)
        done.forecasts.append(Forecast(names.get(key, ALL), best, ahead, told, series[key]))
    done.remarks = _remarks(periods, config.every, season)
    return done


def _counts(held: Held, every: Every) -> tuple[dict[tuple[int, int], int], dict[int, str]]:
    """(District, period) => robberies; periods are counted from year 0 on."""
    held.check()
    robberies, season = held["Robos_Lima"], SEASON[every]
    dated = robberies.filter(robberies.Fecha.notnull())
    part = dated.Fecha.month() if every == "month" else dated.Fecha.quarter()
    rows = dated.select("Id_Distrito", when=dated.Fecha.year().cast("int64") * season + part.cast("int64") - 1)
    found = fetched(held.backend, rows.group_by("Id_Distrito", "when").aggregate(n=rows.count())).to_pylist()
    names = fetched(held.backend, held["Distrito"].select("id", "Nombre_Distrito")).to_pylist()
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
            f"{periods} {every}s are less than two years and one {every}: no season can be told from chance, so this "
            "is the mean of what is known, with the interval of a new value"
        )
    if periods <= LEAST:
        remarks.append(f"{periods} {every}s leave nothing to score a forecast by: what it is worth is not known")
    remarks.append(
        "these are robberies that newspapers told about: a forecast of what will be written, not of what will happen; "
        f"the first and the last {every} may be incomplete"
    )
    return remarks


def rows(done: Forecasts) -> list[tuple[str, ...]]:
    """District, method, period, mean and the ends of the interval, as text; heads first."""
    found: list[tuple[str, ...]] = [("district", "method", "period", "robberies", "low", "high")]
    for one in done.forecasts:
        told: Any = zip(one.periods, one.foretold.mean, one.foretold.low, one.foretold.high, strict=True)
        found += [(one.district, one.method, when, *(f"{value:.1f}" for value in values)) for when, *values in told]
    return found


def score_rows(scores: Sequence[Score]) -> list[tuple[str, ...]]:
    """Method, mean absolute error, coverage, origins, as text; heads first."""
    return [
        ("method", "mean absolute error", "held by the interval", "forecasts scored"),
        *((s.method, f"{s.mae:.1f}", f"{s.coverage:.0%}", str(s.origins)) for s in scores),
    ]
