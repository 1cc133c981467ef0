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
    "Rules": "calco.watch.rules", "Track": "calco.watch.tracking", "TrackConfig": "calco.watch.config",
    "Tracker": "calco.watch.tracking", "WatchConfig": "calco.watch.config", "read_rules": "calco.watch.rules",
    "watch": "calco.watch.run",
}  # fmt: skip
__all__ = ["Rules", "Track", "TrackConfig", "Tracker", "WatchConfig", "read_rules", "watch"]
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
