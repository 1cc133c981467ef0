"""Crime statistics of Peru: collect, clean and load them, ask questions, draw charts, forecast."""

from typing import TYPE_CHECKING

from calco.lazy import lazy_names

if TYPE_CHECKING:
    from calco.crime.answers import QueryConfig, query
    from calco.crime.collect import PanelConfig
    from calco.crime.collect import collect as collect_panel
    from calco.crime.dashboard import ChartConfig, DashboardConfig
    from calco.crime.dashboard import chart as write_charts
    from calco.crime.dashboard import dashboard as write_dashboard
    from calco.crime.database import connect
    from calco.crime.forecast import ForecastConfig
    from calco.crime.forecast import forecast as forecast_robberies
    from calco.crime.generate import GenerateConfig
    from calco.crime.generate import generate as generate_crimes
    from calco.crime.load import LoadConfig
    from calco.crime.load import load as load_crimes
    from calco.crime.queries import QUESTIONS, ask

_HOMES = {
    "QUESTIONS": "calco.crime.queries", "ask": "calco.crime.queries", "connect": "calco.crime.database",
    "ChartConfig": "calco.crime.dashboard", "write_charts": "calco.crime.dashboard:chart",
    "DashboardConfig": "calco.crime.dashboard", "write_dashboard": "calco.crime.dashboard:dashboard",
    "ForecastConfig": "calco.crime.forecast", "forecast_robberies": "calco.crime.forecast:forecast",
    "GenerateConfig": "calco.crime.generate", "generate_crimes": "calco.crime.generate:generate",
    "LoadConfig": "calco.crime.load", "load_crimes": "calco.crime.load:load",
    "PanelConfig": "calco.crime.collect", "collect_panel": "calco.crime.collect:collect",
    "QueryConfig": "calco.crime.answers", "query": "calco.crime.answers",
}  # fmt: skip
__all__ = [
    "QUESTIONS", "ChartConfig", "DashboardConfig", "ForecastConfig", "GenerateConfig", "LoadConfig", "PanelConfig",
    "QueryConfig", "ask", "collect_panel", "connect", "forecast_robberies", "generate_crimes", "load_crimes", "query",
    "write_charts", "write_dashboard",
]  # fmt: skip
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
