"""Watch a video or a camera: track objects, apply rules, report events."""

from typing import TYPE_CHECKING

from calco.lazy import lazy_names

if TYPE_CHECKING:
    from calco.watch.config import TrackConfig as TrackConfig
    from calco.watch.config import WatchConfig as WatchConfig
    from calco.watch.rules import Rules as Rules
    from calco.watch.rules import read_rules as read_rules
    from calco.watch.run import watch as watch
    from calco.watch.tracking import Track as Track
    from calco.watch.tracking import Tracker as Tracker

_HOMES = {
    "Rules": "calco.watch.rules:Rules",
    "Track": "calco.watch.tracking:Track",
    "TrackConfig": "calco.watch.config:TrackConfig",
    "Tracker": "calco.watch.tracking:Tracker",
    "WatchConfig": "calco.watch.config:WatchConfig",
    "read_rules": "calco.watch.rules:read_rules",
    "watch": "calco.watch.run:watch",
}
__all__ = [
    "Rules",
    "Track",
    "TrackConfig",
    "Tracker",
    "WatchConfig",
    "read_rules",
    "watch",
]
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
