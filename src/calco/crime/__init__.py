"""Crime statistics of Peru: collect, clean and load them, ask questions, draw charts, forecast."""

from typing import TYPE_CHECKING

from calco.lazy import lazy_names

if TYPE_CHECKING:
    from calco.crime.answers import QueryConfig as QueryConfig
    from calco.crime.answers import query as query
    from calco.crime.collect import PanelConfig as PanelConfig
    from calco.crime.collect import collect as collect_panel
    from calco.crime.dashboard import ChartConfig as ChartConfig
    from calco.crime.dashboard import DashboardConfig as DashboardConfig
    from calco.crime.dashboard import chart as write_charts
    from calco.crime.dashboard import dashboard as write_dashboard
    from calco.crime.database import connect as connect
    from calco.crime.forecast import ForecastConfig as ForecastConfig
    from calco.crime.forecast import forecast as forecast_robberies
    from calco.crime.generate import GenerateConfig as GenerateConfig
    from calco.crime.generate import generate as generate_crimes
    from calco.crime.load import LoadConfig as LoadConfig
    from calco.crime.load import load as load_crimes
    from calco.crime.queries import QUESTIONS as QUESTIONS
    from calco.crime.queries import ask as ask
    from calco.crime.serve import ServeConfig as ServeConfig
    from calco.crime.serve import serve as serve_dashboard

_HOMES = {
    "ChartConfig": "calco.crime.dashboard:ChartConfig",
    "DashboardConfig": "calco.crime.dashboard:DashboardConfig",
    "ForecastConfig": "calco.crime.forecast:ForecastConfig",
    "GenerateConfig": "calco.crime.generate:GenerateConfig",
    "LoadConfig": "calco.crime.load:LoadConfig",
    "PanelConfig": "calco.crime.collect:PanelConfig",
    "QUESTIONS": "calco.crime.queries:QUESTIONS",
    "QueryConfig": "calco.crime.answers:QueryConfig",
    "ServeConfig": "calco.crime.serve:ServeConfig",
    "ask": "calco.crime.queries:ask",
    "collect_panel": "calco.crime.collect:collect",
    "connect": "calco.crime.database:connect",
    "forecast_robberies": "calco.crime.forecast:forecast",
    "generate_crimes": "calco.crime.generate:generate",
    "load_crimes": "calco.crime.load:load",
    "query": "calco.crime.answers:query",
    "serve_dashboard": "calco.crime.serve:serve",
    "write_charts": "calco.crime.dashboard:chart",
    "write_dashboard": "calco.crime.dashboard:dashboard",
}
__all__ = [
    "QUESTIONS",
    "ChartConfig",
    "DashboardConfig",
    "ForecastConfig",
    "GenerateConfig",
    "LoadConfig",
    "PanelConfig",
    "QueryConfig",
    "ServeConfig",
    "ask",
    "collect_panel",
    "connect",
    "forecast_robberies",
    "generate_crimes",
    "load_crimes",
    "query",
    "serve_dashboard",
    "write_charts",
    "write_dashboard",
]
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
